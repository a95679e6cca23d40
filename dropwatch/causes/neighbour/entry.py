"""The entry that a packet waited for, as it is after the drop."""

from dataclasses import replace
from ipaddress import ip_address

from dropwatch.causes import pinned
from dropwatch.causes.routing.refused import answer_again
from dropwatch.host.host import Host
from dropwatch.host.neighbours import Entry, Table
from dropwatch.model import forwarding
from dropwatch.model.drop import Address, Drop, Evidence, Verdict

_SOURCE = "netlink neigh, after the drop"


def table(drop: Drop, host: Host) -> Table | None:
    """The table of its family, and what is set on its interface."""
    event = drop.event
    return host.neighbour_table(event.netns, event.ifindex, drop.packet.family or 4, event.monotonic_ns)


def named(drop: Drop, host: Host, verdict: Verdict) -> Verdict:
    """The verdict with the entry of the next hop, as its object where no route has changed since the drop; unchanged
    where the next hop is not known.
    """
    hop = _next_hop(drop, host)
    device = drop.iface.name if drop.iface is not None else None
    if hop is None or drop.packet.daddr is None:
        return verdict
    found = host.neighbour(drop.event.netns, drop.event.ifindex, hop, drop.event.monotonic_ns)
    if found is None:
        return verdict
    fact = Evidence(_SOURCE, _told(drop, hop, found))
    told = replace(verdict, evidence=(*verdict.evidence, fact))
    if pinned.doubts(drop, host, pinned.Source("routes", None)):
        return told
    words = [str(hop), *([f"dev {device}"] if device else [])]
    words += [f"lladdr {found.lladdr}"] if found.lladdr else []
    culprit = forwarding.Neighbour(
        " ".join([*words, found.state]),
        str(hop),
        device,
        found.state,
        found.lladdr,
        found.confirmed if found.lladdr else None,
    )
    return replace(told, culprit=culprit)


def _next_hop(drop: Drop, host: Host) -> Address | None:
    """The gateway of its route, or the destination; None where the route leads elsewhere by now."""
    answer = answer_again(drop, host)
    if answer is None or answer.refusal is not None or answer.local:
        return None
    if drop.iface is None or answer.device != drop.iface.name:
        return None
    return ip_address(answer.gateway) if answer.gateway else drop.packet.daddr


def _told(drop: Drop, hop: Address, found: Entry) -> str:
    who = (
        f"{hop}, the gateway to {drop.packet.daddr},"
        if hop != drop.packet.daddr
        else f"{hop}, the destination itself,"
    )
    if found.lladdr:
        return f"{who} is {found.state}, was at {found.lladdr}, and was last heard {found.confirmed} s before"
    asked = f" after {found.probes} questions" if found.probes else ""
    return f"{who} is {found.state}{asked}"
