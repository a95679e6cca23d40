"""Reads IPv4, IPv6 and the extension headers of IPv6."""

from ipaddress import IPv4Address, IPv6Address

from dropwatch.names import protocols
from dropwatch.packet.header_view import Step, View, cut

# IANA protocol numbers to the kind of header that follows; all others are data.
_KINDS = {
    0: "hop-by-hop",
    1: "icmp",
    2: "igmp",
    4: "ipv4-inside",
    6: "tcp",
    17: "udp",
    33: "ports",
    41: "ipv6-inside",
    43: "routing",
    44: "fragment",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "icmp6",
    60: "destination",
    108: "ipcomp",
    132: "sctp",
    136: "ports",
    143: "ethernet-inside",
}
_ONLY_IN_IPV6 = frozenset({0, 43, 44, 60})
_NO_NEXT_HEADER = 59
_ECN = {0: "", 1: "ECT(1)", 2: "ECT(0)", 3: "CE"}


def next_kind(number: int, *, ipv6: bool = False) -> str | None:
    """What follows IP, AH or an extension header; None for what is not read any further."""
    return None if number in _ONLY_IN_IPV6 and not ipv6 else _KINDS.get(number)


def protocol_text(number: int) -> str:
    """`17 (udp)`, or only the number."""
    name = protocols.name(number)
    return f"{number}" if name == str(number) else f"{number} ({name})"


def ipv4(view: View) -> Step:
    """RFC 791. The checksum that the bytes give is told where it is another: on the way out it may not be there yet."""
    if view.room < 20:
        return cut(view, "IPv4", 20)
    if view.number(0, 1) >> 4 != 4:
        return _another_version(view, "IPv4")
    length, total, flags = (view.number(0, 1) & 0xF) * 4, view.number(2, 2), view.number(6, 2)
    fields: list[tuple[str, str | int]] = [
        ("src", str(IPv4Address(view.bytes(12, 4)))),
        ("dst", str(IPv4Address(view.bytes(16, 4)))),
        ("header", length),
        *_traffic_class(view.number(1, 1)),
        ("length", total),
        ("id", f"0x{view.number(4, 2):04x}"),
        *_fragment_flags(flags),
        ("ttl", view.number(8, 1)),
        ("protocol", protocol_text(view.number(9, 1))),
        ("checksum", f"0x{view.number(10, 2):04x}"),
    ]
    if length < 20:
        error = f"its header length {length} is less than 20 bytes"
        return Step(view.header("IPv4", 20, *fields, error=error), view.behind(20))
    if view.room >= length and (right := _checksum(view.bytes(0, length))) != view.number(10, 2):
        fields.append(("checksum_of_bytes", f"0x{right:04x}"))
    if length > 20:
        fields.append(("options", view.bytes(20, length - 20).hex(" ")))
    rest = view.until(total) if total >= length else view  # a total of 0: a large TCP packet not cut yet
    header = view.header("IPv4", length, *fields)
    if flags & 0x1FFF:
        return Step(header, rest.behind(length), data_name="fragment data")
    return Step(header, rest.behind(length), next_kind(view.number(9, 1)))


def ipv6(view: View) -> Step:
    """RFC 8200."""
    if view.room < 40:
        return cut(view, "IPv6", 40)
    if view.number(0, 1) >> 4 != 6:
        return _another_version(view, "IPv6")
    payload = view.number(4, 2)
    fields = (
        ("src", str(IPv6Address(view.bytes(8, 16)))),
        ("dst", str(IPv6Address(view.bytes(24, 16)))),
        *_traffic_class(view.number(0, 2) >> 4 & 0xFF),
        ("flow", f"0x{view.number(0, 4) & 0xFFFFF:05x}"),
        ("payload", payload),
        ("next", protocol_text(view.number(6, 1))),
        ("hop_limit", view.number(7, 1)),
    )
    rest = view.until(40 + payload) if payload else view
    return Step(view.header("IPv6", 40, *fields), rest.behind(40), next_kind(view.number(6, 1), ipv6=True))


def hop_by_hop(view: View) -> Step:
    return _options(view, "hop-by-hop")


def destination(view: View) -> Step:
    return _options(view, "destination")


def routing(view: View) -> Step:
    """RFC 8200, 4.4; the addresses of type 4 (RFC 8754, segment routing) and of type 2 (RFC 6275)."""
    if view.room < 8:
        return cut(view, "routing", 8)
    length, kind = (view.number(1, 1) + 1) * 8, view.number(2, 1)
    addresses = (length - 8) // 16 if kind in (2, 4) and view.room >= length else 0
    if kind == 4:
        addresses = min(addresses, view.number(4, 1) + 1)
    through = ", ".join(str(IPv6Address(view.bytes(8 + 16 * n, 16))) for n in range(addresses))
    fields: list[tuple[str, str | int]] = [("type", kind), ("segments_left", view.number(3, 1))]
    return _extension(view, "routing", length, *fields, *((("addresses", through),) if through else ()))


def fragment(view: View) -> Step:
    """A later fragment ends here: what follows is the middle of something."""
    if view.room < 8:
        return cut(view, "fragment", 8)
    offset = view.number(2, 2)
    fields: tuple[tuple[str, str | int], ...] = (
        ("next", protocol_text(view.number(0, 1))),
        ("offset", offset & 0xFFF8),
        ("more", "yes" if offset & 1 else "no"),
        ("id", f"0x{view.number(4, 4):08x}"),
    )
    kind = None if offset & 0xFFF8 else next_kind(view.number(0, 1), ipv6=True)
    name = "fragment data" if offset & 0xFFF8 else "data"
    return Step(view.header("fragment", 8, *fields), view.behind(8), kind, name)


def _options(view: View, name: str) -> Step:
    if view.room < 8:
        return cut(view, name, 8)
    length = (view.number(1, 1) + 1) * 8
    return _extension(view, name, length, ("options", view.bytes(2, length - 2).hex(" ")))


def _extension(view: View, name: str, length: int, *fields: tuple[str, str | int]) -> Step:
    """A header whose first byte announces the next."""
    if view.room < length:
        return cut(view, name, length)
    following = view.number(0, 1)
    header = view.header(name, length, ("next", protocol_text(following)), *fields)
    if following == _NO_NEXT_HEADER:
        return Step(header, view.behind(length))
    return Step(header, view.behind(length), next_kind(following, ipv6=True))


def _another_version(view: View, name: str) -> Step:
    error = f"its first byte says IP version {view.number(0, 1) >> 4}"
    return Step(view.header(name, 0, error=error), view)


def _traffic_class(value: int) -> tuple[tuple[str, str | int], ...]:
    ecn = _ECN[value & 3]
    return (("dscp", value >> 2), *((("ecn", ecn),) if ecn else ()))


def _fragment_flags(flags: int) -> tuple[tuple[str, str | int], ...]:
    words = [word for bit, word in ((0x8000, "reserved"), (0x4000, "DF"), (0x2000, "MF")) if flags & bit]
    found: list[tuple[str, str | int]] = [("flags", " ".join(words))] if words else []
    if flags & 0x3FFF:  # the offset, or more to come
        found.append(("fragment_offset", (flags & 0x1FFF) * 8))
    return tuple(found)


def _checksum(header: bytes) -> int:
    """What the header's own checksum has to be (RFC 1071), of an even number of bytes."""
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, len(header), 2) if at != 10)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
