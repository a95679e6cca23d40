"""Bytes from the kernel become an Event: the typed mirror of bpf/event.h and bpf/settings.h.

The parts of IPsec and of netfilter stand in xfrm_wire.py and netfilter_wire.py. A unit test lets the C compiler compare
every offset and size.
"""

import ctypes
from collections import deque
from collections.abc import Callable
from ctypes import c_char, c_int32, c_uint8, c_uint16, c_uint32, c_uint64
from dataclasses import replace
from typing import NamedTuple

from dropwatch.model.drop import Event
from dropwatch.model.ipsec import GoneState, XfrmNote
from dropwatch.model.journey import RawStep
from dropwatch.model.netfilter import HookFunction, NetfilterNote
from dropwatch.wire import netfilter
from dropwatch.wire.header import RecordHeader
from dropwatch.wire.ipsec import XfrmRecord, gone_state, xfrm_note
from dropwatch.wire.netfilter import (
    EbtRecord,
    EnginesRecord,
    HookFunctionOf,
    HooksRecord,
    NftRecord,
    XtRecord,
)
from dropwatch.wire.trace import RECORD_STEP, StepRecord, raw_step

STACK_DEPTH = 64
PACKET_BYTES = 256
NAME_BYTES = 16
ALTERNATIVES = 4

RECORD_DROP, RECORD_XFRM, RECORD_ENGINES, RECORD_NFT, RECORD_XT, RECORD_EBT, RECORD_MODULE = range(1, 8)
RECORD_HOOKS = 8
RECORD_XFRM_GONE = 9
SOURCES = ("kfree_skb", "xfrm_lookup")
LOSS_RING_FULL, LOSS_DETAIL, NOT_A_PACKET, LOSS_ROWS, INTERRUPTING, LOSS_STEPS = range(6)
_NOTES = {1: "time-wait", 2: "task-stack", 4: "probes-off"}
_NO_REASON = 0xFFFFFFFF  # in a row
_GONE_STATES = 1 << 14  # SAs that are remembered after their end


class Row(ctypes.Structure):
    _fields_ = (
        ("location", c_uint64),
        ("object", c_uint64),
        ("bits", c_uint64),
        ("reason", c_uint32),
        ("netns", c_uint32),
        ("ifindex", c_uint32),
        ("notes", c_uint16),
        ("proto", c_uint8),
        ("detail", c_uint8),
        ("is_carrier", c_uint32),
        ("protocol", c_uint32),
    )


class DropRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("row", Row),
        ("journey", c_uint64),
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
        ("detail", c_uint32),
        ("ifname", c_char * NAME_BYTES),
        ("comm", c_char * NAME_BYTES),
        ("stack", c_uint64 * STACK_DEPTH),
        ("packet", c_uint8 * PACKET_BYTES),
    )


class ModuleRecord(ctypes.Structure):
    _fields_ = (("header", RecordHeader), ("name", c_char * 56))


class Prefix(ctypes.Structure):
    _fields_ = (("address", c_uint32 * 4), ("mask", c_uint32 * 4))


class PortRange(ctypes.Structure):
    _fields_ = (("first", c_uint16), ("last", c_uint16))


class Mark(ctypes.Structure):
    _fields_ = (("value", c_uint32), ("mask", c_uint32))


class Settings(ctypes.Structure):
    _fields_ = (
        ("netns_operations", c_uint64),
        ("blackhole_operations", c_uint64 * 2),
        ("per_cpu_offset", c_uint64),
        ("current_kprobe", c_uint64),
        ("bpf_prog_active", c_uint64),
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


class _Before(NamedTuple):
    """What came of a death before its DROP record."""

    xfrm: XfrmNote | None = None
    netfilter: NetfilterNote | None = None


class Decoder:
    """Joins the records of one death: what comes before its DROP record, and the detail that may follow it.

    `state_names` and `counter_names` map the running kernel's numbers (enum of xfrm states, indexes of
    /proc/net/xfrm_stat) to words, `function_name` an address, `hook_function` that of a function at a netfilter hook.
    A record of another type or size than expected raises ValueError.
    """

    def __init__(
        self,
        state_names: dict[int, str],
        counter_names: dict[int, str],
        function_name: Callable[[int], str | None],
        hook_function: HookFunctionOf = lambda address: HookFunction(None),
    ) -> None:
        self._state_names = state_names
        self._counter_names = counter_names
        self._function_name = function_name
        self._hook_function = hook_function
        self._before: dict[tuple[int, int], _Before] = {}
        self._waiting: dict[tuple[int, int], Event] = {}
        self.modules: set[str] = set()  # that came or went, since the reader cleared it
        self.gone_states: deque[GoneState] = deque(maxlen=_GONE_STATES)
        self.steps: list[RawStep] = []  # of packets that are followed, since the reader took them

    def feed(self, data: bytes) -> Event | None:
        """One record; an Event when it completes one."""
        header = RecordHeader.from_buffer_copy(data)
        _check(data, header)
        key = (header.time_ns, header.skb)
        if header.type == RECORD_DROP:
            return self._drop(key, DropRecord.from_buffer_copy(data))
        if header.type == RECORD_MODULE:
            self.modules.add(ModuleRecord.from_buffer_copy(data).name.decode(errors="replace"))
        elif header.type == RECORD_STEP:
            self.steps.append(raw_step(data))
        elif header.type == RECORD_XFRM_GONE:
            gone = gone_state(XfrmRecord.from_buffer_copy(data), self._state_names)
            self.gone_states.append(gone)
        elif header.type == RECORD_XFRM:
            note = xfrm_note(XfrmRecord.from_buffer_copy(data), self._state_names, self._counter_names)
            self._before[key] = self._before.get(key, _Before())._replace(xfrm=note)
        elif header.type == RECORD_ENGINES:
            engines = netfilter.engines_note(EnginesRecord.from_buffer_copy(data), self._function_name)
            self._before[key] = self._before.get(key, _Before())._replace(netfilter=engines)
        else:
            return self._detailed(key, header.type, data)
        return None

    def overdue(self, died_before_ns: int) -> list[Event]:
        """Events that still wait for their detail, of deaths before this monotonic time: it was lost."""
        if not self._waiting:
            return []
        late = [key for key in self._waiting if key[0] < died_before_ns]
        return [self._waiting.pop(key) for key in late]

    def _drop(self, key: tuple[int, int], record: DropRecord) -> Event | None:
        event = _event(record)
        if self._before:
            before = self._before.pop(key, _Before())
            event = replace(event, xfrm=before.xfrm, netfilter=before.netfilter)
            # What is much older lost its DROP record to a full ring.
            self._before = {k: n for k, n in self._before.items() if k[0] + 10**9 > key[0]}
        if not record.detail:
            return event
        self._waiting[key] = event
        return None

    def _detailed(self, key: tuple[int, int], kind: int, data: bytes) -> Event | None:
        event = self._waiting.pop(key, None)
        if event is None:
            return None
        note = event.netfilter or NetfilterNote()
        if kind == RECORD_NFT:
            note = replace(
                note, nft=netfilter.nft_note(NftRecord.from_buffer_copy(data), self._function_name)
            )
        elif kind == RECORD_XT:
            note = replace(note, xt=netfilter.xt_note(XtRecord.from_buffer_copy(data), self._function_name))
        elif kind == RECORD_HOOKS:
            functions = netfilter.hooks_note(HooksRecord.from_buffer_copy(data), self._hook_function)
            note = replace(note, at_hooks=functions)
        else:
            note = replace(note, ebt=netfilter.ebt_note(EbtRecord.from_buffer_copy(data)))
        return replace(event, netfilter=note)


_RECORDS: dict[int, type[ctypes.Structure]] = {
    RECORD_DROP: DropRecord,
    RECORD_XFRM: XfrmRecord,
    RECORD_ENGINES: EnginesRecord,
    RECORD_NFT: NftRecord,
    RECORD_XT: XtRecord,
    RECORD_EBT: EbtRecord,
    RECORD_HOOKS: HooksRecord,
    RECORD_MODULE: ModuleRecord,
    RECORD_XFRM_GONE: XfrmRecord,
    RECORD_STEP: StepRecord,
}


def _check(data: bytes, header: RecordHeader) -> None:
    kind = _RECORDS.get(header.type)
    if kind is None:
        raise ValueError(f"record of unknown type {header.type}")
    if header.size != ctypes.sizeof(kind) or len(data) < header.size:
        raise ValueError(f"record of type {header.type} has {header.size} bytes, not {ctypes.sizeof(kind)}")


def event_of_row(row: bytes) -> Event:
    """What a row of a summary says by itself, for one of which no packet came as an Event."""
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
        skb_iif=0,
        netns=found.netns,
        pid=0,
        comm="",
        cpu=0,
        carrier=bool(found.is_carrier),
        stack=(),
        packet=b"",
        row=row,
    )


def _event(record: DropRecord) -> Event:
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
