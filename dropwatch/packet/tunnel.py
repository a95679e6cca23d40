"""Reads what wraps another packet: IPsec, GRE, VXLAN, Geneve, L2TP, GTP-U, WireGuard."""

from dropwatch.packet.ip import behind
from dropwatch.packet.layer import Found, Kind, Place
from dropwatch.packet.link import ETHERTYPES, by_version

_GRE_ROUTING = 0x4000
_GRE_WORDS = {
    0: (("checksum", 0x8000 | _GRE_ROUTING), ("key", 0x2000), ("seq", 0x1000)),
    1: (("key", 0x2000), ("seq", 0x1000), ("ack", 0x80)),
}
_L2TP_CONTROL, _L2TP_LENGTH, _L2TP_SEQUENCE, _L2TP_OFFSET = 0x8000, 0x4000, 0x0800, 0x0200
_GTP_USER_DATA, _GTP_OPTIONAL, _GTP_EXTENSION = 255, 7, 4
_WIREGUARD_LENGTHS = {1: 8, 2: 12, 3: 8, 4: 16}  # type, the indices of both ends, and the counter of data


def _ah(place: Place) -> Found:
    """RFC 4302: it signs and does not hide, so what follows is read as well."""
    length = (place.number(1, 1) + 2) * 4
    if length < 12:
        return Found(12, problem="length")
    return behind(place.number(0, 1), length, place.family)


def _tcp_encapsulation(place: Place) -> Found:
    """RFC 9329, 3: the length of the message, then ESP, or four zero bytes and IKE."""
    return Found(2, "esp" if place.number(2, 4) else "ike")


def gre_words(flags: int) -> dict[str, int]:
    """Where the optional parts of a header with these flags begin, and its end if it has no source routes.

    RFC 2784 and 2890; with routing (RFC 1701) the checksum's word is there as well. Version 1 is PPTP (RFC 2637).
    """
    version, at = flags & 7, 4
    found: dict[str, int] = {}
    for name, bits in _GRE_WORDS.get(version, ()):
        if flags & bits:
            found[name] = at
            at += 4
    if flags & _GRE_ROUTING and not version:
        found["routing"] = at
    return {**found, "end": at}


def _gre(place: Place) -> Found:
    """Of a version that nobody has written down only the first word is read."""
    flags = place.number(0, 2)
    if flags & 7 not in _GRE_WORDS:
        return Found(4)
    words = gre_words(flags)
    length = _behind_routing(place, words["end"]) if "routing" in words else words["end"]
    return Found(length, ETHERTYPES.get(place.number(2, 2)), opens="tunnel")


def _behind_routing(place: Place, at: int) -> int:
    """Source route entries: family, offset, length, addresses; an empty one ends them."""
    while at + 4 <= place.room and place.number(at, 4):
        at += 4 + place.number(at + 3, 1)
    return at + 4


def _geneve(place: Place) -> Found:
    """RFC 8926."""
    return Found(8 + (place.number(0, 1) & 0x3F) * 4, ETHERTYPES.get(place.number(2, 2)), opens="tunnel")


def _l2tp(place: Place) -> Found:
    """In UDP: version 2 (RFC 2661) carries PPP; version 3 (RFC 3931) says no more than its session."""
    flags = place.number(0, 2)
    if flags & 0xF == 3:
        return Found(8) if flags & _L2TP_CONTROL else _l2tp_session(place, 8)
    if flags & 0xF != 2:
        return Found(4)
    length = 6 + (2 if flags & _L2TP_LENGTH else 0) + (4 if flags & _L2TP_SEQUENCE else 0)
    if flags & _L2TP_CONTROL:
        return Found(length)
    if flags & _L2TP_OFFSET:
        length += 2 + place.number(length, 2)
    return Found(length, "ppp", opens="tunnel")


def _l2tp_ip(place: Place) -> Found:
    """Directly in IP (RFC 3931, 4.1.1); session 0 are control messages."""
    return _l2tp_session(place, 4) if place.number(0, 4) else Found(4)


def _l2tp_session(place: Place, at: int) -> Found:
    """The two ends have agreed on a cookie of 0, 4 or 8 bytes and on 4 more: it is Ethernet where that fits only."""
    for optional in (4, 0, 8, 12):
        kind = ETHERTYPES.get(place.number(at + optional + 12, 2))
        if kind is not None and by_version(place, at + optional + 14) == kind:
            return Found(at + optional, "ethernet", opens="tunnel")
    return Found(at)


def _gtp(place: Place) -> Found:
    """3GPP TS 29.281, 5.1: the optional words are there with any of three flags; extension headers form a chain."""
    flags, length = place.number(0, 1), 8
    if flags & _GTP_OPTIONAL:
        following, length = place.number(11, 1) if flags & _GTP_EXTENSION else 0, 12
        while following and length < place.room and place.number(length, 1):
            length += place.number(length, 1) * 4
            following = place.number(length - 1, 1)
    total = 8 + place.number(2, 2)
    is_packet = place.number(1, 1) == _GTP_USER_DATA and total > length
    return Found(
        length, by_version(place, length) if is_packet else None, total if total >= length else None, "tunnel"
    )


KINDS = {
    "esp": Kind(8, lambda place: Found(8)),
    "ah": Kind(12, _ah),
    "comp": Kind(4, lambda place: Found(4)),
    "ike": Kind(4, lambda place: Found(4)),
    "keepalive": Kind(1, lambda place: Found(1)),
    "tcp-encapsulation": Kind(2, _tcp_encapsulation),
    "gre": Kind(4, _gre),
    "vxlan": Kind(8, lambda place: Found(8, "ethernet", opens="tunnel")),
    "geneve": Kind(8, _geneve),
    "l2tp": Kind(6, _l2tp),
    "l2tp-ip": Kind(4, _l2tp_ip),
    "gtp": Kind(8, _gtp),
    "wireguard": Kind(4, lambda place: Found(_WIREGUARD_LENGTHS.get(place.number(0, 1), 4))),
}
