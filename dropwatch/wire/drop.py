"""The DROP record of a death, and the row of a summary, become an Event."""

import ctypes
import struct
from ctypes import c_char, c_int32, c_uint8, c_uint16, c_uint32, c_uint64
from functools import lru_cache

from dropwatch.model.drop import Event
from dropwatch.names.foreign import foreign
from dropwatch.wire.header import RecordHeader

STACK_DEPTH = 64
PACKET_BYTES = 256
SOURCES = (
    *("kfree_skb", "xfrm_lookup", "tcp_conn_request", "wg_allowedips_lookup_src", "__kfree_skb"),
    *("ip_route_output_flow", "ip6_dst_lookup_flow", "tcp_v4_connect", "tcp_v6_connect"),
    *("udp_sendmsg", "ip_local_error", "ipv6_local_error", "__cgroup_bpf_run_filter_sock_addr"),
)
FIRST_OF_SENDS = SOURCES.index("ip_route_output_flow")  # from here on: sends of system calls
_NAME_BYTES = 16
_NOTES = {
    1: "time-wait",
    2: "task-stack",
    4: "probes-off",
    8: "answered",
    16: "copied",
    32: "flooded",
    64: "looped-back",
    128: "to-many",
    256: "no-carrier",
    512: "probes-unknown",
    1024: "not-own",
    2048: "no-header",
    4096: "reset-sent",
    8192: "to-group",
    16384: "ended-half-open",
    32768: "unreachable-sent",
    131072: "connecting",
    1048576: "refusal-sent",
    4194304: "piece-twice",
    8388608: "piece-overlaps",
    67108864: "no-queue",
    2097152: "cgroup-refused",
    16777216: "as-written",
    33554432: "all-old",
}
_PAST = 65536  # RECORD_PAST follows
_NO_REASON = 0xFFFFFFFF  # in a row


class Row(ctypes.Structure):
    _fields_ = (
        ("location", c_uint64),
        ("object", c_uint64),
        ("bits", c_uint64),
        ("reason", c_uint32),
        ("netns", c_uint32),
        ("ifindex", c_uint32),
        ("notes", c_uint32),
        ("is_carrier", c_uint32),
        ("protocol", c_uint32),
        ("callers", c_uint64),
        ("skb_iif", c_uint32),
        ("what", c_uint32),
        ("saddr", c_uint8 * 16),
        ("daddr", c_uint8 * 16),
        ("dport", c_uint16),
        ("proto", c_uint8),
        ("detail", c_uint8),
        ("is_rest", c_uint32),
    )


_NOWHERE = bytes(16)
_MAPPED = bytes(10) + b"\xff\xff"  # before an address of IPv4


class DropRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("row", Row),
        ("journey", c_uint64),
        ("location", c_uint64),
        ("cgroup", c_uint64),
        ("source", c_uint32),
        ("reason", c_uint32),
        ("has_reason", c_uint32),
        ("length", c_uint32),
        ("mark", c_uint32),
        ("ifindex", c_uint32),
        ("skb_iif", c_uint32),
        ("netns", c_uint32),
        ("pid", c_uint32),
        ("cpu", c_uint32),
        ("is_carrier", c_uint32),
        ("protocol", c_uint32),
        ("packet_length", c_uint32),
        ("notes", c_uint32),
        ("stack_bytes", c_int32),
        ("detail", c_uint32),
        ("ifname", c_char * _NAME_BYTES),
        ("comm", c_char * _NAME_BYTES),
        ("stack", c_uint64 * STACK_DEPTH),
        ("packet", c_uint8 * PACKET_BYTES),
        ("link", c_uint8 * 23),
        ("link_length", c_uint8),
    )


def event_of_drop(record: DropRecord) -> Event:
    """Without the notes that come with it."""
    depth = max(record.stack_bytes, 0) // 8
    return Event(
        monotonic_ns=record.header.time_ns,
        source=SOURCES[record.source],
        skb=record.header.skb,
        row=bytes(record.row) if record.row.location else b"",
        journey=record.journey,
        location=record.location,
        reason=record.reason if record.has_reason else None,
        protocol=record.protocol,
        length=record.length,
        mark=record.mark,
        ifindex=record.ifindex,
        ifname=foreign(record.ifname),
        skb_iif=record.skb_iif,
        netns=record.netns,
        pid=record.pid,
        comm=foreign(record.comm),
        cpu=record.cpu,
        carrier=bool(record.is_carrier),
        stack=tuple(record.stack[:depth]),
        notes=_words(record.notes),
        packet=bytes(record.packet[: record.packet_length]),
        link=bytes(record.link[: record.link_length]),
        cgroup=record.cgroup,
    )


def records_to_follow(record: DropRecord) -> int:
    """How many records complete it."""
    return bool(record.notes & _PAST) + bool(record.detail)


def event_of_row(row: bytes) -> Event:
    """What a row says by itself, for one of which no packet came as an Event. Its header is made of the addresses."""
    found = Row.from_buffer_copy(row)
    return Event(
        monotonic_ns=0,
        source=SOURCES[0],
        skb=0,
        location=found.location,
        reason=None if found.reason == _NO_REASON else found.reason,
        protocol=found.protocol,
        length=0,
        mark=0,
        ifindex=found.ifindex,
        ifname="",
        skb_iif=found.skb_iif,
        netns=found.netns,
        pid=0,
        comm="",
        cpu=0,
        carrier=bool(found.is_carrier),
        stack=(),
        packet=_header(found),
        notes=_words(found.notes) | {"no-header"},
        row=row,
    )


def is_rest(row: bytes) -> bool:
    """It has the packets of several rows, for which there was no room."""
    return bool(Row.from_buffer_copy(row).is_rest)


def netns_of(row: bytes) -> int:
    return int(Row.from_buffer_copy(row).netns)


def _header(row: Row) -> bytes:
    """Of IP and, as far as they have it, the ports of UDP and TCP; nothing where the row has no addresses."""
    source, destination = bytes(row.saddr), bytes(row.daddr)
    if source == destination == _NOWHERE:
        return b""
    ports = struct.pack("!HHHH", 0, row.dport, 8, 0) if row.dport else b""
    if source.startswith(_MAPPED):
        first = struct.pack("!BBHIBBH", 0x45, 0, 20 + len(ports), 0, 0, row.proto, 0)
        return first + source[12:] + destination[12:] + ports
    return struct.pack("!IHBB", 6 << 28, len(ports), row.proto, 0) + source + destination + ports


@lru_cache(maxsize=1024)
def _words(notes: int) -> frozenset[str]:
    return frozenset(word for bit, word in _NOTES.items() if notes & bit)
