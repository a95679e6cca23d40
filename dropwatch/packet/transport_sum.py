"""The checksum of TCP, UDP and ICMP: what stands in the header, and what would be right."""

from typing import NamedTuple

from dropwatch.model.drop import Drop
from dropwatch.packet.checksum import folded
from dropwatch.packet.layer import Layer
from dropwatch.packet.payload import transport

_NUMBERS = {"tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58}
_AT = {"tcp": 16, "udp": 6, "icmp": 2, "icmp6": 2}
_HEADERS = {4: 20, 6: 40}


class TransportSum(NamedTuple):
    """`right` is None where the packet was not captured whole. `is_unfinished`: it is the sum over the addresses alone,
    which the stack writes for a card that adds the rest (CHECKSUM_PARTIAL, linux/skbuff.h).
    """

    stands: int
    right: int | None
    is_unfinished: bool


def transport_sum(drop: Drop) -> TransportSum | None:
    """None for a fragment, a header that is cut, a UDP datagram without a checksum, and behind a routing header: its
    address is not the one that counts.
    """
    kind = drop.packet.proto or ""
    layer = transport(drop, kind) if kind in _AT else None
    if layer is None or layer.room < _AT[kind] + 2 or (layer.family == 6 and layer.at != _HEADERS[6]):
        return None
    stands = layer.number(_AT[kind], 2)
    if kind == "udp" and stands == 0:
        return None
    length = layer.number(4, 2) if kind == "udp" else drop.packet.length - layer.at
    pseudo = b"" if kind == "icmp" else _pseudo_header(layer, kind, length)
    right = None
    if 0 < length <= layer.room:
        data = layer.bytes(0, _AT[kind]) + b"\0\0" + layer.bytes(_AT[kind] + 2, length)
        right = 0xFFFF ^ folded(pseudo + data[:length])
        right = right or (0xFFFF if kind == "udp" else 0)
    return TransportSum(stands, right, kind in ("tcp", "udp") and stands == folded(pseudo))


def _pseudo_header(layer: Layer, kind: str, length: int) -> bytes:
    """RFC 9293, 3.1, and RFC 8200, 8.1: the order of its words does not count."""
    addresses = layer.data[12:20] if layer.family == 4 else layer.data[8:40]
    return addresses + length.to_bytes(4, "big") + bytes((0, 0, 0, _NUMBERS[kind]))
