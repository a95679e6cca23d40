"""The fields of IPv4, IPv6 and the extension headers of IPv6."""

from collections.abc import Callable

from dropwatch.packet.checksum import folded
from dropwatch.packet.field import REST, Field, Shown, address, bits, hexadecimal, number, octets, protocol

_ECN = {1: "ECT(1)", 2: "ECT(0)", 3: "CE"}


def _header_length(value: bytes) -> int:
    return (value[0] & 0xF) * 4


def _ecn(shift: int) -> Callable[[bytes], Shown]:
    return lambda value: _ECN.get(number(value) >> shift & 3)


def _flags(value: bytes) -> str | None:
    words = ((0x8000, "reserved"), (0x4000, "DF"), (0x2000, "MF"))
    return " ".join(word for bit, word in words if number(value) & bit) or None


def _fragment_offset(value: bytes) -> int | None:
    """Of a fragment only: the offset, or more to come."""
    return (number(value) & 0x1FFF) * 8 if number(value) & 0x3FFF else None


def _right_checksum(header: bytes) -> str | None:
    """What the bytes give, where the header has another: on the way out it may not be there yet."""
    if len(header) != _header_length(header):
        return None
    right = 0xFFFF - folded(header[:10] + header[12:])
    return None if right == number(header[10:12]) else f"0x{right:04x}"


def _through(header: bytes) -> str | None:
    """The addresses of type 4 (RFC 8754, segment routing) and of type 2 (RFC 6275)."""
    kind = header[2]
    if kind not in (2, 4) or len(header) < (header[1] + 1) * 8:
        return None
    addresses = (len(header) - 8) // 16
    if kind == 4:
        addresses = min(addresses, header[4] + 1)
    return ", ".join(address(header[8 + 16 * n : 24 + 16 * n]) for n in range(addresses)) or None


_NEXT = Field("next", 0, 1, protocol)
_OPTIONS = (_NEXT, Field("options", 2, REST, octets))
SHOWN: dict[str, tuple[str, tuple[Field, ...]]] = {
    "ipv4": (
        "IPv4",
        (
            Field("src", 12, 4, address),
            Field("dst", 16, 4, address),
            Field("header", 0, 1, _header_length),
            Field("dscp", 1, 1, bits(2, 6)),
            Field("ecn", 1, 1, _ecn(0)),
            Field("length", 2, 2, number),
            Field("id", 4, 2, hexadecimal),
            Field("flags", 6, 2, _flags),
            Field("fragment_offset", 6, 2, _fragment_offset),
            Field("ttl", 8, 1, number),
            Field("protocol", 9, 1, protocol),
            Field("checksum", 10, 2, hexadecimal),
            Field("checksum_of_bytes", 0, REST, _right_checksum),
            Field("options", 20, REST, octets),
        ),
    ),
    "ipv6": (
        "IPv6",
        (
            Field("src", 8, 16, address),
            Field("dst", 24, 16, address),
            Field("dscp", 0, 2, bits(6, 6)),
            Field("ecn", 0, 2, _ecn(4)),
            Field("flow", 0, 4, bits(0, 20, "05x")),
            Field("payload", 4, 2, number),
            Field("next", 6, 1, protocol),
            Field("hop_limit", 7, 1, number),
        ),
    ),
    "hop-by-hop": ("hop-by-hop", _OPTIONS),
    "destination": ("destination", _OPTIONS),
    "routing": (
        "routing",
        (
            _NEXT,
            Field("type", 2, 1, number),
            Field("segments_left", 3, 1, number),
            Field("addresses", 0, REST, _through),
        ),
    ),
    "fragment": (
        "fragment",
        (
            _NEXT,
            Field("offset", 2, 2, lambda value: number(value) & 0xFFF8),
            Field("more", 3, 1, lambda value: "yes" if value[0] & 1 else "no"),
            Field("id", 4, 4, hexadecimal),
        ),
    ),
    "mobility": ("mobility", (_NEXT, Field("type", 2, 1, number))),
}
