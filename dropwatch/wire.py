"""Bytes from the kernel become an Event: the typed mirror of bpf/event.h and bpf/settings.h.

A unit test lets the C compiler compare every offset and size.
"""

import ctypes
from ctypes import c_char, c_int32, c_uint8, c_uint16, c_uint32, c_uint64
from dataclasses import replace

from dropwatch import xfrm_abi
from dropwatch.model import Encap, Event, Lifetime, XfrmNote, XfrmState

STACK_DEPTH = 64
PACKET_BYTES = 256
NAME_BYTES = 16
ALTERNATIVES = 4

RECORD_DROP, RECORD_XFRM = 1, 2
SOURCES = ("kfree_skb",)
LOSS_RING_FULL, LOSS_DETAIL, NOT_A_PACKET = range(3)
_NOTES = {1: "time-wait"}
_AUDITS = {1: "icvfail", 2: "notfound", 4: "replay"}


class RecordHeader(ctypes.Structure):
    _fields_ = (("time_ns", c_uint64), ("skb", c_uint64), ("type", c_uint32), ("size", c_uint32))


class DropRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("location", c_uint64),
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
        ("pad", c_uint32),
        ("ifname", c_char * NAME_BYTES),
        ("comm", c_char * NAME_BYTES),
        ("stack", c_uint64 * STACK_DEPTH),
        ("packet", c_uint8 * PACKET_BYTES),
    )


class XfrmAlgorithm(ctypes.Structure):
    _fields_ = (("name", c_char * 64), ("key_bits", c_uint32), ("icv_bits", c_uint32))


class XfrmRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("counters", c_uint64),
        ("audit", c_uint32),
        ("has_state", c_uint32),
        ("spi_seen", c_uint8 * 4),
        ("seq_seen", c_uint8 * 4),
        ("spi", c_uint8 * 4),
        ("proto", c_uint32),
        ("saddr", c_uint8 * 16),
        ("daddr", c_uint8 * 16),
        ("family", c_uint32),
        ("mode", c_uint32),
        ("reqid", c_uint32),
        ("if_id", c_uint32),
        ("mark", c_uint32),
        ("mark_mask", c_uint32),
        ("state", c_uint32),
        ("replay_window", c_uint32),
        ("flags", c_uint32),
        ("seq", c_uint32),
        ("oseq", c_uint32),
        ("has_esn", c_uint32),
        ("seq_hi", c_uint32),
        ("has_encap", c_uint32),
        ("encap_type", c_uint16),
        ("encap_sport", c_uint8 * 2),
        ("encap_dport", c_uint8 * 2),
        ("pad", c_uint8 * 2),
        ("stat_replay_window", c_uint32),
        ("stat_replay", c_uint32),
        ("stat_integrity_failed", c_uint32),
        ("pad2", c_uint32),
        ("limits", c_uint64 * 8),
        ("current_use", c_uint64 * 4),
        ("selector", c_uint8 * 56),
        ("aead", XfrmAlgorithm),
        ("enc", XfrmAlgorithm),
        ("auth", XfrmAlgorithm),
        ("comp", XfrmAlgorithm),
    )


class Prefix(ctypes.Structure):
    _fields_ = (("address", c_uint32 * 4), ("mask", c_uint32 * 4))


class PortRange(ctypes.Structure):
    _fields_ = (("first", c_uint16), ("last", c_uint16))


class Mark(ctypes.Structure):
    _fields_ = (("value", c_uint32), ("mask", c_uint32))


class Settings(ctypes.Structure):
    _fields_ = (
        ("netns_operations", c_uint64),
        ("per_cpu_offset", c_uint64),
        ("protos", c_uint64 * 4),
        ("send_all", c_uint32),
        ("asks_flow", c_uint32),
        ("families", c_uint32),
        ("asks_proto", c_uint32),
        ("saddrs", c_uint32),
        ("daddrs", c_uint32),
        ("hosts", c_uint32),
        ("sports", c_uint32),
        ("dports", c_uint32),
        ("ports", c_uint32),
        ("netnses", c_uint32),
        ("marks", c_uint32),
        ("ifaces", c_uint32),
        ("pad", c_uint32),
        ("saddr", Prefix * ALTERNATIVES),
        ("daddr", Prefix * ALTERNATIVES),
        ("host", Prefix * ALTERNATIVES),
        ("sport", PortRange * ALTERNATIVES),
        ("dport", PortRange * ALTERNATIVES),
        ("port", PortRange * ALTERNATIVES),
        ("netns", c_uint32 * ALTERNATIVES),
        ("mark", Mark * ALTERNATIVES),
        ("iface", (c_char * NAME_BYTES) * ALTERNATIVES),
    )


class Decoder:
    """Joins the records of one death: what subsystems know comes first, the DROP record completes it.

    `state_names` and `counter_names` map the running kernel's numbers (enum of xfrm states, indexes of
    /proc/net/xfrm_stat) to words. A record of another type or size than expected raises ValueError.
    """

    def __init__(self, state_names: dict[int, str], counter_names: dict[int, str]) -> None:
        self._state_names = state_names
        self._counter_names = counter_names
        self._notes: dict[tuple[int, int], XfrmNote] = {}

    def feed(self, data: bytes) -> Event | None:
        """One record; an Event when it completes one."""
        header = RecordHeader.from_buffer_copy(data)
        _check(data, header)
        key = (header.time_ns, header.skb)
        if header.type == RECORD_XFRM:
            self._notes[key] = self._note(XfrmRecord.from_buffer_copy(data))
            return None
        event = _event(DropRecord.from_buffer_copy(data))
        if not self._notes:
            return event
        note = self._notes.pop(key, None)
        # What is much older lost its DROP record to a full ring.
        self._notes = {k: n for k, n in self._notes.items() if k[0] + 10**9 > header.time_ns}
        return replace(event, xfrm=note) if note else event

    def _note(self, record: XfrmRecord) -> XfrmNote:
        audit = frozenset(word for bit, word in _AUDITS.items() if record.audit & bit)
        risen = tuple(name for n, name in self._counter_names.items() if record.counters >> n & 1)
        return XfrmNote(
            audit=audit,
            counters=risen,
            spi=_number(record.spi_seen) if "notfound" in audit else None,
            seq=_number(record.seq_seen) if audit & {"notfound", "replay"} else None,
            state=self._state(record) if record.has_state else None,
        )

    def _state(self, record: XfrmRecord) -> XfrmState:
        algorithms = tuple(
            (word, found.name.decode(errors="replace"), found.key_bits, found.icv_bits)
            for word, found in (
                ("aead", record.aead),
                ("enc", record.enc),
                ("auth", record.auth),
                ("comp", record.comp),
            )
            if found.name
        )
        return XfrmState(
            family=xfrm_abi.family_number(record.family),
            saddr=xfrm_abi.address(record.family, bytes(record.saddr)),
            daddr=xfrm_abi.address(record.family, bytes(record.daddr)),
            proto=xfrm_abi.proto_word(record.proto),
            spi=_number(record.spi),
            mode=xfrm_abi.mode_word(record.mode),
            reqid=record.reqid,
            if_id=record.if_id,
            mark=record.mark,
            mark_mask=record.mark_mask,
            state=self._state_names.get(record.state, str(record.state)),
            replay_window=record.replay_window,
            # replay_esn is also there for a long replay window without extended sequence numbers
            esn=bool(record.flags & xfrm_abi.STATE_ESN),
            seq=record.seq | record.seq_hi << 32,
            oseq=record.oseq,
            algorithms=algorithms,
            encap=_encap(record) if record.has_encap else None,
            selector=xfrm_abi.selector(bytes(record.selector), record.family),
            lifetime=_lifetime(record),
            stat_replay_window=record.stat_replay_window,
            stat_replay=record.stat_replay,
            stat_integrity_failed=record.stat_integrity_failed,
        )


def _check(data: bytes, header: RecordHeader) -> None:
    kind = {RECORD_DROP: DropRecord, RECORD_XFRM: XfrmRecord}.get(header.type)
    if kind is None:
        raise ValueError(f"record of unknown type {header.type}")
    if header.size != ctypes.sizeof(kind) or len(data) < header.size:
        raise ValueError(f"record of type {header.type} has {header.size} bytes, not {ctypes.sizeof(kind)}")


def _event(record: DropRecord) -> Event:
    depth = max(record.stack_bytes, 0) // 8
    return Event(
        monotonic_ns=record.header.time_ns,
        source=SOURCES[record.source],
        skb=record.header.skb,
        location=record.location,
        reason=record.reason if record.has_reason else None,
        protocol=record.protocol,
        length=record.length,
        mark=record.mark,
        ifindex=record.ifindex,
        ifname=record.ifname.decode(errors="replace"),
        skb_iif=record.skb_iif,
        netns=record.netns,
        pid=record.pid,
        comm=record.comm.decode(errors="replace"),
        cpu=record.cpu,
        carrier=bool(record.is_carrier),
        stack=tuple(record.stack[:depth]),
        notes=frozenset(word for bit, word in _NOTES.items() if record.notes & bit),
        packet=bytes(record.packet[: record.packet_length]),
    )


def _number(raw: ctypes.Array[c_uint8]) -> int:
    return int.from_bytes(bytes(raw), "big")


def _encap(record: XfrmRecord) -> Encap:
    return Encap(
        xfrm_abi.encap_word(record.encap_type), _number(record.encap_sport), _number(record.encap_dport)
    )


def _lifetime(record: XfrmRecord) -> Lifetime:
    """struct xfrm_lifetime_cfg and _cur."""
    soft_bytes, hard_bytes, soft_packets, hard_packets, _, hard_add, _, hard_use = record.limits
    used_bytes, used_packets, add_time, use_time = record.current_use
    return Lifetime(
        soft_bytes=xfrm_abi.limit(soft_bytes),
        hard_bytes=xfrm_abi.limit(hard_bytes),
        soft_packets=xfrm_abi.limit(soft_packets),
        hard_packets=xfrm_abi.limit(hard_packets),
        hard_add_seconds=xfrm_abi.seconds(hard_add),
        hard_use_seconds=xfrm_abi.seconds(hard_use),
        bytes=used_bytes,
        packets=used_packets,
        add_time=add_time,
        use_time=use_time,
    )
