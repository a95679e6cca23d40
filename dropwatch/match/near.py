"""In what a drop differs from a filter that it does not fit, and how far it is from it."""

from collections.abc import Callable, Iterator
from typing import Any

from dropwatch.model.drop import Address
from dropwatch.model.expression import All, Fact, Node
from dropwatch.model.filter import Filter, Network, PortRange
from dropwatch.model.near import Difference, NearDrop
from dropwatch.names import protocols

_FAR = 1 << 128


def comparable(wanted: Filter) -> Filter:
    """What of the filter can be compared with a flow and its place, kind by kind: less than all of it asks for."""
    asked = _of_expression(wanted.expression.tree) if wanted.expression is not None else {}
    return Filter(**{kind: getattr(wanted, kind) or asked.get(kind, _NOTHING[kind]) for kind in _FITS})


def is_compared(wanted: Filter) -> bool:
    """Whether something of its expression can be, where it has one."""
    return wanted.expression is None or bool(_of_expression(wanted.expression.tree))


def _of_expression(node: Node) -> dict[str, Any]:
    """Of the primitives that are joined by `and`, of each kind the first."""
    asked: dict[str, Any] = {}
    for fact in node.parts if isinstance(node, All) else (node,):
        if isinstance(fact, All):
            asked = {**_of_expression(fact), **asked}
        elif isinstance(fact, Fact):
            for kind, value in _of_fact(fact):
                asked.setdefault(kind, value)
    return asked


def _of_fact(fact: Fact) -> Iterator[tuple[str, Any]]:
    if fact.family is not None:
        yield "families", frozenset({fact.family})
    if fact.protos:
        yield "protos", fact.protos
    if fact.network is not None and fact.side in _ADDRESS:
        yield _ADDRESS[fact.side], (fact.network,)
    if fact.ports is not None and fact.side in _PORT:
        yield _PORT[fact.side], (fact.ports,)


def difference(near: NearDrop, wanted: Filter) -> Difference:
    """What is known of the packet, against each kind that was asked for; not against causes and reasons."""
    missed, fitting, backwards, distance = [], [], set(), 0
    for kind, fits in _FITS.items():
        asked = getattr(wanted, kind)
        if not asked:
            continue
        if fits(near, asked):
            fitting.append(kind)
            continue
        missed.append(kind)
        if kind in _OTHER_SIDE and _FITS[_OTHER_SIDE[kind]](near, asked):
            backwards.add(kind)
        elif kind in _DISTANCE:
            distance = max(distance, _DISTANCE[kind](near, asked))
    if backwards != {kind for kind in (*missed, *fitting) if kind in _OTHER_SIDE}:
        backwards = set()  # no answer: one end is right, or neither
    return Difference(tuple(missed), tuple(fitting), frozenset(backwards), distance)


def _within(address: Address | None, networks: tuple[Network, ...]) -> bool:
    return address is not None and any(
        network.version == address.version and address in network for network in networks
    )


def _among(port: int | None, ranges: tuple[PortRange, ...]) -> bool:
    return port is not None and any(first <= port <= last for first, last in ranges)


def _apart(address: Address | None, networks: tuple[Network, ...]) -> int:
    """The more leading bits agree the smaller."""
    same = [network for network in networks if address is not None and network.version == address.version]
    return min((int(address or 0) ^ int(network.network_address) for network in same), default=_FAR)


def _away(port: int | None, ranges: tuple[PortRange, ...]) -> int:
    if port is None:
        return _FAR
    return min(max(first - port, port - last, 0) for first, last in ranges)


_ADDRESS = {"src": "saddr", "dst": "daddr", "either": "host"}
_PORT = {"src": "sport", "dst": "dport", "either": "port"}
_OTHER_SIDE = {"saddr": "daddr", "daddr": "saddr", "sport": "dport", "dport": "sport"}
_FITS: dict[str, Callable[[NearDrop, Any], bool]] = {
    "families": lambda near, asked: near.packet.family in asked,
    "protos": lambda near, asked: protocols.number(near.packet.proto or "") in asked,
    "saddr": lambda near, asked: _within(near.packet.saddr, asked),
    "daddr": lambda near, asked: _within(near.packet.daddr, asked),
    "host": lambda near, asked: _within(near.packet.saddr, asked) or _within(near.packet.daddr, asked),
    "sport": lambda near, asked: _among(near.packet.sport, asked),
    "dport": lambda near, asked: _among(near.packet.dport, asked),
    "port": lambda near, asked: _among(near.packet.sport, asked) or _among(near.packet.dport, asked),
    "ifaces": lambda near, asked: near.iface is not None and near.iface.name in asked,
    "netns": lambda near, asked: near.netns is not None and near.netns.inode in asked,
    "marks": lambda near, asked: any(near.packet.mark & mask == value & mask for value, mask in asked),
}
_NOTHING = {kind: getattr(Filter(), kind) for kind in _FITS}
_DISTANCE: dict[str, Callable[[NearDrop, Any], int]] = {
    "saddr": lambda near, asked: _apart(near.packet.saddr, asked),
    "daddr": lambda near, asked: _apart(near.packet.daddr, asked),
    "host": lambda near, asked: min(_apart(near.packet.saddr, asked), _apart(near.packet.daddr, asked)),
    "sport": lambda near, asked: _away(near.packet.sport, asked),
    "dport": lambda near, asked: _away(near.packet.dport, asked),
    "port": lambda near, asked: min(_away(near.packet.sport, asked), _away(near.packet.dport, asked)),
}
