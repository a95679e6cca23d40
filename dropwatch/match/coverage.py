"""Which of the flows that a filter asks for an IPsec selector covers.

A filter becomes a few sets of flows (values that are OR-ed make several), and a selector narrows each of them.
The rules are the kernel's: xfrm_selector_match, xfrm_flowi_sport and xfrm_flowi_dport (include/net/xfrm.h).
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from ipaddress import IPv4Network, IPv6Network
from itertools import product

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address
from dropwatch.model.expression import Any, Fact, Node, Not, Side
from dropwatch.model.filter import Filter, Network, PortRange
from dropwatch.model.ipsec import Selector
from dropwatch.names import protocols

_ALL: PortRange = (0, 0xFFFF)
_BYTE: PortRange = (0, 0xFF)
_ZERO: PortRange = (0, 0)
_ICMP = frozenset({protocols.ICMP, protocols.ICMP6})
_MOST_FLOWS = 256  # of one expression: beyond them the narrowing ends

# What the kernel compares with a selector's source and destination port: also ICMP's type and code, the halves of
# GRE's key, a mobility header's type. For a protocol that is not here, DCCP among them, it compares 0.
_COMPARED: dict[int, tuple[PortRange, PortRange]] = {
    **dict.fromkeys((6, 17, 47, 132, 136), (_ALL, _ALL)),
    **dict.fromkeys((1, 58), (_BYTE, _BYTE)),
    135: (_BYTE, _ZERO),
}


@dataclass(frozen=True, slots=True)
class Flows:
    """A set of flows. `family` 0, `proto` None and a network of None are any; port ranges are inclusive."""

    family: int = 0
    proto: int | None = None
    src: Network | None = None
    dst: Network | None = None
    sport: PortRange = _ALL
    dport: PortRange = _ALL


def asked_flows(wanted: Filter) -> tuple[Flows, ...]:
    """The flows that a filter asks for; none when it contradicts itself. To ask for ports is to ask for protocols
    that have ports.
    """
    protos = wanted.protos - protocols.ETHERTYPES.keys()
    if wanted.protos and not protos:
        return ()
    if wanted.icmp_types:
        protos = (protos or _ICMP) & {proto for proto, _ in wanted.icmp_types}
        if not protos:
            return ()
    if wanted.sport or wanted.dport or wanted.port:
        protos = (protos or protocols.WITH_PORTS) & protocols.WITH_PORTS
        if not protos:
            return ()
    kinds = (
        [Flows(family=family) for family in sorted(wanted.families)],
        [Flows(proto=proto) for proto in sorted(protos)],
        [Flows(src=network) for network in wanted.saddr],
        [Flows(dst=network) for network in wanted.daddr],
        [Flows(sport=ports) for ports in wanted.sport],
        [Flows(dport=ports) for ports in wanted.dport],
        [side for network in wanted.host for side in (Flows(src=network), Flows(dst=network))],
        [side for ports in wanted.port for side in (Flows(sport=ports), Flows(dport=ports))],
    )
    choices = product(*(kind or [Flows()] for kind in kinds))
    every: Flows | None = Flows()
    reduced = (reduce(_common, choice, every) for choice in choices)
    found = tuple(dict.fromkeys(flows for flows in reduced if flows is not None))
    return found if wanted.expression is None else joint(found, flows_of(wanted.expression.tree))


def flows_of(node: Node) -> tuple[Flows, ...]:
    """All flows that may fit a part of an expression, and perhaps more; each once."""
    if isinstance(node, Not):
        return (Flows(),)
    if isinstance(node, Fact):
        return _flows_of_fact(node)
    if isinstance(node, Any):
        found = tuple(dict.fromkeys(flows for part in node.parts for flows in flows_of(part)))
        return found if len(found) <= _MOST_FLOWS else (Flows(),)
    chosen: tuple[Flows, ...] = (Flows(),)
    for part in node.parts:
        narrower = joint(chosen, flows_of(part))
        if len(narrower) <= _MOST_FLOWS:
            chosen = narrower
    return chosen


def _flows_of_fact(fact: Fact) -> tuple[Flows, ...]:
    if fact.family == 0:
        return ()
    chosen: tuple[Flows, ...] = (Flows(family=fact.family or 0),)
    if fact.protos:
        chosen = joint(chosen, (Flows(proto=proto) for proto in sorted(fact.protos)))
    if fact.network is not None:
        chosen = joint(chosen, _ends(Flows(src=fact.network), Flows(dst=fact.network), fact.side))
    if fact.ports is not None:
        chosen = joint(chosen, _ends(Flows(sport=fact.ports), Flows(dport=fact.ports), fact.side))
    return chosen


def _ends(source: Flows, destination: Flows, side: Side) -> tuple[Flows, ...]:
    if side == "both":
        return joint((source,), (destination,))
    return {"src": (source,), "dst": (destination,)}.get(side, (source, destination))


def joint(some: Iterable[Flows], others: Iterable[Flows]) -> tuple[Flows, ...]:
    """The flows that are in one of the first and in one of the others."""
    others = tuple(others)
    found = (_common(one, other) for one in some for other in others)
    return tuple(dict.fromkeys(flows for flows in found if flows is not None))


def names_ports(wanted: Filter) -> bool:
    """Whether it asks for certain ports."""
    asks = bool(wanted.sport or wanted.dport or wanted.port)
    return asks or (wanted.expression is not None and _names_ports(wanted.expression.tree))


def _names_ports(node: Node) -> bool:
    if isinstance(node, Fact):
        return node.ports is not None
    return _names_ports(node.part) if isinstance(node, Not) else any(map(_names_ports, node.parts))


def between(flows: Flows, saddr: Address, daddr: Address) -> Flows | None:
    """Those of the flows that go from exactly this address to exactly that one; None when there are none."""
    return _common(flows, Flows(saddr.version, None, _network(saddr), _network(daddr)))


def narrowed(flows: Flows, selector: Selector) -> Flows | None:
    """Those of the flows that the selector covers; None when it covers none.

    Where a port mask leaves gaps, the answer has the range around them: a little too much, but never too little.
    """
    found = _common(flows, _without_ports(selector))
    if found is None:
        return None
    sport = _fitting(found.sport, _compared(found.proto, 0), selector.sport, selector.sport_mask)
    dport = _fitting(found.dport, _compared(found.proto, 1), selector.dport, selector.dport_mask)
    return replace(found, sport=sport, dport=dport) if sport and dport else None


def covers(selector: Selector, flows: Flows) -> bool:
    """Does the selector cover each and every one of the flows?"""
    return (
        _common(flows, _without_ports(selector)) == flows
        and _all_fit(flows.sport, _compared(flows.proto, 0), selector.sport, selector.sport_mask)
        and _all_fit(flows.dport, _compared(flows.proto, 1), selector.dport, selector.dport_mask)
    )


def mirrored(selector: Selector) -> Selector:
    """The selector for the other direction."""
    return replace(
        selector,
        saddr=selector.daddr,
        prefixlen_s=selector.prefixlen_d,
        daddr=selector.saddr,
        prefixlen_d=selector.prefixlen_s,
        sport=selector.dport,
        sport_mask=selector.dport_mask,
        dport=selector.sport,
        dport_mask=selector.sport_mask,
    )


def _common(one: Flows | None, other: Flows) -> Flows | None:
    """The flows that are in both sets."""
    if one is None:
        return None
    networks = [network for network in (one.src, other.src, one.dst, other.dst) if network is not None]
    families = {one.family, other.family, *(network.version for network in networks)} - {0}
    protos = {one.proto, other.proto} - {None}
    sport = (max(one.sport[0], other.sport[0]), min(one.sport[1], other.sport[1]))
    dport = (max(one.dport[0], other.dport[0]), min(one.dport[1], other.dport[1]))
    if len(families) > 1 or len(protos) > 1 or sport[0] > sport[1] or dport[0] > dport[1]:
        return None
    if _apart(one.src, other.src) or _apart(one.dst, other.dst):
        return None
    return Flows(
        family=next(iter(families), 0),
        proto=next(iter(protos), None),
        src=_narrower(one.src, other.src),
        dst=_narrower(one.dst, other.dst),
        sport=sport,
        dport=dport,
    )


def _apart(one: Network | None, other: Network | None) -> bool:
    return one is not None and other is not None and not one.overlaps(other)


def _narrower(one: Network | None, other: Network | None) -> Network | None:
    if one is None or other is None:
        return one or other
    return one if one.prefixlen >= other.prefixlen else other


def _without_ports(selector: Selector) -> Flows:
    return Flows(
        family=selector.family,
        proto=selector.proto or None,
        src=_network(selector.saddr, selector.prefixlen_s) if selector.saddr else None,
        dst=_network(selector.daddr, selector.prefixlen_d) if selector.daddr else None,
    )


def _network(address: Address, length: int | None = None) -> Network:
    kind = IPv4Network if address.version == 4 else IPv6Network
    return kind((int(address), address.max_prefixlen if length is None else length), strict=False)


def _compared(proto: int | None, side: int) -> PortRange:
    return _ALL if proto is None else _COMPARED.get(proto, (_ZERO, _ZERO))[side]


def _fitting(asked: PortRange, compared: PortRange, port: int, mask: int) -> PortRange | None:
    """The asked ports that a selector's port and mask let through, as the smallest range around them."""
    if not mask:
        return asked
    if compared == _ZERO:
        return None if port & mask else asked
    lowest, highest = port & mask, port & mask | ~mask & 0xFFFF
    possible = range(max(asked[0], compared[0], lowest), min(asked[1], compared[1], highest) + 1)
    first = next((found for found in possible if found & mask == port & mask), None)
    last = next((found for found in reversed(possible) if found & mask == port & mask), None)
    return None if first is None or last is None else (first, last)


def _all_fit(asked: PortRange, compared: PortRange, port: int, mask: int) -> bool:
    if not mask:
        return True
    if compared == _ZERO:
        return not port & mask
    return all(found & mask == port & mask for found in range(asked[0], asked[1] + 1))
