"""The record of the socket that did not take a datagram becomes a note: the typed mirror of struct socket_record."""

import ctypes
from ctypes import c_uint8, c_uint16, c_uint32, c_uint64
from dataclasses import replace
from errno import errorcode
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET6

from dropwatch.model.drop import Address, Event, SocketNote
from dropwatch.wire.header import RecordHeader
from dropwatch.wire.note import KernelNames, Note

RECORD_SOCKET = 11  # enum record_type


class SocketRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("inode", c_uint64),
        ("error", c_uint32),
        ("queued", c_uint32),
        ("limit", c_uint32),
        ("is_limit_set", c_uint32),
        ("datagrams", c_uint32),
        ("bound_ifindex", c_uint32),
        ("family", c_uint32),
        ("port", c_uint16),
        ("peer_port", c_uint16),
        ("address", c_uint8 * 16),
        ("peer", c_uint8 * 16),
    )


def socket_note(record: SocketRecord) -> SocketNote:
    return SocketNote(
        error=errorcode.get(record.error),
        queued=record.queued,
        limit=record.limit,
        limit_set=bool(record.is_limit_set),
        datagrams=record.datagrams,
        inode=record.inode,
        address=address_of(record.family, bytes(record.address)),
        port=record.port,
        peer=address_of(record.family, bytes(record.peer)) if record.peer_port else None,
        peer_port=record.peer_port or None,
        bound_ifindex=record.bound_ifindex or None,
    )


def address_of(family: int, raw: bytes) -> Address:
    return IPv6Address(raw) if family == AF_INET6 else IPv4Address(raw[:4])


def _add(event: Event, record: SocketRecord, names: KernelNames) -> Event:
    return replace(event, socket=socket_note(record))


SOCKET_NOTE = Note(RECORD_SOCKET, SocketRecord, _add, follows=True)
