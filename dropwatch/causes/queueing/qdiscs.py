"""Signs of a qdisc that drops: which one of the interface it is, by their counters, and why, by what it is set to."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.family import Judgement
from dropwatch.causes.places import SENDING
from dropwatch.causes.queueing import words
from dropwatch.causes.queueing.filters import blamed, suspects_of
from dropwatch.causes.queueing.remedies import remedies
from dropwatch.host.host import Host
from dropwatch.host.tc.qdiscs import CLASSFUL, Qdisc
from dropwatch.model.drop import Drop, Evidence

_READ = "tc qdisc, after the drop"
_FULL = frozenset({"QDISC_OVERLIMIT", "FQ_BAND_LIMIT", "FQ_FLOW_LIMIT"})
_SETTLED = {
    **dict.fromkeys(_FULL, "queueing.qdisc-full"),
    **dict.fromkeys(("QDISC_CONGESTED", "CAKE_FLOOD", "DUALPI2_STEP_DROP"), "queueing.congested"),
    "FQ_HORIZON_LIMIT": "queueing.horizon",
}
_EARLY = frozenset({"red", "pie", "fq_pie", "cake", "choke", "sfb", "gred", "dualpi2"})
_ON_LEAVING = frozenset({"codel_qdisc_dequeue", "fq_codel_dequeue"})
_SHOWN = 3


def judged(drop: Drop, host: Host) -> Judgement | None:
    """Nothing where no qdisc of the interface says that it has dropped anything."""
    silent = kernel_word.gave_no_reason(drop) and kernel_word.place(drop) in SENDING | _ON_LEAVING
    if not silent and drop.reason not in _SETTLED and drop.reason != "QDISC_DROP":
        return None
    found = host.qdiscs(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns) or ()
    suspects = [one for one in found if own_drops(one, found) > 0]
    settled = _SETTLED.get(drop.reason or "")
    if not suspects:
        return (settled, kernel_word.certain(drop)) if settled is not None else None
    if len(suspects) > 1:
        full = [one for one in suspects if one.is_full]
        if len(full) != 1:
            return _one_of_many(drop, suspects, settled)
    one = suspects[0] if len(suspects) == 1 else full[0]
    alone = len(suspects) == 1
    return _by(drop, host, one, found, settled, alone=alone)


def own_drops(one: Qdisc, found: tuple[Qdisc, ...]) -> int:
    """What it has dropped itself: a qdisc counts what those in its classes drop as well; mq only adds up."""
    if one.kind in ("mq", "mqprio", "ingress", "clsact"):
        return 0
    major = one.handle >> 16
    below = sum(each.drops for each in found if major and each.parent >> 16 == major)
    return max(0, one.drops - below)


def _one_of_many(drop: Drop, suspects: list[Qdisc], settled: str | None) -> Judgement | None:
    cause_id = settled
    if cause_id is None:
        kinds = {_cause_of(drop, one) for one in suspects}
        cause_id = kinds.pop() if len(kinds) == 1 else None
    if cause_id is None:
        return None
    said = kernel_word.certain(drop) if settled is not None else kernel_word.likely(drop)
    listed = tuple(
        Evidence(_READ, f"one of {len(suspects)} that drop: {_state(drop, one)}") for one in suspects
    )
    return cause_id, replace(said, evidence=(*listed[:_SHOWN], *said.evidence))


def _by(
    drop: Drop, host: Host, one: Qdisc, found: tuple[Qdisc, ...], settled: str | None, *, alone: bool
) -> Judgement:
    """`alone`: no other qdisc of the interface has dropped anything."""
    cause_id = settled or _cause_of(drop, one)
    changed = pinned.doubts(drop, host, pinned.Source("tc", None))
    if cause_id == "queueing.no-class":
        known = host.tc_filters(drop.event.netns, drop.event.ifindex, one.handle, drop.event.monotonic_ns)
        droppers = list(suspects_of(known or ()))
        if len(droppers) == 1:
            verdict = blamed(drop, kernel_word.likely(drop), *droppers[0], one.handle)
            return "queueing.tc-egress", pinned.doubted(verdict, changed)
    sure = settled is not None or (alone and drop.reason == "QDISC_DROP" and _explains(drop, one, cause_id))
    said = kernel_word.certain(drop) if sure else kernel_word.likely(drop)
    shown = _outer(one, found)
    device = drop.iface.name if drop.iface is not None else None
    fact = Evidence(_READ, _why(drop, one, cause_id), "proof")
    verdict = replace(
        said,
        culprit=words.qdisc(shown, device),
        evidence=(fact, *said.evidence),
        fix=remedies(cause_id, shown, drop),
    )
    if not alone and verdict.confidence == "certain":
        return cause_id, replace(verdict, confidence="likely")
    return cause_id, pinned.doubted(verdict, changed)


def _outer(one: Qdisc, found: tuple[Qdisc, ...]) -> Qdisc:
    """Of the queue that tbf makes for itself the tbf: its limit is what one sets."""
    if one.handle >> 16:
        return one
    above = next(
        (each for each in found if each.kind == "tbf" and each.handle >> 16 == one.parent >> 16), None
    )
    return one if above is None else replace(above, qlen=one.qlen, backlog=one.backlog, drops=one.drops)


def _cause_of(drop: Drop, one: Qdisc) -> str:
    if one.kind in CLASSFUL:
        return "queueing.no-class"
    if one.loss and not one.is_full:
        return "queueing.qdisc-loss"
    if one.burst is not None and drop.event.length > one.burst:
        return "queueing.burst-too-small"
    if one.kind == "fq" and one.horizon and not one.is_full:
        return "queueing.horizon"
    early = one.kind in _EARLY and not one.is_full
    return "queueing.congested" if early or kernel_word.place(drop) in _ON_LEAVING else "queueing.qdisc-full"


def _explains(drop: Drop, one: Qdisc, cause_id: str) -> bool:
    """What it is set to, and what it held right after, leave nothing else for which it would drop."""
    if cause_id == "queueing.qdisc-full":
        return one.is_full and one.kind not in _EARLY and not one.loss
    if cause_id == "queueing.no-class":
        return one.kind != "htb" and not _has_default(one)
    return cause_id in ("queueing.qdisc-loss", "queueing.burst-too-small")


def _has_default(one: Qdisc) -> bool:
    return one.default_class is not None and (one.handle & 0xFFFF0000 | one.default_class) in one.classes


def _why(drop: Drop, one: Qdisc, cause_id: str) -> str:
    if cause_id == "queueing.no-class":
        return _without_class(one)
    if cause_id == "queueing.qdisc-loss":
        probability = "by a model" if one.by_model else f"with a probability of {one.loss:.2%}"
        return f"it drops {probability}, has dropped {one.drops:,}, and is not full: {_held(one)}"
    if cause_id == "queueing.burst-too-small":
        return f"the packet has {drop.event.length:,} bytes, and its burst {one.burst:,}: a larger one never leaves"
    if cause_id == "queueing.horizon":
        return f"{one.horizon:,} of {one.drops:,} drops were for a time beyond its horizon"
    return f"{_held(one)}, {one.drops:,} dropped so far"


def _without_class(one: Qdisc) -> str:
    there = ", ".join(map(words.handle, one.classes)) or "none"
    if one.default_class and not _has_default(one):
        missing = words.handle(one.handle & 0xFFFF0000 | one.default_class)
        words_ = f"its default class {missing} does not exist; its classes are {there}"
    elif one.default_class:
        words_ = f"no filter and no priority gave the packet a class that exists; its classes are {there}"
    else:
        words_ = f"it has no default class, and nothing else gave the packet one; its classes are {there}"
    if one.kind == "htb":
        return f"{words_}: such packets share a queue of {one.limit} (direct_qlen), which is full"
    return words_


def _held(one: Qdisc) -> str:
    limit = f" of {one.limit:,}" if one.limit is not None else ""
    if one.unit == "b":
        return f"{one.backlog:,}{limit} bytes queued in {one.qlen:,} packets"
    return f"{one.qlen:,}{limit} packets queued, {one.backlog:,} bytes"


def _state(drop: Drop, one: Qdisc) -> str:
    device = drop.iface.name if drop.iface is not None else None
    return f"{words.qdisc(one, device).text}, {_held(one)}, {one.drops:,} dropped"
