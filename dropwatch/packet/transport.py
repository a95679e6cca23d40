"""Reads what carries data between programs: TCP, UDP and their like, and the messages of ICMP and IGMP."""

from dropwatch.packet.layer import Found, Kind, Place

_IPSEC_PORT = 4500  # RFC 3948 and RFC 9329
_UDP_PORTS = {4789: "vxlan", 8472: "vxlan", 6081: "geneve", 2152: "gtp", 6635: "mpls"}
_UDP_PORTS_OF_BOTH = {1701: "l2tp", 51820: "wireguard"}
# What the first four bytes have to be, where the port alone is a weak sign: a mask and what is left then.
_SIGNS = {
    "gtp": (0xF0000000, (0x30000000,)),
    "l2tp": (0x34FF0000, (0x00020000, 0x00030000)),
    "wireguard": (0xFFFFFFFF, (1 << 24, 2 << 24, 3 << 24, 4 << 24)),
}
_ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})  # RFC 792: these quote the packet they are about
_REDIRECT, _REDIRECTED_HEADER = 137, 4
_OPTIONS_AT = {133: 8, 134: 16, 135: 24, 136: 24, 137: 40}  # neighbour discovery (RFC 4861)
_ICMP6_LENGTHS = {130: 24, 131: 24, 132: 24, **_OPTIONS_AT}  # and listener discovery (RFC 2710)


def _tcp(place: Place) -> Found:
    """RFC 9293."""
    length = (place.number(12, 1) >> 4) * 4
    if length < 20:
        return Found(20, problem="length")
    ports = (place.number(0, 2), place.number(2, 2))
    return Found(length, "tcp-encapsulation" if _IPSEC_PORT in ports and _is_message(place, length) else None)


def _is_message(place: Place, at: int) -> bool:
    """RFC 9329: a length before each message. A segment may begin in the middle of one: only one that is exactly a
    message is known to be one.
    """
    return place.room >= at + 6 and place.number(at, 2) == place.whole - place.at - at


def _udp(place: Place) -> Found:
    """What it carries is told by the port alone, as the kernel's own receivers are found."""
    length = place.number(4, 2)
    total = length if length >= 8 else None
    room = min(place.room, total or place.room) - 8
    sport, dport = place.number(0, 2), place.number(2, 2)
    kind = None
    if dport == _IPSEC_PORT or (sport == _IPSEC_PORT and dport not in _UDP_PORTS):
        kind = _ipsec(place, room)
    if place.spi is not None and room >= 8 and place.number(8, 4) == place.spi:
        kind = "esp"
    if kind is None and room > 0:
        kind = _carried(place.bytes(8, min(room, 4)), sport, dport)
    return Found(8, kind, total, "tunnel" if kind == "mpls" else None)


def _carried(begin: bytes, sport: int, dport: int) -> str | None:
    kind = _UDP_PORTS.get(dport) or _UDP_PORTS_OF_BOTH.get(dport) or _UDP_PORTS_OF_BOTH.get(sport)
    mask, signs = _SIGNS.get(kind or "", (0, (0,)))
    return kind if int.from_bytes(begin.ljust(4, b"\0"), "big") & mask in signs else None


def _ipsec(place: Place, room: int) -> str | None:
    """RFC 3948: behind the UDP header four zero bytes mean IKE, one byte 0xff a keepalive, anything else is ESP."""
    if room == 1 and place.number(8, 1) == 0xFF:
        return "keepalive"
    if room >= 4 and not place.number(8, 4):
        return "ike"
    return "esp" if room >= 8 else None


def _dccp(place: Place) -> Found:
    """RFC 4340: the data offset, in words of four bytes."""
    length = place.number(4, 1) * 4
    return Found(length) if length >= 12 else Found(12, problem="length")


def _icmp(place: Place) -> Found:
    """RFC 792; an error quotes the packet that it is about."""
    return Found(8, "ipv4", opens="quote") if place.number(0, 1) in _ICMP_ERRORS else Found(8)


def _icmp6(place: Place) -> Found:
    """RFC 4443: errors are the types below 128; a redirect quotes in its last option (RFC 4861, 4.6.3)."""
    kind = place.number(0, 1)
    if kind < 128:
        return Found(8, "ipv6", opens="quote")
    length = _ICMP6_LENGTHS.get(kind, 8)
    if kind == _REDIRECT:
        for at, option, _ in neighbour_options(place.bytes(0, place.room)):
            if option == _REDIRECTED_HEADER:
                return Found(at + 8, "ipv6", opens="quote")
    return Found(length)


def neighbour_options(message: bytes) -> list[tuple[int, int, int]]:
    """Offset, type and length of each option of an ICMPv6 message that has such (RFC 4861, 4.6)."""
    at = _OPTIONS_AT.get(message[0], len(message)) if message else 0
    found = []
    while at + 8 <= len(message) and message[at + 1]:
        found.append((at, message[at], message[at + 1] * 8))
        at += message[at + 1] * 8
    return found


KINDS = {
    "tcp": Kind(20, _tcp),
    "udp": Kind(8, _udp),
    "sctp": Kind(12, lambda place: Found(12)),
    "dccp": Kind(12, _dccp),
    "udplite": Kind(8, lambda place: Found(8)),
    "icmp": Kind(8, _icmp),
    "icmp6": Kind(8, _icmp6),
    "igmp": Kind(8, lambda place: Found(8)),
}
