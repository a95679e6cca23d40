"""A UDP socket that takes no more: its own buffer, or the memory of all; on kernels with reasons and without."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from dropwatch.causes.advice import twice
from dropwatch.causes.diagnose import diagnose
from dropwatch.host.host import Host
from dropwatch.host.sockets import PortSockets
from dropwatch.model.culprits import Socket
from dropwatch.model.drop import Drop, Frame, Process, SocketNote, Verdict, Where
from tests.unit.told_host import ToldHost

NOTE = SocketNote("ENOMEM", 213504, 212992, False, 92, 4711, IPv4Address("10.9.0.2"), 5000)
READER = Process(812, "slow-reader")

Refused = Callable[..., Drop]


@pytest.fixture
def refused(
    make_drop: Callable[..., Drop], make_packet: Callable[..., object], make_event: Callable[..., object]
) -> Refused:
    """A datagram that a socket did not take; `note` are changes of NOTE, None: no probe has told of the socket."""

    def build(reason: str | None, function: str = "udp_queue_rcv_one_skb", **note: object) -> Drop:
        told = None if note.get("note", NOTE) is None else replace(NOTE, **note)  # type: ignore[arg-type]
        drop = make_drop(make_packet(proto="udp"), make_event(socket=told))
        frame = Frame(function, 1, None, 0)
        return replace(drop, where=Where(frame, "udp", "in"), stack=(frame,), reason=reason)

    return build


def judged(drop: Drop, host: Host | None = None) -> tuple[str, Verdict]:
    cause, verdict = diagnose(drop, host or ToldHost(socket_holder=READER))
    return cause.id if cause is not None else "unknown", verdict


@pytest.mark.parametrize("reason", ["SOCKET_RCVBUFF", None])
def test_the_buffer_is_full(refused: Refused, reason: str | None) -> None:
    cause, verdict = judged(refused(reason))
    assert (cause, verdict.confidence, verdict.owner) == ("socket.udp-buffer-full", "certain", READER)
    assert [fact.text for fact in verdict.evidence[:2]] == [
        "213,504 of 212,992 bytes queued in 92 datagrams; SO_RCVBUF is not set, so net.core.rmem_default applies",
        "after the drop: slow-reader (pid 812) owns the socket, inode 4711",
    ]
    assert isinstance(verdict.culprit, Socket)
    assert verdict.culprit.text == 'udp 10.9.0.2:5000 *:* users:(("slow-reader",pid=812))'
    assert (verdict.culprit.queued, verdict.culprit.limit, verdict.culprit.datagrams) == (213504, 212992, 92)
    assert [fix.command for fix in verdict.fix] == [
        "cat /proc/812/stack",
        f"nsenter -t 1 -n sh -c '{twice('net.core.rmem_default')}'",
    ]


def test_the_program_chose_the_limit(refused: Refused) -> None:
    _, verdict = judged(refused("SOCKET_RCVBUFF", limit=2304, limit_set=True))
    assert verdict.evidence[0].text.endswith("the program set the limit (SO_RCVBUF)")
    assert "more than 1152 bytes" in verdict.fix[1].text
    assert verdict.fix[1].command == f"nsenter -t 1 -n sh -c '{twice('net.core.rmem_max')}'"


def test_nobody_holds_it(refused: Refused) -> None:
    _, verdict = judged(refused("SOCKET_RCVBUFF"), ToldHost())
    assert verdict.owner is None
    assert verdict.evidence[1].text == "after the drop: no process was found that owns the socket, inode 4711"
    assert verdict.fix[0].command == "ip netns exec b ss -uampn 'sport = :5000'"


def test_a_socket_of_the_kernel_is_nobodys(refused: Refused) -> None:
    host = ToldHost(socket_holder=READER)
    _, verdict = judged(refused("SOCKET_RCVBUFF", inode=0), host)
    assert verdict.owner is None
    assert host.asked["socket_holder"] == 0


def test_without_a_probe_the_reason_is_enough(refused: Refused) -> None:
    cause, verdict = judged(refused("SOCKET_RCVBUFF", note=None))
    assert (cause, verdict.confidence, verdict.culprit) == ("socket.udp-buffer-full", "certain", None)


@pytest.mark.parametrize(("reason", "error"), [(None, "ENOBUFS"), ("PROTO_MEM", None)])
def test_the_memory_of_all_is_not_this_sockets_buffer(
    refused: Refused, reason: str | None, error: str | None
) -> None:
    cause, verdict = judged(refused(reason, error=error, queued=4352))
    assert (cause, verdict.confidence, verdict.owner) == ("socket.memory-pressure", "certain", READER)
    assert "only 4,352 of 212,992 bytes" in verdict.evidence[0].text
    assert isinstance(verdict.culprit, Socket)
    assert (verdict.culprit.inode, verdict.culprit.queued) == (4711, 4352)


def test_without_the_socket_the_reason_is_enough_for_memory(refused: Refused) -> None:
    cause, verdict = judged(refused("PROTO_MEM", note=None))
    assert (cause, verdict.confidence, verdict.culprit) == ("socket.memory-pressure", "certain", None)


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED", "SOCKET_FILTER"])
def test_what_was_never_to_be_queued_is_not_judged_by_what_is(refused: Refused, reason: str | None) -> None:
    """On newer kernels the tracepoint names the socket of whatever dies there."""
    assert judged(refused(reason, error=None))[0] not in {"socket.udp-buffer-full", "socket.memory-pressure"}


def test_the_answer_says_that_nobody_has_the_port(refused: Refused) -> None:
    """On a kernel without reasons; what dies there without an answer has another cause."""
    drop = refused(None, "__udp4_lib_rcv", note=None)
    answered = replace(drop, event=replace(drop.event, notes=frozenset({"unreachable-sent"})))
    cause, verdict = judged(answered, ToldHost(sockets_at=PortSockets()))
    assert (cause, verdict.confidence) == ("socket.udp-no-listener", "certain")
    assert verdict.evidence[1].text == "this host replies with port unreachable"
    assert judged(drop)[0] == "unknown"
    elsewhere = replace(answered, where=replace(drop.where, frame=Frame("nf_hook_slow", 1, None, 0)))
    assert judged(elsewhere)[0] != "socket.udp-no-listener"


@pytest.mark.parametrize(
    ("most", "command"),
    [(212992, None), (1152, f"nsenter -t 1 -n sh -c '{twice('net.core.rmem_max')}'")],
    ids=["it may ask for more", "it has as much as it may"],
)
def test_the_systems_maximum_is_raised_where_it_is_what_limits(
    refused: Refused, most: int, command: str | None
) -> None:
    host = ToldHost(socket_holder=READER, rmem_max=most)
    _, verdict = judged(refused("SOCKET_RCVBUFF", limit=2304, limit_set=True), host)
    assert f"net.core.rmem_max is {most:,}" in verdict.evidence[1].text
    assert verdict.fix[1].command == command
    assert "more than 1152 bytes" in verdict.fix[1].text
