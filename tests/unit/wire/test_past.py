"""What a packet said of its past becomes a note, before or after another record that follows its death."""

import ctypes
import struct
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, inet_pton

import pytest

from dropwatch.model.drop import Event
from dropwatch.model.netfilter import HookFunction
from dropwatch.model.past import Connection, Ends, PastNote, Waiting
from dropwatch.wire.decoder import Decoder
from dropwatch.wire.drop import DropRecord
from dropwatch.wire.header import RECORD_DROP, RecordHeader
from dropwatch.wire.note import KernelNames
from dropwatch.wire.past import PAST_NOTE, RECORD_PAST, PastDirection, PastRecord
from dropwatch.wire.socket import RECORD_SOCKET, SOCKET_NOTE, SocketRecord

NAMES = KernelNames({}, {}, lambda address: None, lambda address, time_ns: HookFunction(None))
FOLLOWS = 65536  # NOTE_PAST
UDP, ICMP = 17, 1


def header(kind: int, layout: type[ctypes.Structure]) -> RecordHeader:
    return RecordHeader(83_521_935_614, 0xFFFF888100ABCD00, kind, ctypes.sizeof(layout))


def direction(
    family: int, source: str, destination: str, sport: int, dport: int, proto: int
) -> PastDirection:
    made = PastDirection(sport=sport, dport=dport, family=family, proto=proto)
    for member, address in ((made.saddr, source), (made.daddr, destination)):
        packed = inet_pton(family, address)
        member[: len(packed)] = list(packed)
    return made


def record(original: PastDirection, reply: PastDirection, **fields: int) -> PastRecord:
    made = PastRecord(header(RECORD_PAST, PastRecord), has_connection=1, original=original, reply=reply)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def udp(**fields: int) -> PastRecord:
    return record(
        direction(AF_INET, "10.9.0.1", "10.96.0.10", 40000, 53, UDP),
        direction(AF_INET, "10.244.0.5", "10.9.0.1", 5353, 40000, UDP),
        **fields,
    )


def test_what_ipvs_has_changed_has_no_entry() -> None:
    note = told(udp(has_connection=2)).past
    assert note is not None
    assert note.connection is not None
    assert note.connection.by_ipvs
    assert note.connection.state == "untracked"
    assert (note.connection.original.dport, note.connection.reply.sport) == (53, 5353)


def told(*records: ctypes.Structure, detail: int = 0) -> Event:
    decoder = Decoder([PAST_NOTE, SOCKET_NOTE], NAMES)
    assert (
        decoder.feed(bytes(DropRecord(header(RECORD_DROP, DropRecord), notes=FOLLOWS, detail=detail))) is None
    )
    found = [decoder.feed(bytes(one)) for one in records]
    assert found[:-1] == [None] * (len(records) - 1)
    assert found[-1] is not None
    return found[-1]


def test_a_connection_that_was_translated() -> None:
    assert told(udp(info=2, status=32 | 128, mark=7, zone=3)).past == PastNote(
        Connection(
            proto="udp",
            original=Ends(ip_address("10.9.0.1"), ip_address("10.96.0.10"), 40000, 53),
            reply=Ends(ip_address("10.244.0.5"), ip_address("10.9.0.1"), 5353, 40000),
            is_reply=False,
            state="new",
            destination_nat=True,
            confirmed=False,
            mark=7,
            zone=3,
        )
    )


@pytest.mark.parametrize(
    ("info", "state", "is_reply"),
    [(0, "established", False), (1, "related", False), (3, "established", True), (4, "related", True)],
)
def test_the_state_and_the_direction(info: int, state: str, is_reply: bool) -> None:
    past = told(udp(info=info, status=8)).past
    assert past is not None
    assert past.connection is not None
    assert (past.connection.state, past.connection.is_reply) == (state, is_reply)
    assert past.connection.confirmed


def test_a_message_of_ipv6_has_no_ports() -> None:
    ping = direction(AF_INET6, "fd09::1", "fd09::2", 77, 0x8000, 58)
    pong = direction(AF_INET6, "fd09::2", "fd09::1", 77, 0x8100, 58)
    past = told(record(ping, pong)).past
    assert past is not None
    assert past.connection is not None
    assert past.connection.proto == "icmp6"
    assert past.connection.original == Ends(ip_address("fd09::1"), ip_address("fd09::2"))


def test_a_frame_of_a_bridge_without_a_connection() -> None:
    made = PastRecord(header(RECORD_PAST, PastRecord), bridge_port=4)
    assert told(made).past == PastNote(None, 4)


@pytest.mark.parametrize(("family", "known"), [(4, True), (0, False)])
def test_what_waits_for_the_answer_to_a_question(family: int, known: bool) -> None:
    made = PastRecord(header(RECORD_PAST, PastRecord), has_waiting=1)
    mapped = bytes(10) + b"\xff\xff"
    flow = struct.pack(
        "=16s16sIHHBBBB", mapped + b"\n\t\0\1", mapped + b"\n\t\0M", 0, 40000, 5000, family, UDP, 1, 0
    )
    made.waiting[:] = list(flow)
    ends = Ends(ip_address("10.9.0.1"), ip_address("10.9.0.77"), 40000, 5000)
    assert told(made).past == PastNote(waiting=Waiting("udp", ends) if known else None)


def test_garbage_is_no_connection() -> None:
    bad = direction(AF_INET, "10.9.0.1", "10.9.0.2", 1, 2, UDP)
    bad.family = 77
    assert told(record(bad, bad)).past == PastNote(None)


def test_what_was_searched_for_comes_after_it() -> None:
    searched = SocketRecord(header(RECORD_SOCKET, SocketRecord), family=AF_INET)
    event = told(udp(), searched, detail=RECORD_SOCKET)
    assert event.past is not None
    assert event.socket is not None


def test_where_one_of_both_is_lost_the_other_is_told() -> None:
    decoder = Decoder([PAST_NOTE, SOCKET_NOTE], NAMES)
    drop = DropRecord(header(RECORD_DROP, DropRecord), notes=FOLLOWS, detail=RECORD_SOCKET)
    assert decoder.feed(bytes(drop)) is None
    assert decoder.feed(bytes(udp())) is None
    (event,) = decoder.overdue(drop.header.time_ns + 1)
    assert event.past is not None
    assert event.socket is None
