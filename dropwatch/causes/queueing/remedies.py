"""What to do about a qdisc, with its own handle, parent and settings."""

from dropwatch.causes.queueing import words
from dropwatch.host.tc.qdiscs import ROOT, Qdisc
from dropwatch.model.drop import Drop, Fix
from dropwatch.names.foreign import is_option, quoted

_LARGER = frozenset({"pfifo", "bfifo", "pfifo_head_drop", "sfq", "fq_codel", "codel", "fq", "pie"})


def remedies(cause_id: str, one: Qdisc, drop: Drop) -> tuple[Fix, ...]:
    """Empty where the page of the cause has all that there is to say."""
    name = drop.iface.name if drop.iface is not None else None
    if name is None or is_option(name):
        return ()
    device, place = quoted(name), "root" if one.parent == ROOT else f"parent {words.handle(one.parent)}"
    look = Fix(
        "see its counters, and those of its classes",
        f"tc -s qdisc show dev {device}; tc -s class show dev {device}",
    )
    if cause_id == "queueing.qdisc-loss":
        return (Fix("remove it", f"tc qdisc del dev {device} {place}"), look)
    if cause_id == "queueing.no-class":
        return (*_a_class(one, device), look)
    if cause_id == "queueing.burst-too-small":
        burst = max(drop.event.length, 1514) * 2
        return (
            Fix(
                "give it a burst in which the largest packets fit", _tbf(one, device, place, burst, one.limit)
            ),
            look,
        )
    if cause_id == "queueing.qdisc-full":
        return (*_more_room(one, device, place), look, Fix("or have the senders send less"))
    return ()


def _a_class(one: Qdisc, device: str) -> tuple[Fix, ...]:
    if not one.default_class:
        return (Fix(f"give its filters a class for every packet, or {one.kind} a default class that exists"),)
    missing = words.handle(one.handle & 0xFFFF0000 | one.default_class)
    settings = {"htb": "htb rate RATE", "hfsc": "hfsc ls rate RATE"}.get(one.kind, one.kind)
    command = f"tc class add dev {device} parent {words.handle(one.handle)} classid {missing} {settings}"
    return (
        Fix(
            f"add the default class: `{command}`, where RATE is what it may take, or name one that exists as default"
        ),
    )


def _more_room(one: Qdisc, device: str, place: str) -> tuple[Fix, ...]:
    handle = f" handle {words.handle(one.handle)}" if one.handle >> 16 else ""
    if one.kind == "tbf" and one.limit is not None and one.burst is not None:
        return (
            Fix(
                f"it lets {(one.rate or 0) * 8:,} bit a second leave: if the line can take more, raise the rate; "
                "a longer queue takes longer bursts, and delays them",
                _tbf(one, device, place, one.burst, 2 * one.limit),
            ),
        )
    if one.kind in _LARGER and one.limit is not None:
        verb = "replace" if not handle else "change"
        longer = f"tc qdisc {verb} dev {device} {place}{handle} {one.kind} limit {2 * one.limit}"
        return (Fix("a longer queue takes longer bursts, and delays what waits in it", longer),)
    if one.kind == "pfifo_fast":
        return (
            Fix(
                "a longer queue takes longer bursts, and delays what waits in it: raise txqueuelen of the interface"
            ),
        )
    return ()


def _tbf(one: Qdisc, device: str, place: str, burst: int, limit: int | None) -> str:
    handle = f" handle {words.handle(one.handle)}" if one.handle >> 16 else ""
    rate = (one.rate or 0) * 8
    return f"tc qdisc change dev {device} {place}{handle} tbf rate {rate}bit burst {burst} limit {limit}"
