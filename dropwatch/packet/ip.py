"""Reads IPv4, IPv6 and the extension headers of IPv6."""

from dropwatch.packet.layer import Found, Kind, Place

# IANA protocol numbers to the kind of header that follows; all others are data.
_PROTOCOLS = {
    1: "icmp",
    2: "igmp",
    4: "ipv4",
    6: "tcp",
    17: "udp",
    33: "dccp",
    41: "ipv6",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "icmp6",
    108: "comp",
    115: "l2tp-ip",
    132: "sctp",
    136: "udplite",
    137: "mpls",
    143: "ethernet",
}
_EXTENSIONS = {0: "hop-by-hop", 43: "routing", 44: "fragment", 60: "destination", 135: "mobility"}
_TUNNELS = frozenset({"ipv4", "ipv6", "mpls", "ethernet"})
EXTENSIONS = frozenset(_EXTENSIONS.values())
VERSIONS = {"ipv4": 4, "ipv6": 6}


def behind(number: int, length: int, family: int, total: int | None = None) -> Found:
    """A header of this length that announces what follows by its protocol number."""
    kind = _PROTOCOLS.get(number) or (_EXTENSIONS.get(number) if family == 6 else None)
    return Found(length, kind, total, "tunnel" if kind in _TUNNELS else None)


def _ipv4(place: Place) -> Found:
    """RFC 791. What is announced as IPv4 and is IPv6 is read as what it is, with a problem."""
    if place.number(0, 1) >> 4 != 4:
        return _other_version(place, 20, "ipv6")
    return _read_ipv4(place)


def _read_ipv4(place: Place) -> Found:
    if place.room < 20:
        return Found(20)
    length, total = (place.number(0, 1) & 0xF) * 4, place.number(2, 2)
    if length < 20:
        return Found(20, problem="length")
    # A total of 0: a large TCP packet that is not cut yet. Ethernet pads short packets, a NAT-T keepalive for one.
    known = total if total >= length else None
    if place.number(6, 2) & 0x1FFF:  # a later fragment: the middle of something
        return Found(length, total=known)
    return behind(place.number(9, 1), length, 4, known)


def _ipv6(place: Place) -> Found:
    """RFC 8200."""
    if place.number(0, 1) >> 4 != 6:
        return _other_version(place, 40, "ipv4")
    return _read_ipv6(place)


def _read_ipv6(place: Place) -> Found:
    if place.room < 40:
        return Found(40)
    payload = place.number(4, 2)
    return behind(place.number(6, 1), 40, 6, 40 + payload if payload else None)


def _other_version(place: Place, length: int, other: str) -> Found:
    """Neither version: what is wrong with it is where its header should be."""
    if place.number(0, 1) >> 4 != VERSIONS[other]:
        return Found(length, problem="version")
    read = _read_ipv4 if other == "ipv4" else _read_ipv6
    return read(place)._replace(problem="version", kind=other)


def _extension(place: Place) -> Found:
    """A header whose first byte announces the next, and whose second is its length."""
    return behind(place.number(0, 1), (place.number(1, 1) + 1) * 8, 6)


def _fragment(place: Place) -> Found:
    """A later fragment ends here: what follows is the middle of something."""
    return Found(8) if place.number(2, 2) & 0xFFF8 else behind(place.number(0, 1), 8, 6)


KINDS = {
    "ipv4": Kind(1, _ipv4),
    "ipv6": Kind(1, _ipv6),
    "hop-by-hop": Kind(8, _extension),
    "routing": Kind(8, _extension),
    "destination": Kind(8, _extension),
    "mobility": Kind(8, _extension),
    "fragment": Kind(8, _fragment),
}
