"""Bytes of the IPsec probes become a note: the typed mirror of their record in bpf/event.h."""

import ctypes
from collections.abc import Mapping
from ctypes import c_char, c_int32, c_uint8, c_uint16, c_uint32, c_uint64
from dataclasses import replace

from dropwatch.model.drop import Event
from dropwatch.model.ipsec import (
    Encap,
    GoneState,
    Lifetime,
    XfrmCheck,
    XfrmLookup,
    XfrmNote,
    XfrmPolicy,
    XfrmSearch,
    XfrmState,
    XfrmTemplate,
)
from dropwatch.names import xfrm_abi
from dropwatch.names.foreign import foreign
from dropwatch.wire.header import RECORD_XFRM, RecordHeader
from dropwatch.wire.note import KernelNames, Note

_AUDITS = {1: "icvfail", 2: "notfound", 4: "replay", 8: "overflow"}


_DIRECTIONS = {0: "in", 1: "out", 2: "fwd"}  # XFRM_POLICY_* of linux/xfrm.h
_NONE, _FOUND = 1, 2  # enum policy_found


class XfrmAlgorithm(ctypes.Structure):
    _fields_ = (("name", c_char * 64), ("key_bits", c_uint32), ("icv_bits", c_uint32))


class XfrmTemplateRecord(ctypes.Structure):
    _fields_ = (
        ("daddr", c_uint8 * 16),
        ("saddr", c_uint8 * 16),
        ("spi", c_uint8 * 4),
        ("reqid", c_uint32),
        ("family", c_uint16),
        ("proto", c_uint8),
        ("mode", c_uint8),
        ("optional", c_uint8),
        ("pad", c_uint8 * 3),
    )


class XfrmPolicyRecord(ctypes.Structure):
    _fields_ = (
        ("add_time", c_uint64),
        ("selector", c_uint8 * 56),
        ("found", c_uint32),
        ("index", c_uint32),
        ("priority", c_uint32),
        ("mark", c_uint32),
        ("mark_mask", c_uint32),
        ("if_id", c_uint32),
        ("action", c_uint32),
        ("count", c_uint32),
        ("templates", XfrmTemplateRecord * 6),
    )


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
        ("check_counters", c_uint64),
        ("is_outbound", c_uint32),
        ("is_refused", c_uint32),
        ("check_dir", c_uint32),
        ("lookup_errno", c_int32),
        ("lookup_if_id", c_uint32),
        ("is_blackholed", c_uint32),
        ("mtu", c_uint32),
        ("netns", c_uint32),
        ("pid", c_uint32),
        ("check_mark", c_uint32),
        ("comm", c_char * 16),
        ("policy", XfrmPolicyRecord),
    )


def xfrm_note(
    record: XfrmRecord, state_names: Mapping[int, str], counter_names: Mapping[int, str]
) -> XfrmNote:
    """What the record says in words; the maps name the running kernel's numbers."""
    audit = frozenset(word for bit, word in _AUDITS.items() if record.audit & bit)
    check = None
    if record.is_refused:
        direction = _DIRECTIONS.get(record.check_dir, str(record.check_dir))
        check = XfrmCheck(direction, _risen(record.check_counters, counter_names), record.check_mark)
    return XfrmNote(
        audit=audit,
        counters=_risen(record.counters, counter_names),
        spi=_number(record.spi_seen) if "notfound" in audit else None,
        seq=_number(record.seq_seen) if audit & {"notfound", "replay"} else None,
        state=_state(record, state_names) if record.has_state else None,
        outbound=bool(record.is_outbound),
        mtu=record.mtu or None,
        check=check,
        lookup=XfrmLookup(-record.lookup_errno, record.lookup_if_id) if record.lookup_errno else None,
        blackholed=bool(record.is_blackholed),
        search=_search(record.policy),
    )


def gone_state(record: XfrmRecord, state_names: Mapping[int, str]) -> GoneState:
    """An SA at the moment when it was deleted."""
    return GoneState(
        monotonic_ns=record.header.time_ns,
        netns=record.netns,
        state=_state(record, state_names),
        pid=record.pid,
        comm=foreign(record.comm),
    )


def _add(event: Event, record: XfrmRecord, names: KernelNames) -> Event:
    return replace(event, xfrm=xfrm_note(record, names.states, names.counters))


XFRM_NOTE = Note(RECORD_XFRM, XfrmRecord, _add)


def _risen(counters: int, names: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(name for n, name in names.items() if counters >> n & 1)


def _state(record: XfrmRecord, state_names: Mapping[int, str]) -> XfrmState:
    algorithms = tuple(
        (word, foreign(found.name), found.key_bits, found.icv_bits)
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
        state=state_names.get(record.state, str(record.state)),
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


def _search(record: XfrmPolicyRecord) -> XfrmSearch | None:
    if record.found == _FOUND:
        return XfrmSearch(_policy(record))
    return XfrmSearch() if record.found == _NONE else None


def _policy(record: XfrmPolicyRecord) -> XfrmPolicy:
    return XfrmPolicy(
        selector=xfrm_abi.selector(bytes(record.selector), 0),
        dir=xfrm_abi.direction_of(record.index),
        action=xfrm_abi.action_word(record.action),
        priority=record.priority,
        index=record.index,
        if_id=record.if_id,
        mark=record.mark,
        mark_mask=record.mark_mask,
        templates=tuple(_template(one) for one in record.templates[: record.count]),
        add_time=record.add_time,
    )


def _template(record: XfrmTemplateRecord) -> XfrmTemplate:
    return XfrmTemplate(
        proto=xfrm_abi.proto_word(record.proto),
        mode=xfrm_abi.mode_word(record.mode),
        saddr=xfrm_abi.address_or_any(record.family, bytes(record.saddr)),
        daddr=xfrm_abi.address_or_any(record.family, bytes(record.daddr)),
        spi=_number(record.spi),
        reqid=record.reqid,
        optional=bool(record.optional),
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
