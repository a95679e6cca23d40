"""Signs of a filter of traffic control that drops: which one it is, read after the drop."""

from collections.abc import Iterator
from dataclasses import replace

from dropwatch.causes import kernel_word, pinned, programs
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.family import Judgement
from dropwatch.causes.queueing import words
from dropwatch.host.bpf.programs import Program
from dropwatch.host.host import Host
from dropwatch.host.tc.actions import Action
from dropwatch.host.tc.filters import EGRESS, INGRESS, Filter
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.names.foreign import quoted

_RECEIVING = frozenset({"__netif_receive_skb_core", "sch_handle_ingress"})
_SENDING = frozenset({"__dev_queue_xmit", "sch_handle_egress"})
_READ = "tc filter, after the drop"
_TCX = "bpf query of the interface, after the drop"
_SHOWN = 3
_ANY = (0x0003, 0x8100, 0x88A8)  # ETH_P_ALL, and those of VLANs

Suspect = tuple[Filter, Action | None]


def ingress(drop: Drop, host: Host) -> Judgement | None:
    """Where a kernel gives no reason, a filter that has dropped something must be there."""
    if drop.reason != "TC_INGRESS" and not (
        kernel_word.gave_no_reason(drop) and kernel_word.place(drop) in _RECEIVING
    ):
        return None
    return _judged(drop, host, "queueing.tc-ingress", INGRESS, "TC_INGRESS")


def egress(drop: Drop, host: Host) -> Judgement | None:
    """The same on the way out; a qdisc drops in that function as well."""
    if drop.reason != "TC_EGRESS" and not (
        kernel_word.gave_no_reason(drop) and kernel_word.place(drop) in _SENDING
    ):
        return None
    return _judged(drop, host, "queueing.tc-egress", EGRESS, "TC_EGRESS")


def _judged(drop: Drop, host: Host, cause_id: str, hook: int, reason: str) -> Judgement | None:
    found = host.tc_filters(drop.event.netns, drop.event.ifindex, hook, drop.event.monotonic_ns) or ()
    suspects = [one for one in suspects_of(found) if _looks_at(one[0], drop)]
    said = kernel_word.certain(drop) if drop.reason == reason else kernel_word.likely(drop)
    if drop.reason != reason and not any(_has_dropped(action) for _, action in suspects):
        return None
    own = host.tcx_programs(drop.event.netns, drop.event.ifindex, hook, drop.event.monotonic_ns) or ()
    if not suspects and not own:
        return cause_id, said
    if len(suspects) + len(own) > 1:
        listed = _listed(drop, suspects, own, hook)
        return cause_id, replace(said, evidence=(*listed, *said.evidence))
    if own:
        return cause_id, _by_tcx(drop, host, said, own[0], hook)
    ((one, action),) = suspects
    verdict = blamed(drop, said, one, action, hook)
    changed = pinned.doubts(drop, host, pinned.Source("tc", None))
    if action is not None and action.kind == "police":
        cause_id = "queueing.police"
    elif action is not None and action.kind == "mirred":
        return "queueing.redirect-down", pinned.doubted(_redirected(drop, host, verdict, action), changed)
    return cause_id, pinned.doubted(verdict, changed)


def suspects_of(filters: tuple[Filter, ...]) -> Iterator[Suspect]:
    """Those that may have dropped a packet: by an action that has dropped something, or by a program's own word."""
    for one in filters:
        if one.direct:
            yield one, None
        yield from ((one, action) for action in one.actions if action.may_drop)


def _looks_at(one: Filter, drop: Drop) -> bool:
    """By its protocol; one for VLANs looks at a tag that may not be in the packet any more."""
    ethertype = drop.event.protocol
    return one.ethertype in (*_ANY, ethertype) or not ethertype


def _has_dropped(action: Action | None) -> bool:
    return action is not None and action.drops > 0


def blamed(drop: Drop, said: Verdict, one: Filter, action: Action | None, parent: int) -> Verdict:
    """The verdict with this filter as its object."""
    device = drop.iface.name if drop.iface is not None else None
    culprit = words.tc_filter(one, device, parent, action)
    fact = "the only filter here that can have dropped it"
    if action is not None and action.drops:
        fact += f"; it has dropped {action.drops:,}"
    return replace(
        said,
        culprit=culprit,
        evidence=(Evidence(_READ, fact, "proof"), *said.evidence),
        fix=tuple(_fixes(culprit.text, one, action, device, culprit.parent)),
    )


def _fixes(text: str, one: Filter, action: Action | None, device: str | None, where: str) -> Iterator[Fix]:
    at = where if where in ("ingress", "egress") else f"parent {where}"
    dev = quoted(device) if device else "DEV"
    look = f"tc -s filter show dev {dev} {at}"
    program = action.program if action is not None and action.program is not None else one.program
    if program is not None:
        yield Fix("see the program, and which process has it", f"bpftool prog show id {program}")
    if action is not None and action.kind == "police":
        yield Fix(
            f"if more may pass, change this filter: the policer lets {_per_second(action.rate)} through, and bursts of "
            f"{action.burst or 0:,} bytes, in which each packet must fit",
            look,
        )
    elif action is not None and action.kind == "mirred":
        yield Fix(f"bring up the device that it sends to: its index is {action.to}", "ip link show")
    else:
        yield Fix("see what it asks for, and its counters", look)
    which = f"protocol {one.protocol} pref {one.priority} handle {words.filter_handle(one)} {one.kind}"
    delete = f"tc filter del dev {dev} {at} {which}"
    yield Fix("delete it, if it is not wanted", delete, weakens="whatever it blocks can pass")


def _per_second(rate: int | None) -> str:
    return f"{(rate or 0) * 8:,} bit a second"


def _by_tcx(drop: Drop, host: Host, said: Verdict, program: Program, hook: int) -> Verdict:
    keepers = programs.keepers_of(drop, host, program.id)
    name = drop.iface.name if drop.iface is not None and drop.iface.name else "the interface"
    where = f"{name} tcx {words.way(hook)}"
    fact = Evidence(_TCX, f"the only program or filter here: {programs.in_words(program, where)}", "proof")
    look = of_catalogue((Fix("see what is attached to the interface", "bpftool net show dev DEV"),), drop)
    verdict = replace(
        said,
        culprit=programs.blamed(program, where, keepers),
        evidence=(fact, *said.evidence, *programs.kept_by(program, keepers)),
        fix=(programs.show(program.id), *look),
    )
    changed = pinned.doubts(drop, host, pinned.Source("tc", None), pinned.Source("programs", None))
    return pinned.doubted(verdict, changed)


def _listed(drop: Drop, suspects: list[Suspect], own: tuple[Program, ...], hook: int) -> Iterator[Evidence]:
    device = drop.iface.name if drop.iface is not None else None
    count_of_all = len(suspects) + len(own)
    for each in own[:_SHOWN]:
        where = f"{device or 'the interface'} tcx {words.way(hook)}"
        yield Evidence(_TCX, f"one of {count_of_all} that may drop: {programs.in_words(each, where)}")
    for one, action in suspects[:_SHOWN]:
        count = f", has dropped {action.drops:,}" if action is not None and action.drops else ""
        yield Evidence(
            _READ,
            f"one of {count_of_all} that may drop: {words.tc_filter(one, device, hook, action).text}{count}",
        )


def _redirected(drop: Drop, host: Host, verdict: Verdict, action: Action) -> Verdict:
    """A packet that could not be copied is refused as well: certain only of a device that does not run."""
    event, to = drop.event, action.to or 0
    name = host.interface_name(event.netns, to, event.monotonic_ns)
    what = name or f"the device of index {to}"
    link = host.link(event.netns, to, event.monotonic_ns)
    runs = link.runs if link is not None else None
    words = "is down or has no carrier" if runs is False else "is gone" if runs is None else "is up by now"
    seen = Evidence("interfaces after the drop", f"it sends what comes to {what}, which {words}")
    fix = verdict.fix
    if name and runs is False:
        fix = (Fix(f"bring up {name}, to which it sends", f"ip link set dev {quoted(name)} up"), *fix[1:])
    told = replace(verdict, evidence=(verdict.evidence[0], seen, *verdict.evidence[1:]), fix=fix)
    if runs is not False:
        return replace(told, confidence="likely")
    return pinned.doubted(told, pinned.doubts(drop, host, pinned.Source("links", None)))
