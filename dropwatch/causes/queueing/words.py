"""Qdiscs and filters as tc(8) shows them, each on one line, and as objects of a finding."""

from dropwatch.host.tc.actions import SHOT, Action
from dropwatch.host.tc.filters import EGRESS, INGRESS, Filter
from dropwatch.host.tc.qdiscs import ROOT, Qdisc
from dropwatch.model import forwarding

_HOOKS = {INGRESS: "ingress", EGRESS: "egress"}
_UNITS = {"p": "packets", "b": "bytes"}


def handle(number: int) -> str:
    """`7:` of a qdisc, `1:10` of a class."""
    if number == ROOT:
        return "root"
    minor = number & 0xFFFF
    return f"{number >> 16:x}:{minor:x}" if minor else f"{number >> 16:x}:"


def qdisc(one: Qdisc, device: str | None) -> forwarding.Qdisc:
    place = "root" if one.parent == ROOT else f"parent {handle(one.parent)}"
    words = [f"qdisc {one.kind} {handle(one.handle)}", *([f"dev {device}"] if device else []), place]
    words += [f"default 0x{one.default_class:x}"] if one.default_class is not None else []
    words += [f"rate {one.rate * 8}bit"] if one.rate is not None else []
    words += [f"burst {one.burst}b"] if one.burst is not None else []
    if one.limit is not None:
        words.append(f"direct_qlen {one.limit}" if one.kind == "htb" else f"limit {one.limit}{one.unit}")
    words += [f"loss {one.loss:.2%}"] if one.loss and one.loss < 1 else []
    return forwarding.Qdisc(
        " ".join(words),
        device,
        one.kind,
        handle(one.handle),
        handle(one.parent),
        one.limit,
        _UNITS[one.unit] if one.limit is not None else None,
        one.qlen,
        one.backlog,
        one.drops,
    )


def way(hook: int) -> str:
    """`ingress`, `egress`."""
    return _HOOKS[hook]


def tc_filter(one: Filter, device: str | None, parent: int, blamed: Action | None) -> forwarding.TcFilter:
    """`blamed` is the action that drops, None where a program decides by itself, or where it is not known."""
    where = _HOOKS.get(parent, handle(parent))
    shown = filter_handle(one)
    words = ["filter", *([f"dev {device}"] if device else []), where]
    words += [f"protocol {one.protocol} pref {one.priority} {one.kind} handle {shown}"]
    program, name = (one.program, one.name) if one.program else (None, None)
    if blamed is not None and blamed.program is not None:
        program, name = blamed.program, blamed.name
    words += [f"{name or 'program'} id {program}"] if program else []
    words += [action(blamed)] if blamed is not None else ["direct-action"] if one.direct else []
    said = (
        "drop"
        if blamed is not None and blamed.kind == "gact"
        else blamed.kind
        if blamed is not None
        else None
    )
    return forwarding.TcFilter(
        " ".join(words),
        device,
        where,
        one.kind,
        one.priority,
        one.protocol,
        shown,
        "bpf" if one.direct and said is None else said,
        program,
        name,
        one.tag,
    )


def filter_handle(one: Filter) -> str:
    """As tc takes it; of u32 the table, the bucket in it and the filter: `800::800`."""
    if one.kind != "u32":
        return f"{one.handle:#x}"
    bucket = one.handle >> 12 & 0xFF
    return f"{one.handle >> 20:x}:{f'{bucket:x}' if bucket else ''}:{one.handle & 0xFFF:x}"


def action(one: Action) -> str:
    """`action drop`, `action police rate 8000bit burst 1500b`."""
    if one.kind == "gact":
        return "action drop" if one.verdict == SHOT else "action gact"
    if one.kind == "police" and one.rate is not None:
        return f"action police rate {one.rate * 8}bit burst {one.burst}b"
    return f"action {one.kind}"
