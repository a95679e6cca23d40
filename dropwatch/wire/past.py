"""What a packet itself said of its past becomes a note: the typed mirror of struct past_record."""

import ctypes
from ctypes import c_uint8, c_uint16, c_uint32
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6

from dropwatch.model.drop import Event
from dropwatch.model.past import Connection, Ends, PastNote, Waiting
from dropwatch.names import protocols
from dropwatch.wire.flow import FLOW_BYTES, flow_packet
from dropwatch.wire.header import RecordHeader
from dropwatch.wire.note import KernelNames, Note

RECORD_PAST = 12  # enum record_type
# linux/netfilter/nf_conntrack_common.h: enum ip_conntrack_info is these states, and once more for answers
_STATES = ("established", "related", "new")
_OF_IPVS = 2  # enum has_connection
_CONFIRMED, _SRC_NAT, _DST_NAT = 8, 16, 32  # IPS_*


class PastDirection(ctypes.Structure):
    _fields_ = (
        ("saddr", c_uint8 * 16),
        ("daddr", c_uint8 * 16),
        ("sport", c_uint16),
        ("dport", c_uint16),
        ("family", c_uint16),
        ("proto", c_uint16),
    )


class PastRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("bridge_port", c_uint32),
        ("has_connection", c_uint32),
        ("info", c_uint32),
        ("status", c_uint32),
        ("mark", c_uint32),
        ("zone", c_uint32),
        ("original", PastDirection),
        ("reply", PastDirection),
        ("has_waiting", c_uint32),
        ("waiting", c_uint8 * FLOW_BYTES),
    )


def past_note(record: PastRecord) -> PastNote:
    return PastNote(
        _connection(record) if record.has_connection else None,
        record.bridge_port,
        _waiting(bytes(record.waiting)) if record.has_waiting else None,
    )


def _waiting(flow: bytes) -> Waiting | None:
    packet = flow_packet(flow, 0)
    if packet.saddr is None or packet.daddr is None or packet.proto is None:
        return None
    return Waiting(packet.proto, Ends(packet.saddr, packet.daddr, packet.sport, packet.dport))


def _connection(record: PastRecord) -> Connection | None:
    """None of what is no connection of IP: then what was read is none."""
    original = record.original
    if original.family not in (AF_INET, AF_INET6) or record.reply.family != original.family:
        return None
    return Connection(
        proto=protocols.name(original.proto),
        original=_ends(original),
        reply=_ends(record.reply),
        is_reply=record.info >= len(_STATES),
        state=_STATES[record.info % len(_STATES)] if record.has_connection != _OF_IPVS else "untracked",
        source_nat=bool(record.status & _SRC_NAT),
        destination_nat=bool(record.status & _DST_NAT),
        confirmed=bool(record.status & _CONFIRMED),
        mark=record.mark,
        zone=record.zone,
        by_ipvs=record.has_connection == _OF_IPVS,
    )


def _ends(direction: PastDirection) -> Ends:
    has_ports = direction.proto in protocols.WITH_PORTS
    return Ends(
        _address(direction.family, bytes(direction.saddr)),
        _address(direction.family, bytes(direction.daddr)),
        direction.sport if has_ports else None,
        direction.dport if has_ports else None,
    )


def _address(family: int, raw: bytes) -> IPv4Address | IPv6Address:
    return IPv6Address(raw) if family == AF_INET6 else IPv4Address(raw[:4])


def _add(event: Event, record: PastRecord, names: KernelNames) -> Event:
    return replace(event, past=past_note(record))


PAST_NOTE = Note(RECORD_PAST, PastRecord, _add, follows=True)
