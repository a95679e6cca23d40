"""The record of the listening socket that had no room becomes a note: the typed mirror of struct listener_record."""

import ctypes
from ctypes import c_uint8, c_uint32, c_uint64
from dataclasses import replace

from dropwatch.model.drop import Event
from dropwatch.model.listener import ListenerNote
from dropwatch.wire.header import RecordHeader
from dropwatch.wire.note import KernelNames, Note
from dropwatch.wire.socket import address_of

RECORD_LISTENER = 13  # enum record_type


class ListenerRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("inode", c_uint64),
        ("is_handshake_done", c_uint32),
        ("has_overflowed", c_uint32),
        ("is_syn_queue_full", c_uint32),
        ("accept_queue", c_uint32),
        ("accept_limit", c_uint32),
        ("syn_queue", c_uint32),
        ("max_syn_backlog", c_uint32),
        ("somaxconn", c_uint32),
        ("syncookies", c_uint32),
        ("bound_ifindex", c_uint32),
        ("family", c_uint32),
        ("port", c_uint32),
        ("address", c_uint8 * 16),
    )


def listener_note(record: ListenerRecord) -> ListenerNote:
    return ListenerNote(
        handshake_done=bool(record.is_handshake_done),
        overflowed=bool(record.has_overflowed),
        syn_queue_full=bool(record.is_syn_queue_full),
        accept_queue=record.accept_queue,
        accept_limit=record.accept_limit,
        syn_queue=record.syn_queue,
        max_syn_backlog=record.max_syn_backlog,
        somaxconn=record.somaxconn,
        syncookies=record.syncookies,
        inode=record.inode,
        address=address_of(record.family, bytes(record.address)),
        port=record.port,
        bound_ifindex=record.bound_ifindex or None,
    )


def _add(event: Event, record: ListenerRecord, names: KernelNames) -> Event:
    return replace(event, listener=listener_note(record))


LISTENER_NOTE = Note(RECORD_LISTENER, ListenerRecord, _add, follows=True)
