"""Signs of a neighbour table that is full: how full, by which limit, and whose entries are in it."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.neighbour import entry
from dropwatch.host.host import Host
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Evidence, Verdict

_SENDING = frozenset({"ip_finish_output2", "ip6_finish_output2"})
_SOURCE = "netlink, after the drop"
_SHOWN = 3


def full(drop: Drop, host: Host) -> Verdict | None:
    """No entry could be made. Where the kernel gives no reason, the table must be full, and have refused entries."""
    place = kernel_word.place(drop)
    if drop.reason != "NEIGH_CREATEFAIL" and not (drop.reason is None and place in _SENDING):
        return None
    found = entry.table(drop, host)
    limit = found.thresholds[2] if found is not None else 0
    is_full = found is not None and found.fulls > 0 and found.entries >= limit
    if drop.reason is None and not is_full:
        return None
    fact = "the usual reason; the other is lack of memory"
    verdict = kernel_word.likely(drop, Evidence("reason", fact))
    if found is None:
        return verdict
    name = f"net.ipv{drop.packet.family or 4}.neigh.default.gc_thresh3"
    first, second, third = found.thresholds
    count = (
        f"{found.entries:,} entries of all namespaces, and gc_thresh3 is {third:,} (gc_thresh1 {first:,}, gc_thresh2 "
        f"{second:,}); it has refused {found.fulls:,}"
    )
    culprit = Sysctl(f"{name} = {third}", name, third, found.entries)
    facts = (Evidence(_SOURCE, count, "proof"), *_whose(drop, host))
    if is_full:
        return replace(kernel_word.likely(drop, *facts), culprit=culprit)
    return replace(verdict, evidence=(*facts, *verdict.evidence), culprit=culprit)


def _whose(drop: Drop, host: Host) -> tuple[Evidence, ...]:
    """Namespaces are told where there are several."""
    event = drop.event
    found = host.neighbour_holders(event.netns, drop.packet.family or 4, event.monotonic_ns) or ()
    if not found:
        return ()
    several = len({one.netns for one in found}) > 1
    words = (
        f"{one.entries:,} on {one.interface}{f' of netns {one.netns}' if several else ''}"
        + (f", {one.unanswered:,} of them without an answer" if one.unanswered else "")
        for one in found[:_SHOWN]
    )
    return (Evidence(_SOURCE, f"most entries: {'; '.join(words)}"),)
