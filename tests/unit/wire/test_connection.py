"""The record of a connection that did not take a segment."""

import ctypes
from collections.abc import Callable

from dropwatch.model.drop import Event
from dropwatch.wire.connection import CONNECTION_NOTE, ConnectionRecord
from dropwatch.wire.header import RecordHeader
from dropwatch.wire.note import KernelNames


def test_the_window_is_what_is_left_of_it(make_event: Callable[..., Event]) -> None:
    names = KernelNames({}, {}, lambda address: None, lambda address, at: None)  # type: ignore[arg-type, return-value]

    def note(rcv_nxt: int, rcv_wup: int, rcv_wnd: int) -> Event:
        header = RecordHeader(1, 2, CONNECTION_NOTE.kind, ctypes.sizeof(ConnectionRecord))
        record = ConnectionRecord(header=header, rcv_nxt=rcv_nxt, rcv_wup=rcv_wup, rcv_wnd=rcv_wnd, inode=7)
        return CONNECTION_NOTE.add(make_event(), record, names)

    found = note(1000, 900, 500).connection
    assert found is not None
    assert (found.window, found.rcv_nxt, found.inode, found.bound_ifindex) == (400, 1000, 7, None)
    wrapped = note(5, 0xFFFFFFFF, 100).connection
    assert wrapped is not None
    assert wrapped.window == 94
    beyond = note(1000, 900, 50).connection
    assert beyond is not None
    assert beyond.window == 0, "it has shrunk"
