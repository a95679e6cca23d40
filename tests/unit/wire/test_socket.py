"""The record of a socket becomes a note of the death that it follows."""

import ctypes
import errno
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6

import pytest

from dropwatch.model.drop import SocketNote
from dropwatch.model.netfilter import HookFunction
from dropwatch.wire.decoder import Decoder
from dropwatch.wire.drop import DropRecord
from dropwatch.wire.header import RECORD_DROP, RecordHeader
from dropwatch.wire.note import KernelNames
from dropwatch.wire.socket import RECORD_SOCKET, SOCKET_NOTE, SocketRecord

NAMES = KernelNames({}, {}, lambda address: None, lambda address, time_ns: HookFunction(None))


def header(kind: int, layout: type[ctypes.Structure]) -> RecordHeader:
    return RecordHeader(83_521_935_614, 0xFFFF888100ABCD00, kind, ctypes.sizeof(layout))


def record(**fields: object) -> SocketRecord:
    made = SocketRecord(header(RECORD_SOCKET, SocketRecord), 4711, errno.ENOMEM, 213504, 212992, 0, 92)
    made.family, made.port = int(AF_INET), 5000
    made.address[:4] = [10, 9, 0, 2]
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def note(made: SocketRecord) -> SocketNote:
    decoder = Decoder([SOCKET_NOTE], NAMES)
    drop = DropRecord(header(RECORD_DROP, DropRecord), detail=RECORD_SOCKET)
    assert decoder.feed(bytes(drop)) is None, "its socket is to follow"
    event = decoder.feed(bytes(made))
    assert event is not None
    assert event.socket is not None
    return event.socket


def test_a_socket_that_takes_datagrams_of_anybody() -> None:
    assert note(record()) == SocketNote(
        error="ENOMEM",
        queued=213504,
        limit=212992,
        limit_set=False,
        datagrams=92,
        inode=4711,
        address=IPv4Address("10.9.0.2"),
        port=5000,
    )


def test_a_connected_socket_bound_to_an_interface() -> None:
    made = record(family=int(AF_INET6), is_limit_set=1, bound_ifindex=3, peer_port=41000)
    made.address[:] = IPv6Address("fd09::2").packed
    made.peer[:] = IPv6Address("fd09::1").packed
    found = note(made)
    assert (found.limit_set, found.bound_ifindex) == (True, 3)
    assert (found.address, found.peer, found.peer_port) == (
        IPv6Address("fd09::2"),
        IPv6Address("fd09::1"),
        41000,
    )


@pytest.mark.parametrize(("error", "name"), [(errno.ENOBUFS, "ENOBUFS"), (0, None)])
def test_what_the_kernel_answered(error: int, name: str | None) -> None:
    assert note(record(error=error)).error == name
