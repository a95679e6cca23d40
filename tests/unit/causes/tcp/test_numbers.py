"""A segment that its connection did not take: the numbers of both, side by side."""

import struct
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.causes.tcp.numbers import ahead
from dropwatch.host.sockets import PortSocket, PortSockets
from dropwatch.model.connection import ConnectionNote
from dropwatch.model.culprits import Socket
from dropwatch.model.drop import Drop, Frame, Process, Where
from tests.unit.told_host import ToldHost

NXT = 1000
NOTE = ConnectionNote(
    rcv_nxt=NXT,
    rcv_wup=NXT,
    window=4000,
    snd_una=500,
    snd_nxt=700,
    ts_recent=80,
    queued=9000,
    limit=9001,
    inode=4711,
)
HOST = ToldHost(socket_holder=Process(812, "nginx"), cgroup=None)
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
LETTERS = ((FIN, "F"), (SYN, "S"), (RST, "R"), (ACK, "A"))
STAMP = b"\1\1\x08\x0a" + struct.pack("!II", 30, 0)
LATE = b"\1\1\x08\x0a" + struct.pack("!II", 0xFFFFFFFF, 0)

Refused = Callable[..., Drop]


@pytest.fixture
def refused(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Any], make_event: Callable[..., Any]
) -> Refused:
    def build(
        reason: str | None,
        seq: int = NXT,
        *,
        ack: int = 500,
        data: bytes = b"",
        flags: int = ACK,
        options: bytes = b"",
        **note: int,
    ) -> Drop:
        header = struct.pack("!HHIIBBHHH", 40000, 443, seq, ack, 5 + len(options) // 4 << 4, flags, 9, 0, 0)
        segment = header + options + data
        saddr, daddr = IPv4Address("10.9.0.1"), IPv4Address("10.9.0.2")
        ip = struct.pack("!BBHIBBH", 0x45, 0, 20 + len(segment), 0, 64, 6, 0) + saddr.packed + daddr.packed
        packet = make_packet(
            proto="tcp",
            saddr=saddr,
            daddr=daddr,
            sport=40000,
            dport=443,
            length=20 + len(segment),
            tcp_flags="".join(letter for bit, letter in LETTERS if flags & bit),
        )
        told = replace(NOTE, **note)
        event = make_event(packet=ip + segment, protocol=0x0800, length=20 + len(segment), connection=told)
        frame = Frame("tcp_validate_incoming", 0, None, 0)
        return replace(
            make_drop(packet, event), where=Where(frame, "tcp", "in"), stack=(frame,), reason=reason
        )

    return build


def said(drop: Drop) -> tuple[str, str]:
    cause, verdict = diagnose(drop, HOST)
    assert cause is not None
    assert verdict.confidence == "certain"
    assert verdict.evidence[0].role == "proof"
    return cause.id, verdict.evidence[0].text


@pytest.mark.parametrize(
    ("reason", "fields", "cause_id", "words"),
    [
        (
            "TCP_INVALID_SEQUENCE",
            {"seq": 9000, "data": b"xy"},
            "tcp.out-of-window",
            "seq 9000, 2 bytes: it begins 4,000 bytes beyond",
        ),
        (
            "TCP_INVALID_SEQUENCE",
            {"seq": 4999, "data": b"xyz"},
            "tcp.out-of-window",
            "it ends 2 bytes beyond",
        ),
        (
            "TCP_OLD_DATA",
            {"seq": 990, "data": b"xy"},
            "tcp.old-data",
            "it ends 8 bytes before what the connection expects (rcv_nxt 1000,",
        ),
        (
            "TCP_OLD_SEQUENCE",
            {"seq": 0xFFFFFFFF, "data": b"x"},
            "tcp.old-data",
            "seq 4294967295, 1 byte: it ends 1,000 bytes before",
        ),
        (
            "TCP_ZEROWINDOW",
            {"window": 0, "data": b"x"},
            "tcp.zero-window",
            "9,000 of 9,001 bytes of its receive buffer are in use",
        ),
        (
            "TCP_INVALID_END_SEQUENCE",
            {"window": 0, "data": b"x"},
            "tcp.zero-window",
            "9,000 of 9,001 bytes of its receive buffer are in use",
        ),
        (
            "TCP_INVALID_END_SEQUENCE",
            {"window": 1, "data": b"xyz"},
            "tcp.out-of-window",
            "it ends 2 bytes beyond",
        ),
        (
            "PROTO_MEM",
            {"queued": 9100, "data": b"x"},
            "tcp.zero-window",
            "9,100 of 9,001 bytes of its receive buffer are in use",
        ),
        ("PROTO_MEM", {"data": b"x"}, "socket.memory-pressure", "only 9,000 of 9,001 bytes are queued"),
        (
            "TCP_ACK_UNSENT_DATA",
            {"ack": 701},
            "tcp.invalid-ack",
            "ack 701 acknowledges 1 byte that were never sent (snd_una 500, snd_nxt 700)",
        ),
        ("TCP_TOO_OLD_ACK", {"ack": 400}, "tcp.invalid-ack", "ack 400 is 100 bytes older"),
        (
            "TCP_RFC7323_PAWS",
            {"options": STAMP},
            "tcp.paws",
            "its timestamp 30 is 50 older than the last one that counted, 80",
        ),
        ("TCP_RFC7323_PAWS", {}, "tcp.paws", "it has no timestamp; the connection has seen 80"),
        (
            "TCP_RESET",
            {"seq": 1001, "flags": RST},
            "tcp.reset",
            "seq 1001 is 1 byte ahead of what the connection expects",
        ),
        ("TCP_INVALID_SYN", {"seq": 900, "flags": SYN}, "tcp.invalid-syn", "seq 900 is 100 bytes behind"),
    ],
)
def test_the_numbers_are_told(
    refused: Refused, reason: str, fields: dict[str, Any], cause_id: str, words: str
) -> None:
    found, text = said(refused(reason, **fields))
    assert found == cause_id
    assert words in text


def test_the_object_is_the_connection(refused: Refused) -> None:
    _, verdict = diagnose(refused("TCP_OLD_DATA", 990, data=b"x"), HOST)
    assert isinstance(verdict.culprit, Socket)
    assert verdict.culprit.text == "tcp 10.9.0.2:443 10.9.0.1:40000"
    assert (verdict.culprit.peer_port, verdict.culprit.inode, verdict.culprit.limit) == (40000, 4711, 9001)
    assert verdict.owner is None


def test_who_does_not_read_is_named(refused: Refused) -> None:
    _, verdict = diagnose(refused("TCP_ZEROWINDOW", data=b"x", window=0), HOST)
    assert verdict.culprit is not None
    assert verdict.culprit.text.endswith('users:(("nginx",pid=812))')
    assert verdict.owner == Process(812, "nginx")


def unnoted(drop: Drop) -> Drop:
    """No probe has told of the connection."""
    return replace(drop, event=replace(drop.event, connection=None))


def as_it_is(since_ns: int, queued: int = 9000) -> ToldHost:
    """The connection is there after the drop, and was at that time."""
    ends = IPv4Address("10.9.0.2"), IPv4Address("10.9.0.1")
    one = PortSocket(*ends, 40000, 0, False, 4711, 7, since_ns, queued=queued, limit=9001)
    return ToldHost(
        connections_at=PortSockets((one,), 1, {}), socket_holder=Process(812, "nginx"), cgroup=None
    )


@pytest.mark.parametrize(
    ("reason", "cause_id", "confidence"),
    [
        ("TCP_ZEROWINDOW", "tcp.zero-window", "certain"),
        ("TCP_OFO_QUEUE_PRUNE", "tcp.ofo-pruned", "certain"),
        ("SOCKET_BACKLOG", "socket.backlog-full", "certain"),
        ("PROTO_MEM", "socket.memory-pressure", "likely"),
    ],
)
def test_the_connection_is_looked_up_where_no_probe_had_it(
    refused: Refused, reason: str, cause_id: str, confidence: str
) -> None:
    drop = unnoted(refused(reason, data=b"x"))
    for since, named in ((0, True), (drop.event.monotonic_ns + 1, False)):
        cause, verdict = diagnose(drop, as_it_is(since))
        assert cause is not None
        assert (cause.id, verdict.confidence) == (cause_id, confidence)
        assert (verdict.culprit is not None, verdict.owner) == (named, Process(812, "nginx"))
        assert "after the drop: 9,000 of 9,001 bytes" in verdict.evidence[0].text


def test_a_full_buffer_that_was_seen_after_the_drop_says_nothing_of_the_memory(refused: Refused) -> None:
    assert diagnose(unnoted(refused("PROTO_MEM", data=b"x")), as_it_is(0, 9100))[0] is None


def test_a_backlog_is_told_with_its_connection(refused: Refused) -> None:
    cause, verdict = diagnose(refused("SOCKET_BACKLOG", data=b"x"), HOST)
    assert cause is not None
    assert (cause.id, verdict.confidence, verdict.owner) == (
        "socket.backlog-full",
        "certain",
        Process(812, "nginx"),
    )
    assert isinstance(verdict.culprit, Socket)
    cause, verdict = diagnose(unnoted(refused("SOCKET_BACKLOG", data=b"x")), HOST)
    assert cause is not None
    assert (cause.id, verdict.confidence, verdict.culprit) == ("socket.backlog-full", "certain", None)


def test_without_the_connection_the_reason_settles_it(refused: Refused) -> None:
    drop = unnoted(refused("TCP_OLD_DATA", 990))
    cause, verdict = diagnose(drop, HOST)
    assert cause is not None
    assert (cause.id, verdict.confidence, verdict.culprit) == ("tcp.old-data", "certain", None)


def discarded(drop: Drop) -> Drop:
    return replace(drop, event=replace(drop.event, source="__kfree_skb"), reason=None)


@pytest.mark.parametrize(
    ("fields", "cause_id"),
    [
        ({"seq": 9000, "data": b"xy"}, "tcp.out-of-window"),
        ({"seq": 9000}, "tcp.out-of-window"),
        ({"seq": 9000, "flags": RST}, "tcp.out-of-window"),
        ({"seq": 990, "data": b"xy"}, "tcp.old-data"),
        ({"seq": 999, "flags": FIN | ACK}, "tcp.old-data"),
        ({"seq": 1001, "flags": RST}, "tcp.reset"),
        ({"seq": 1010, "flags": SYN}, "tcp.invalid-syn"),
        ({"ack": 701, "data": b"x"}, "tcp.invalid-ack"),
        ({"ack": 701}, "tcp.invalid-ack"),
        ({"window": 0, "data": b"x"}, "tcp.zero-window"),
        ({"options": STAMP, "data": b"x"}, "tcp.paws"),
    ],
)
def test_numbers_decide_where_the_kernel_gives_no_reason(
    refused: Refused, fields: dict[str, Any], cause_id: str
) -> None:
    drop = discarded(refused(None, **fields))
    assert said(drop)[0] == cause_id
    assert any(one.source == "probe __kfree_skb" for one in diagnose(drop, HOST)[1].evidence)


@pytest.mark.parametrize(
    "fields",
    [
        {"data": b"x"},  # a buffer without room, or a program of BPF
        {"seq": 1010, "data": b"x"},  # it waits out of order already, or there is no room
        {"ack": 600},  # it would be news
        {"ack": 600, "options": STAMP},
        {"data": b"x", "options": LATE, "ts_recent": 0},  # a connection without timestamps
        {"seq": 990, "ack": 701},  # too old, or acknowledges too much
        {"flags": RST},
        {"seq": 900, "flags": SYN},
        {"ack": 400, "window": 0, "data": b"x"},  # its ACK may be too old
    ],
)
def test_numbers_that_leave_it_open_say_nothing(refused: Refused, fields: dict[str, Any]) -> None:
    drop = discarded(refused(None, **fields))
    cause, verdict = diagnose(drop, HOST)
    assert cause is None, cause.id
    assert verdict.evidence[0].source == "probe __kfree_skb"
    assert diagnose(unnoted(drop), HOST)[0] is None


@pytest.mark.parametrize("fields", [{}, {"seq": 990}, {"ack": 400}, {"options": STAMP}])
def test_an_ack_that_says_nothing_new_is_no_loss(refused: Refused, fields: dict[str, Any]) -> None:
    cause, verdict = diagnose(discarded(refused(None, **fields)), HOST)
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("benign.ack-consumed", "certain")


@pytest.mark.parametrize(
    ("seq", "data", "flags", "said"),
    [
        (995, b"again", ACK, ("benign.tcp-time-wait", "certain")),
        (994, b"again", ACK | FIN, ("benign.tcp-time-wait", "certain")),
        (NXT, b"", ACK | FIN, ("benign.tcp-time-wait", "certain")),
        (998, b"again", ACK, ("socket.closed", "certain")),
    ],
)
def test_what_comes_for_a_connection_that_has_ended(
    refused: Refused, seq: int, data: bytes, flags: int, said: tuple[str, str]
) -> None:
    drop = refused("TCP_CLOSE", seq, data=data, flags=flags)
    cause, verdict = diagnose(drop, HOST)
    assert cause is not None
    assert (cause.id, verdict.confidence) == said
    if data:  # nobody knows what it had
        cause, verdict = diagnose(unnoted(drop), HOST)
        assert cause is not None
        assert (cause.id, verdict.confidence) == ("socket.closed", "likely")


def test_numbers_begin_anew() -> None:
    assert ahead(5, 0xFFFFFFFF) == 6
    assert ahead(0xFFFFFFFF, 5) == -6
    assert ahead(7, 7) == 0
