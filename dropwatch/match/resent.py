"""Which TCP connections a filter is about: those whose segments are looked for when they are sent again."""

from dropwatch.match.near import comparable
from dropwatch.model.expression import All, Fact, Node
from dropwatch.model.filter import Filter
from dropwatch.names import protocols

_TCP = protocols.number("tcp")


def connections(wanted: Filter) -> Filter | None:
    """Addresses, ports and namespaces. None where it is about other protocols, or asks what a socket does not show."""
    if wanted.but is not None or wanted.owner is not None or wanted.icmp_types:
        return None
    if wanted.expression is not None and not _is_plain(wanted.expression.tree):
        return None
    asked = comparable(wanted)
    if asked.protos and _TCP not in asked.protos:
        return None
    return Filter(
        families=asked.families,
        saddr=asked.saddr,
        daddr=asked.daddr,
        host=asked.host,
        sport=asked.sport,
        dport=asked.dport,
        port=asked.port,
        netns=asked.netns,
    )


def _is_plain(node: Node) -> bool:
    """Primitives joined by `and`, of which a flow shows all that they ask for."""
    if isinstance(node, All):
        return all(map(_is_plain, node.parts))
    return isinstance(node, Fact) and not node.rest and node.side != "both" and node.family != 0
