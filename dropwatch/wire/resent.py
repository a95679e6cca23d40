"""What the programs tell of segments that are sent again: mirror of struct resent_record and struct resent_counts."""

import ctypes
from collections.abc import Iterable
from ctypes import c_uint8, c_uint16, c_uint32, c_uint64
from ipaddress import IPv4Address, IPv6Address

from dropwatch.model.resent import Death, ResentCounts, ResentSegment
from dropwatch.wire.header import RecordHeader

_COUNTED = 10  # members of struct resent_counts that are counts, in the order of ResentCounts


class ResentDeath(ctypes.Structure):
    _fields_ = (("time_ns", c_uint64), ("skb", c_uint64), ("location", c_uint64))


class ResentRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("sent", c_uint64),
        ("segment", ResentDeath),
        ("ack", ResentDeath),
        ("saddr", c_uint8 * 16),
        ("daddr", c_uint8 * 16),
        ("sport", c_uint16),
        ("dport", c_uint16),
        ("family", c_uint32),
        ("netns", c_uint32),
        ("seq", c_uint32),
        ("end", c_uint32),
        ("segments", c_uint32),
        ("has_failed", c_uint32),
        ("is_crowded", c_uint32),
    )


def resent_segment(data: bytes) -> ResentSegment:
    record = ResentRecord.from_buffer_copy(data)
    return ResentSegment(
        monotonic_ns=record.header.time_ns,
        saddr=_address(record.family, bytes(record.saddr)),
        sport=record.sport,
        daddr=_address(record.family, bytes(record.daddr)),
        dport=record.dport,
        netns=record.netns,
        seq=record.seq,
        segments=record.segments,
        failed=bool(record.has_failed),
        segment=_death(record.segment),
        ack=_death(record.ack),
    )


def resent_counts(of_cpus: Iterable[tuple[int, ...]]) -> ResentCounts:
    """The sum over struct resent_counts of each CPU, as u64s."""
    return ResentCounts(*map(sum, zip(*(counts[:_COUNTED] for counts in of_cpus), strict=True)))


def _death(record: ResentDeath) -> Death | None:
    return Death(record.time_ns, record.skb, record.location) if record.location else None


def _address(family: int, raw: bytes) -> IPv4Address | IPv6Address:
    """IPv4 stands in the last four bytes, as ::ffff:a.b.c.d."""
    return IPv4Address(raw[12:]) if family == 4 else IPv6Address(raw)
