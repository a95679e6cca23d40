"""Multicast routing: no route yet, the wrong interface, and nowhere to send it to."""

from dataclasses import replace

from dropwatch.causes import fits, kernel_word
from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.host.host import Host
from dropwatch.host.routers.multicast import Entry, MulticastRoutes
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.model.forwarding import Route

_WAITING = ("ipmr_cache_unresolved", "ip6mr_cache_unresolved")
_WAITED = ("ipmr_destroy_unres", "ip6mr_destroy_unres")
_FORWARDING = ("ip_mr_input", "ip_mr_forward", "ip6_mr_input", "ip6_mr_forward")
_TIMERS = frozenset({"ipmr_expire_process", "ipmr_do_expire_process", "ip6mr_do_expire_process"})
_SOURCE = "multicast routes, after the drop"
_ROUTES = (
    Step("see the multicast routes", "ip mroute show", fits=fits.ipv4),
    Step("see the multicast routes", "ip -6 mroute show", fits=fits.ipv6),
)
_CONFIRM = """
Iif is the interface that the group must come in through, Oifs those that it is sent to:
$ ip -s mroute show
$ cat /proc/net/ip_mr_vif /proc/net/ip_mr_cache
$ cat /proc/net/ip6_mr_vif /proc/net/ip6_mr_cache
"""

MULTICAST = (
    Cause(
        id="routing.multicast-unresolved",
        title="the multicast routing daemon has set no route for this group",
        why="""
A multicast routing daemon (pimd, FRR, smcroute, mrouted) runs here, and for this source and group the kernel has no
route. It asks the daemon and keeps the first packets, at most four of them and for ten seconds. Further ones are
dropped at once, and those that wait when the time is over or the daemon ends. The first packets of a new source are
often lost in this way. If it goes on, the daemon does not route the group: no rendezvous point, no receiver, no rule.
""",
        confirm=_CONFIRM,
        fix=(*_ROUTES, Fix("have the routing daemon route this group: see its log and configuration")),
        seen_as=("NOT_SPECIFIED",),
        seen_at=(*_WAITING, *_WAITED),
    ),
    Cause(
        id="routing.multicast-wrong-interface",
        title="multicast for this group must come in through another interface",
        why="""
The route for this source and group names one interface that its packets come in through: the one by which this host
would reach the source (reverse path forwarding). This packet came in through another one, so it is taken for a
duplicate or a loop. For a moment that is normal on a link with two routers, until one of them is chosen. If it goes
on, unicast routing to the source and the path of the multicast differ.
""",
        confirm=_CONFIRM,
        fix=(
            *_ROUTES,
            Fix("see by which interface this host reaches the source", "ip route get SADDR"),
            Fix("have the daemon expect the group on this interface, or correct the route to the source"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=_FORWARDING,
    ),
    Cause(
        id="routing.multicast-no-output",
        title="the multicast route sends this packet to no interface",
        why="""
There is a route for this source and group, and the packet came in as it should, but no interface is left to send it
out of: no receiver behind this router has joined the group, or the TTL of the packet is not larger than the threshold
of the outgoing interfaces. Senders of multicast use a TTL of 1 if they are not told otherwise. Routing daemons keep
routes without outgoing interfaces on purpose, for groups that nobody has joined.
""",
        confirm=_CONFIRM,
        fix=(
            *_ROUTES,
            Fix("have the sender use a larger TTL (IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS)"),
            Fix("see on the receivers' side whether the group is joined", "ip maddr show"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=_FORWARDING,
    ),
    Cause(
        id="routing.multicast-not-routed-here",
        title="the interface takes no part in multicast routing",
        why="""
A multicast routing daemon runs here, and the interface on which this packet came in is not among those that it has
given to the kernel. So it is not forwarded. A program of this host that has joined the group has got its copy
all the same: then nothing is lost.
""",
        confirm=_CONFIRM,
        fix=(*_ROUTES, Fix("enable multicast routing for this interface in the routing daemon")),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("ip_mr_input", "ip6_mr_input"),
    ),
)


def unresolved(drop: Drop, host: Host) -> Verdict | None:
    """The packets come here only without a route."""
    del host
    place = kernel_word.place(drop)
    if not kernel_word.gave_no_reason(drop) or place not in (*_WAITING, *_WAITED):
        return None
    ends = f"{drop.packet.saddr} to {drop.packet.daddr}"
    fact = f"no multicast route from {ends}: it could not wait for the routing daemon"
    if place in _WAITED:
        why = "did not set one in time" if _TIMERS & kernel_word.way(drop) else "ended, or flushed its routes"
        fact = f"it waited for a multicast route from {ends}, and the routing daemon {why}"
    return kernel_word.certain(drop, Evidence("place", fact))


def wrong_interface(drop: Drop, host: Host) -> Verdict | None:
    """The routes may have changed since: no probe sees that."""
    known, here, entry = _met(drop, host)
    if known is None or here is None or entry is None or entry.parent in (here, -1):
        return None
    name = dict(known.interfaces).get(entry.parent, f"number {entry.parent}")
    fact = f"{_words(drop, entry)} must come in through {name}; it came in through {_interface(drop)}"
    return _blamed(drop, known, entry, fact)


def no_output(drop: Drop, host: Host) -> Verdict | None:
    """A packet is sent where its TTL is larger than the threshold."""
    known, here, entry = _met(drop, host)
    if known is None or here is None or entry is None or entry.parent != here:
        return None
    ttl, names = drop.packet.ttl, dict(known.interfaces)
    others = [(names.get(number, str(number)), least) for number, least in entry.outputs if number != here]
    if not others:
        return _blamed(drop, known, entry, f"{_words(drop, entry)} has no outgoing interface")
    if ttl is None or any(ttl > least for _, least in others):
        return None
    limits = ", ".join(f"{name} takes more than {least}" for name, least in others)
    return _blamed(drop, known, entry, f"its TTL is {ttl}, and {limits}")


def not_routed_here(drop: Drop, host: Host) -> Verdict | None:
    known, here, _ = _met(drop, host)
    if known is None or here is not None:
        return None
    names = ", ".join(name for _, name in known.interfaces) or "no interface"
    fact = f"{names} takes part in multicast routing; it came in through {_interface(drop)}"
    return kernel_word.likely(drop, Evidence(_SOURCE, fact, "proof"))


def _met(drop: Drop, host: Host) -> tuple[MulticastRoutes | None, int | None, Entry | None]:
    """What is known of its group, the number of its interface there, and its entry: that of its source first."""
    packet = drop.packet
    if not kernel_word.gave_no_reason(drop) or kernel_word.place(drop) not in _FORWARDING:
        return None, None, None
    if packet.daddr is None or not packet.daddr.is_multicast or drop.iface is None:
        return None, None, None
    known = host.multicast_routes(drop.event.netns, packet.daddr, drop.event.monotonic_ns)
    if known is None:
        return None, None, None
    here = next((number for number, name in known.interfaces if name == drop.iface.name), None)
    of_source = [one for one in known.entries if one.origin == packet.saddr]
    of_all = [one for one in known.entries if one.origin.is_unspecified]
    return known, here, next(iter((*of_source, *of_all)), None)


def _words(drop: Drop, entry: Entry) -> str:
    """As `ip mroute` has it: `(10.9.0.1,239.1.2.3)`."""
    return f"({entry.origin},{drop.packet.daddr})"


def _interface(drop: Drop) -> str:
    return (drop.iface.name if drop.iface is not None else None) or "another one"


def _blamed(drop: Drop, known: MulticastRoutes, entry: Entry, fact: str) -> Verdict:
    names = dict(known.interfaces)
    outputs = " ".join(names.get(number, str(number)) for number, _ in entry.outputs)
    text = f"{_words(drop, entry)} Iif: {names.get(entry.parent, entry.parent)} Oifs: {outputs}".rstrip()
    culprit = Route(text, "multicast", str(drop.packet.daddr))
    return replace(kernel_word.likely(drop, Evidence(_SOURCE, fact, "proof")), culprit=culprit)
