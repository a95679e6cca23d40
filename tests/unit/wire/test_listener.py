"""The record of a listening socket becomes a note of the death that it follows."""

import ctypes
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6

import pytest

from dropwatch.model.listener import ListenerNote
from dropwatch.model.netfilter import HookFunction
from dropwatch.wire.decoder import Decoder
from dropwatch.wire.drop import DropRecord
from dropwatch.wire.header import RECORD_DROP, RecordHeader
from dropwatch.wire.listener import LISTENER_NOTE, RECORD_LISTENER, ListenerRecord
from dropwatch.wire.note import KernelNames

NAMES = KernelNames({}, {}, lambda address: None, lambda address, time_ns: HookFunction(None))


def header(kind: int, layout: type[ctypes.Structure]) -> RecordHeader:
    return RecordHeader(83_521_935_614, 0xFFFF888100ABCD00, kind, ctypes.sizeof(layout))


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
@pytest.mark.parametrize("bound", [0, 12])
def test_it_has_what_the_record_says(family: int, bound: int) -> None:
    made = ListenerRecord(header(RECORD_LISTENER, ListenerRecord), 4711, 0, 1, 0, 129, 128, 3, 1024, 4096, 1)
    made.bound_ifindex, made.family, made.port = bound, int(family), 443
    made.address[:4] = [10, 9, 0, 2]
    decoder = Decoder([LISTENER_NOTE], NAMES)
    drop = DropRecord(header(RECORD_DROP, DropRecord), detail=RECORD_LISTENER, source=2, cgroup=77)
    assert decoder.feed(bytes(drop)) is None, "its socket is to follow"
    event = decoder.feed(bytes(made))
    assert event is not None
    assert (event.source, event.cgroup) == ("tcp_conn_request", 77)
    assert event.listener == ListenerNote(
        handshake_done=False,
        overflowed=True,
        syn_queue_full=False,
        accept_queue=129,
        accept_limit=128,
        syn_queue=3,
        max_syn_backlog=1024,
        somaxconn=4096,
        syncookies=1,
        inode=4711,
        address=IPv4Address("10.9.0.2")
        if family == AF_INET
        else IPv6Address(bytes([10, 9, 0, 2] + [0] * 12)),
        port=443,
        bound_ifindex=bound or None,
    )
