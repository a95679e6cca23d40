"""A listening socket without room: which queue, of whom, and advice that is sized by what was seen."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.host import Host
from dropwatch.model.culprits import Socket
from dropwatch.model.drop import Drop, Frame, Process, Verdict, Where
from dropwatch.model.listener import ListenerNote
from tests.unit.told_host import ToldHost

NOTE = ListenerNote(
    handshake_done=False,
    overflowed=True,
    syn_queue_full=False,
    accept_queue=129,
    accept_limit=128,
    syn_queue=0,
    max_syn_backlog=1024,
    somaxconn=4096,
    syncookies=1,
    inode=4711,
    address=IPv4Address("10.9.0.2"),
    port=443,
)
FULL = {"overflowed": False, "syn_queue_full": True, "syncookies": 0, "syn_queue": 129}
HOST = ToldHost(socket_holder=Process(812, "nginx"), cgroup="/system.slice/nginx.service")

Refused = Callable[..., Drop]


@pytest.fixture
def refused(
    make_drop: Callable[..., Drop], make_packet: Callable[..., object], make_event: Callable[..., object]
) -> Refused:
    """A SYN, or another segment, that a listening socket did not take; `note` are changes of NOTE."""

    def build(source: str = "tcp_conn_request", flags: str = "S", **note: object) -> Drop:
        told = replace(NOTE, **note)  # type: ignore[arg-type]
        packet = make_packet(proto="tcp", tcp_flags=flags, dport=443)
        drop = make_drop(packet, make_event(source=source, listener=told, cgroup=77))
        frame = Frame("tcp_v4_rcv" if source == "kfree_skb" else "tcp_conn_request", 0, None, 0)
        return replace(drop, where=Where(frame, "tcp", "in"), stack=(frame,), reason=None)

    return build


def judged(drop: Drop, host: Host = HOST) -> tuple[str, Verdict]:
    cause, verdict = diagnose(drop, host)
    return cause.id if cause is not None else "unknown", verdict


def test_the_accept_queue_is_full(refused: Refused) -> None:
    cause, verdict = judged(refused())
    assert (cause, verdict.confidence) == ("socket.accept-queue-full", "certain")
    assert verdict.owner == Process(812, "nginx", "nginx.service")
    assert [fact.text for fact in verdict.evidence] == [
        "129 connections wait for accept(), more than the limit of 128: no room for a SYN",
        "the limit is the program's listen() backlog, at most net.core.somaxconn (4,096)",
        "after the drop: nginx (pid 812) owns the socket, inode 4711",
        "the SYN was refused, and freed as if it had been used",
    ]
    assert isinstance(verdict.culprit, Socket)
    assert verdict.culprit.text == 'tcp LISTEN 10.9.0.2:443 *:* users:(("nginx",pid=812))'
    assert (verdict.culprit.accept_queue, verdict.culprit.accept_limit) == (129, 128)
    doing, more = verdict.fix
    assert doing.command == "cat /proc/812/stack"
    assert (
        more.text
        == "if bursts are normal: have nginx (pid 812) request more than 128 in listen() (its backlog)"
    )


def test_the_last_ack_of_a_handshake(refused: Refused) -> None:
    cause, verdict = judged(refused("kfree_skb", "A", handshake_done=True))
    assert (cause, verdict.confidence) == ("socket.accept-queue-full", "certain")
    assert verdict.evidence[0].text.endswith("no room for the last ACK of a handshake")


def test_the_systems_limit_is_raised_where_that_is_what_limits(refused: Refused) -> None:
    _, verdict = judged(refused(accept_limit=4096, accept_queue=4097))
    assert "net.core.somaxconn" in (verdict.fix[1].command or "")


def test_the_syn_queue_is_full(refused: Refused) -> None:
    cause, verdict = judged(refused(**FULL))
    assert (cause, verdict.confidence) == ("socket.syn-queue-full", "certain")
    assert [fact.text for fact in verdict.evidence[:2]] == [
        "129 half-open connections, and the limit is 128: the listen() backlog, at most net.core.somaxconn (4,096)",
        "net.ipv4.tcp_syncookies is 0",
    ]
    commands = [fix.command or fix.text for fix in verdict.fix]
    assert "net.ipv4.tcp_syncookies=1" in commands[0]
    assert "request more than 128" in commands[2]


def test_the_last_quarter_is_for_those_who_were_here(refused: Refused) -> None:
    few = {"overflowed": False, "syncookies": 0, "max_syn_backlog": 16, "syn_queue": 13}
    cause, verdict = judged(refused(**few))
    assert (cause, verdict.confidence) == ("socket.syn-queue-full", "likely")
    assert "net.ipv4.tcp_max_syn_backlog" in (verdict.fix[2].command or "")


@pytest.mark.parametrize(
    "note",
    [
        {},
        {"syncookies": 0, "max_syn_backlog": 16, "syn_queue": 12},
        {"syncookies": 1, "max_syn_backlog": 16, "syn_queue": 13},
    ],
)
def test_what_has_another_reason_is_not_guessed(refused: Refused, note: dict[str, int]) -> None:
    """No route back, no memory, a security module."""
    assert judged(refused(overflowed=False, **note))[0] == "unknown"


def test_nobody_holds_it(refused: Refused) -> None:
    _, verdict = judged(refused(), ToldHost())
    assert verdict.owner is None
    assert "the program" in verdict.fix[0].text
