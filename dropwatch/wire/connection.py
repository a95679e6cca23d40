"""The record of the connection that did not take a segment becomes a note: the mirror of struct connection_record."""

import ctypes
from ctypes import c_uint32, c_uint64
from dataclasses import replace

from dropwatch.model.connection import ConnectionNote
from dropwatch.model.drop import Event
from dropwatch.wire.header import RecordHeader
from dropwatch.wire.note import KernelNames, Note

RECORD_CONNECTION = 15  # enum record_type


class ConnectionRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("inode", c_uint64),
        ("rcv_nxt", c_uint32),
        ("rcv_wup", c_uint32),
        ("rcv_wnd", c_uint32),
        ("snd_una", c_uint32),
        ("snd_nxt", c_uint32),
        ("ts_recent", c_uint32),
        ("queued", c_uint32),
        ("limit", c_uint32),
        ("bound_ifindex", c_uint32),
        ("pad", c_uint32),
    )


def connection_note(record: ConnectionRecord) -> ConnectionNote | None:
    """None of a connection that was closed before it was open: it has no numbers."""
    if not record.rcv_nxt:
        return None
    left = (record.rcv_wup + record.rcv_wnd - record.rcv_nxt) & 0xFFFFFFFF
    return ConnectionNote(
        rcv_nxt=record.rcv_nxt,
        rcv_wup=record.rcv_wup,
        window=left if left < 1 << 31 else 0,  # tcp_receive_window() in include/net/tcp.h
        snd_una=record.snd_una,
        snd_nxt=record.snd_nxt,
        ts_recent=record.ts_recent,
        queued=record.queued,
        limit=record.limit,
        inode=record.inode,
        bound_ifindex=record.bound_ifindex or None,
    )


def _add(event: Event, record: ConnectionRecord, names: KernelNames) -> Event:
    return replace(event, connection=connection_note(record))


CONNECTION_NOTE = Note(RECORD_CONNECTION, ConnectionRecord, _add, follows=True)
