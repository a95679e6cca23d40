"""Where a header has addresses: all that can tell who somebody is."""

from collections.abc import Callable, Iterator

from dropwatch.packet.layer import Layer, Span
from dropwatch.packet.transport import neighbour_options
from dropwatch.packet.tunnel import gre_words

_Part = tuple[int, int]  # offset in the header, and size: 4 (IPv4), 16 (IPv6) or 6 (MAC)

_FIXED: dict[str, tuple[_Part, ...]] = {
    "ethernet": ((0, 6), (6, 6)),
    "arp": ((8, 6), (14, 4), (18, 6), (24, 4)),
    "ipv4": ((12, 4), (16, 4)),
    "ipv6": ((8, 16), (24, 16)),
}
_ROUTE_OPTIONS = frozenset({7, 131, 137})  # IPv4: record route, loose and strict source route
_TIMESTAMP_OPTION, _WITH_ADDRESSES = 68, frozenset({1, 3})
_MPTCP_OPTION, _ADD_ADDRESS = 30, 3  # RFC 8684, 3.4.1
_HOME_ADDRESS_OPTION = 201  # RFC 6275, 6.3
_LINK_LAYER_OPTIONS, _PREFIX_OPTION = frozenset({1, 2}), 3  # RFC 4861, 4.6
_ICMP_REDIRECT = 5
_WITH_TARGET, _ICMP6_REDIRECT, _LISTENERS = frozenset({135, 136, 137}), 137, frozenset({130, 131, 132})
_IPV4_IN_GRE = 0x0800


def addresses(layer: Layer) -> Iterator[Span]:
    """Those that are there as a whole, in the header itself and in the options of neighbour discovery behind it."""
    find = _FINDERS.get(layer.kind)
    for at, size in (*_FIXED.get(layer.kind, ()), *(find(layer) if find is not None else ())):
        if layer.at + at + size <= layer.limit:
            yield layer.at + at, layer.at + at + size


def _tlvs(layer: Layer, at: int, padding: int) -> Iterator[tuple[int, int, int]]:
    """Options with a length byte that counts type and length too: offset, type, length. `padding` is one byte alone."""
    header = layer.bytes(0, layer.end - layer.at)
    while at + 2 <= len(header):
        if header[at] == padding:
            at += 1
            continue
        yield at, header[at], header[at + 1]
        at += max(2, header[at + 1])


def _ipv4(layer: Layer) -> Iterator[_Part]:
    for at, kind, length in _tlvs(layer, 20, padding=1):
        if kind == 0:
            return
        end = min(at + length, layer.end - layer.at)
        if kind in _ROUTE_OPTIONS:
            yield from ((address, 4) for address in range(at + 3, end - 3, 4))
        elif kind == _TIMESTAMP_OPTION and layer.number(at + 3, 1) & 0xF in _WITH_ADDRESSES:
            yield from ((address, 4) for address in range(at + 4, end - 3, 8))


def _routing(layer: Layer) -> Iterator[_Part]:
    yield from ((at, 16) for at in range(8, layer.end - layer.at - 15, 16))


def _destination(layer: Layer) -> Iterator[_Part]:
    """Lengths do not count the first two bytes here (RFC 8200, 4.2)."""
    at, end = 2, layer.end - layer.at
    while at + 2 <= end:
        kind, length = layer.number(at, 1), layer.number(at + 1, 1)
        if kind == _HOME_ADDRESS_OPTION and length == 16:
            yield at + 2, 16
        at += 2 + length if kind else 1


def _tcp(layer: Layer) -> Iterator[_Part]:
    for at, kind, length in _tlvs(layer, 20, padding=1):
        if kind == 0:
            return
        if kind == _MPTCP_OPTION and layer.number(at + 2, 1) >> 4 == _ADD_ADDRESS:
            yield at + 4, 16 if length >= 20 else 4


def _icmp(layer: Layer) -> Iterator[_Part]:
    if layer.number(0, 1) == _ICMP_REDIRECT:
        yield 4, 4


def _icmp6(layer: Layer) -> Iterator[_Part]:
    kind = layer.number(0, 1)
    if kind in _WITH_TARGET or kind in _LISTENERS:
        yield 8, 16
    if kind == _ICMP6_REDIRECT:
        yield 24, 16
    for at, option, _ in neighbour_options(layer.bytes(0, layer.room)):
        if option in _LINK_LAYER_OPTIONS:
            yield at + 2, 6
        elif option == _PREFIX_OPTION:
            yield at + 16, 16


def _gre(layer: Layer) -> Iterator[_Part]:
    """The source routes of RFC 1701."""
    at = gre_words(layer.number(0, 2)).get("routing")
    while at is not None and at + 4 <= layer.end - layer.at and layer.number(at, 4):
        length = layer.number(at + 3, 1)
        if layer.number(at, 2) == _IPV4_IN_GRE:
            yield from ((address, 4) for address in range(at + 4, at + 1 + length, 4))
        at += 4 + length


_FINDERS: dict[str, Callable[[Layer], Iterator[_Part]]] = {
    "ipv4": _ipv4,
    "routing": _routing,
    "destination": _destination,
    "tcp": _tcp,
    "icmp": _icmp,
    "icmp6": _icmp6,
    "gre": _gre,
}
