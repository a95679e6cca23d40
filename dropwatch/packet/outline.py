"""Where in a packet's bytes the headers, the addresses and the checksums are; what is no header is payload."""

from dataclasses import field

from dropwatch.model.dataclass import dataclass
from dropwatch.packet.addresses import addresses
from dropwatch.packet.ip import VERSIONS
from dropwatch.packet.layer import Layer, Span
from dropwatch.packet.transport import neighbour_options
from dropwatch.packet.walk import Walk

_LINK_LAYER_OR_PREFIX = frozenset({1, 2, 3})  # options of neighbour discovery (RFC 4861, 4.6)
_CHUNK_HEADER = 4  # type, flags and length (RFC 9260)
_MOBILITY_FIXED = 8  # behind it are options, with addresses at places of their own
# Where in a header its checksum is: over the header and all behind it, for the second kind over the addresses too.
_OVER_ALL = {"icmp": 2, "igmp": 2}
_OVER_ADDRESSES_TOO = {"tcp": 16, "udp": 6, "icmp6": 2}
_NUMBERS = {"tcp": 6, "udp": 17}
_GRE_CHECKSUM, _GRE_VERSION = 0x80, 7
_LAST_SEGMENT_FIRST = 4  # type of routing header (RFC 8754)


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum in the ones' complement: where it is, and all that it covers (itself too).

    `partial` is what it covers where a card is to add the rest (CHECKSUM_PARTIAL): the addresses, and the sum of length
    and protocol. None where no card does that.
    """

    at: int
    covers: tuple[Span, ...]
    partial: tuple[tuple[Span, ...], int] | None = None


@dataclass(slots=True)
class Outline:
    """`headers` in their order; `addresses` are of 4 (IPv4), 16 (IPv6) or 6 (MAC) bytes; inner checksums come first."""

    headers: list[Span] = field(default_factory=list)
    addresses: list[Span] = field(default_factory=list)
    checksums: list[Checksum] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Where the last header ends."""
        return max((end for _, end in self.headers), default=0)


def outline(walked: Walk) -> Outline:
    found = Outline()
    ends: tuple[Span, ...] | None = None  # the addresses of the packet, as a checksum in it covers them
    for layer in walked.layers:
        found.headers += _kept(layer)
        found.addresses += addresses(layer)
        if layer.kind in VERSIONS:
            ends = _ends(layer)
        elif layer.kind == "routing":
            ends = _with_final_destination(ends, layer)
        found.checksums += _checksums(layer, ends)
    found.checksums.reverse()
    return found


def _kept(layer: Layer) -> list[Span]:
    """The header, in neighbour discovery options with addresses, of others what they are, in SCTP the first chunk."""
    end = min(layer.end, layer.at + _MOBILITY_FIXED) if layer.kind == "mobility" else layer.end
    if layer.kind == "sctp":
        end = min(layer.end + _CHUNK_HEADER, layer.limit)
    spans = [(layer.at, end)]
    for at, kind, length in neighbour_options(layer.bytes(0, layer.room)) if layer.kind == "icmp6" else ():
        start = layer.at + at
        spans.append((start, min(start + (length if kind in _LINK_LAYER_OR_PREFIX else 2), layer.limit)))
    return [(start, end) for start, end in spans if start < end]


def _ends(layer: Layer) -> tuple[Span, ...]:
    at, size = (layer.at + 12, 8) if layer.kind == "ipv4" else (layer.at + 8, 32)
    return ((at, at + size),)


def _with_final_destination(ends: tuple[Span, ...] | None, routing: Layer) -> tuple[Span, ...] | None:
    """A checksum covers the address of the last segment (RFC 8200, 8.1): it stands in this header on the way to it."""
    last = routing.at + 8
    if routing.number(2, 1) != _LAST_SEGMENT_FIRST:
        last = routing.at + 8 + (routing.end - routing.at - 8) // 16 * 16 - 16
    if not routing.number(3, 1) or ends is None:
        return ends
    if last < routing.at + 8 or last + 16 > routing.end:
        return None
    source = ends[0][0]
    return ((source, source + 16), (last, last + 16))


def _checksums(layer: Layer, ends: tuple[Span, ...] | None) -> list[Checksum]:
    covers: tuple[Span, ...] = ((layer.at, layer.limit),)
    if layer.kind == "ipv4":
        offset, covers = 10, ((layer.at, layer.end),)
    elif layer.kind in _OVER_ALL:
        offset = _OVER_ALL[layer.kind]
    elif layer.kind in _OVER_ADDRESSES_TOO and ends is not None:
        offset, covers = _OVER_ADDRESSES_TOO[layer.kind], (*covers, *ends)
    elif layer.kind == "gre" and layer.number(0, 1) & _GRE_CHECKSUM and not layer.number(1, 1) & _GRE_VERSION:
        offset = 4
    else:
        return []
    made = layer.kind != "udp" or layer.number(6, 2)  # 0: the sender made none
    at = layer.at + offset
    if not made or at + 2 > layer.limit:
        return []
    return [Checksum(at, covers, _partial(layer, ends))]


def _partial(layer: Layer, ends: tuple[Span, ...] | None) -> tuple[tuple[Span, ...], int] | None:
    if layer.kind not in _NUMBERS or ends is None or len(ends) != 1:
        return None
    ip = ends[0][0] - (12 if layer.family == 4 else 8)
    length = layer.number(4, 2)
    if layer.kind == "tcp":
        said = int.from_bytes(
            layer.data[ip + 2 : ip + 4] if layer.family == 4 else layer.data[ip + 4 : ip + 6], "big"
        )
        length = said + (0 if layer.family == 4 else 40) - (layer.at - ip)
    return ends, length + _NUMBERS[layer.kind]
