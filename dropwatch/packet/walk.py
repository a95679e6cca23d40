"""One walk over the headers of a packet, which everybody reads who wants to know something of its bytes."""

from functools import lru_cache
from typing import NamedTuple

from dropwatch.model.drop import Event
from dropwatch.packet import ip, link, transport, tunnel
from dropwatch.packet.layer import Kind, Layer, Place

KINDS: dict[str, Kind] = {**link.KINDS, **ip.KINDS, **transport.KINDS, **tunnel.KINDS}
_MOST_LAYERS = 48  # 256 bytes hold no more that make sense
_DEEPEST = 6


class Walk(NamedTuple):
    """The bytes of a record, the ethertype that was believed, the headers in their order, and where data begins.

    The last layer may be empty: a header that was announced, and of which the record has nothing.
    """

    data: bytes
    protocol: int
    layers: tuple[Layer, ...]
    rest: Place


@lru_cache(maxsize=16)  # judges ask again and again
def walk(data: bytes, protocol: int = 0, spi: int | None = None) -> Walk:
    """`data` begins at the network header, `protocol` is the ethertype in host order (0: look at the bytes).

    What begins with `spi` behind a UDP header is ESP, whatever the ports are. Nothing in the bytes makes it fail.
    """
    place = Place(data, 0, len(data), len(data), spi=spi)
    kind = link.ETHERTYPES.get(protocol) if protocol else link.by_version(place, 0)
    layers: list[Layer] = []
    while kind is not None and place.depth <= _DEEPEST and len(layers) < _MOST_LAYERS:
        layer, kind, place = _step(kind, place)
        layers.append(layer)
    return Walk(data, protocol, tuple(layers), place)


def walk_event(event: Event) -> Walk:
    """The walk over an event's packet, with what the event knows of it."""
    note = event.xfrm
    if note is None:
        return walk(event.packet, event.protocol)
    # A tunnel's end sets skb->protocol before it has seen the header (xfrm6_remove_tunnel_encap, xfrm_input.c).
    believed = note.outbound or not event.packet
    return walk(event.packet, event.protocol if believed else 0, note.searched_spi)


def _step(kind: str, place: Place) -> tuple[Layer, str | None, Place]:
    """A header, the kind of what follows (None: data), and where that is."""
    data, at, limit, whole, family, depth, quoted, spi = place
    least, read = KINDS[kind]
    if limit - at < least:
        layer = Layer(kind, data, at, limit, limit, least, family, depth, quoted, "cut")
        return layer, None, place._replace(at=limit)
    length, following, total, opens, problem, other = read(place)
    if total is not None:
        whole = at + total
        limit = min(limit, whole)
    end = min(at + length, limit)
    if at + length > limit:
        problem, following = problem or "cut", None
    layer = Layer(other or kind, data, at, end, limit, length, family, depth, quoted, problem)
    if layer.kind in ip.VERSIONS:
        family = ip.VERSIONS[layer.kind]
    behind = Place(
        data, end, limit, whole, family, depth + (opens is not None), quoted or opens == "quote", spi
    )
    return layer, following, behind
