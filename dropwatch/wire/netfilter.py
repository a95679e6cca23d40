"""Bytes of the netfilter probes become notes: the typed mirror of their records in bpf/event.h."""

import ctypes
from collections.abc import Callable
from ctypes import c_char, c_int32, c_uint8, c_uint32, c_uint64
from dataclasses import replace

from dropwatch.model.drop import Event
from dropwatch.model.netfilter import (
    FAMILIES,
    ICMP_TRANSLATION,
    ConntrackNote,
    EbtNote,
    FunctionsAtHook,
    HookFunction,
    HookNote,
    NetfilterNote,
    NftChain,
    NftNote,
    QueueNote,
    XtFamily,
    XtNote,
)
from dropwatch.names.foreign import foreign
from dropwatch.wire.header import (
    RECORD_EBT,
    RECORD_ENGINES,
    RECORD_HOOKS,
    RECORD_NFT,
    RECORD_XT,
    RecordHeader,
)
from dropwatch.wire.note import KernelNames, Note

NFT_NAME_BYTES = 64
NFT_VISITED = 8
XT_NAME_BYTES = 32
XT_CANDIDATES = 32
XT_JUMPS = 8
XT_RULE_BYTES = 512
EBT_WATCHED = 256
INVALID_WORDS = 96
NF_HOOKS = 5
HOOK_FUNCTIONS = 16
_NAME_BYTES = 16
_NFT_RULE = 1
_XT_FAMILIES: tuple[XtFamily, ...] = ("ip", "ip6", "arp")
_CONNTRACK = frozenset({"nf_conntrack_in", "__nf_conntrack_confirm", *ICMP_TRANSLATION})
_BPF_HOOK = "nf_hook_run_bpf"
_BRIDGE = 7  # NFPROTO_BRIDGE

FunctionName = Callable[[int], str | None]
HookFunctionOf = Callable[[int], HookFunction]


class EnginesRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("refuser", c_uint64),
        ("tracked", c_uint32),
        ("invalid", c_uint32),
        ("table_full", c_uint32),
        ("queued", c_uint32),
        ("queue", c_uint32),
        ("queue_errno", c_int32),
        ("bpf_id", c_uint32),
        ("nat", c_uint32),
        ("bpf_name", c_char * _NAME_BYTES),
        ("words", c_char * INVALID_WORDS),
    )


class NftChainSeen(ctypes.Structure):
    _fields_ = (("handle", c_uint64), ("name", c_char * NFT_NAME_BYTES))


class NftRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("function", c_uint64),
        ("table_handle", c_uint64),
        ("rule_handle", c_uint64),
        ("verdict", c_uint32),
        ("family", c_uint32),
        ("hook", c_uint32),
        ("priority", c_int32),
        ("policy", c_uint32),
        ("visits", c_uint32),
        ("table", c_char * NFT_NAME_BYTES),
        ("base", NftChainSeen),
        ("chain", NftChainSeen),
        ("visited", NftChainSeen * NFT_VISITED),
    )


class XtRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("function", c_uint64),
        ("family", c_uint32),
        ("hook", c_uint32),
        ("entries", c_uint32),
        ("size", c_uint32),
        ("policy", c_uint32),
        ("generation", c_uint32),
        ("exact", c_uint32),
        ("incomplete", c_uint32),
        ("risen", c_uint32),
        ("unaccounted", c_uint32),
        ("candidates", c_uint32),
        ("jumps", c_uint32),
        ("candidate", c_uint32 * XT_CANDIDATES),
        ("jump", c_uint32 * XT_JUMPS),
        ("table", c_char * XT_NAME_BYTES),
        ("rule", c_uint8 * XT_RULE_BYTES),
    )


class EbtRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("hook", c_uint32),
        ("entries", c_uint32),
        ("generation", c_uint32),
        ("watched", c_uint32),
        ("counted", c_uint64 * (EBT_WATCHED // 64)),
        ("table", c_char * XT_NAME_BYTES),
    )


class HookFunctions(ctypes.Structure):
    _fields_ = (
        ("registered", c_uint32),
        ("pad", c_uint32),
        ("function", c_uint64 * HOOK_FUNCTIONS),
    )


class HooksRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("family", c_uint32),
        ("pad", c_uint32),
        ("own", HookFunctions * NF_HOOKS),
        ("bridge", HookFunctions * NF_HOOKS),
    )


def engines_note(record: EnginesRecord, function_name: FunctionName) -> NetfilterNote:
    """What conntrack, queues and other hooks said; parts are None where nothing was seen."""
    refuser = function_name(record.refuser) if record.refuser else None
    by_conntrack = refuser if refuser in _CONNTRACK else None
    hook = None
    if refuser is not None and by_conntrack is None:
        is_bpf = refuser == _BPF_HOOK
        hook = HookNote(
            function=refuser,
            bpf_id=record.bpf_id if is_bpf and record.bpf_id else None,
            bpf_name=foreign(record.bpf_name) or None if is_bpf else None,
        )
    conntrack = None
    if record.tracked or by_conntrack:
        conntrack = ConntrackNote(
            refused=by_conntrack,
            table_full=bool(record.table_full),
            words=foreign(record.words).strip() or None,
            invalid=bool(record.invalid) if record.tracked else None,
            nat=bool(record.nat),
        )
    queue = QueueNote(record.queue, -record.queue_errno or None) if record.queued else None
    return NetfilterNote(conntrack=conntrack, queue=queue, hook=hook)


def nft_note(record: NftRecord, function_name: FunctionName) -> NftNote:
    is_rule = record.verdict == _NFT_RULE
    visited = tuple(_chain(seen) for seen in record.visited[: min(record.visits, NFT_VISITED)])
    return NftNote(
        verdict="policy" if not is_rule else "rule" if record.rule_handle else "unplaced",
        family=FAMILIES.get(record.family, str(record.family)),
        table=foreign(record.table),
        table_handle=record.table_handle,
        base_chain=_chain(record.base),
        hook=record.hook,
        priority=record.priority,
        policy="accept" if record.policy else "drop",
        chain=_chain(record.chain) if record.chain.handle else None,
        rule=record.rule_handle or None,
        expression=function_name(record.function) if record.function else None,
        visited=visited,
    )


def xt_note(record: XtRecord, function_name: FunctionName) -> XtNote:
    candidates = tuple(record.candidate[: min(record.candidates, XT_CANDIDATES)])
    one = len(candidates) == 1
    return XtNote(
        family=_XT_FAMILIES[record.family % len(_XT_FAMILIES)],
        table=foreign(record.table),
        hook=record.hook,
        entries=record.entries,
        size=record.size,
        policy=record.policy,
        # as many rises as deaths that were passed over: this packet is not among them
        candidates=candidates if record.exact or record.risen > record.unaccounted else (),
        exact=bool(record.exact),
        accounted=not record.incomplete
        and record.candidates <= XT_CANDIDATES
        and record.risen == record.unaccounted + 1,
        target=function_name(record.function) if record.function else None,
        jumps=tuple(record.jump[: min(record.jumps, XT_JUMPS)]),
        generation=record.generation,
        rule=bytes(record.rule) if one else b"",
    )


def ebt_note(record: EbtRecord) -> EbtNote:
    counted = tuple(n for n in range(EBT_WATCHED) if record.counted[n // 64] >> n % 64 & 1)
    return EbtNote(
        table=foreign(record.table),
        hook=record.hook,
        entries=record.entries,
        counted=counted if record.watched else None,
        generation=record.generation,
    )


def hooks_note(record: HooksRecord, hook_function: HookFunctionOf) -> tuple[FunctionsAtHook, ...]:
    """The hooks that have functions at all, those of the packet's own family first."""
    families = ((record.family, record.own), (_BRIDGE, record.bridge))
    return tuple(
        FunctionsAtHook(
            family=FAMILIES.get(number, str(number)),
            hook=hook,
            functions=tuple(map(hook_function, at.function[: min(at.registered, HOOK_FUNCTIONS)])),
            complete=at.registered <= HOOK_FUNCTIONS,
        )
        for number, lists in families
        for hook, at in enumerate(lists)
        if at.registered
    )


def _chain(seen: NftChainSeen) -> NftChain:
    return NftChain(seen.handle, foreign(seen.name))


def _add_engines(event: Event, record: EnginesRecord, names: KernelNames) -> Event:
    return replace(event, netfilter=engines_note(record, names.function))


def _add_nft(event: Event, record: NftRecord, names: KernelNames) -> Event:
    return replace(event, netfilter=replace(_noted(event), nft=nft_note(record, names.function)))


def _add_xt(event: Event, record: XtRecord, names: KernelNames) -> Event:
    return replace(event, netfilter=replace(_noted(event), xt=xt_note(record, names.function)))


def _add_ebt(event: Event, record: EbtRecord, names: KernelNames) -> Event:
    return replace(event, netfilter=replace(_noted(event), ebt=ebt_note(record)))


def _add_hooks(event: Event, record: HooksRecord, names: KernelNames) -> Event:
    functions = hooks_note(record, lambda address: names.hook_function(address, event.monotonic_ns))
    return replace(event, netfilter=replace(_noted(event), at_hooks=functions))


def _noted(event: Event) -> NetfilterNote:
    return event.netfilter or NetfilterNote()


ENGINES_NOTE = Note(RECORD_ENGINES, EnginesRecord, _add_engines)
NFT_NOTE = Note(RECORD_NFT, NftRecord, _add_nft, follows=True)
XT_NOTE = Note(RECORD_XT, XtRecord, _add_xt, follows=True)
EBT_NOTE = Note(RECORD_EBT, EbtRecord, _add_ebt, follows=True)
HOOKS_NOTE = Note(RECORD_HOOKS, HooksRecord, _add_hooks, follows=True)
