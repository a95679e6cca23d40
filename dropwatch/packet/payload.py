"""What a judge needs of a packet's own bytes beyond its Packet: payloads, lengths, the checksum of ICMP."""

from dropwatch.model.drop import Drop
from dropwatch.packet.checksum import folded
from dropwatch.packet.ip import VERSIONS
from dropwatch.packet.layer import Layer
from dropwatch.packet.walk import walk_event

_DONT_FRAGMENT = 0x40
_ICMP6 = 58
_looks = 0


def looks() -> int:
    """How often anybody has looked here: what is said then is of one packet alone."""
    return _looks


def tcp_payload_length(drop: Drop) -> int | None:
    """Bytes of data in a TCP segment; None for what is no complete TCP header, or a fragment."""
    tcp = _transport(drop, "tcp")
    if tcp is None or tcp.room < 13:
        return None
    return drop.packet.length - tcp.at - (tcp.number(12, 1) >> 4) * 4


def udp_payload(drop: Drop) -> bytes | None:
    """The data of a UDP datagram, as UDP's own length says; None where it was not captured completely."""
    udp = _transport(drop, "udp")
    if udp is None or udp.problem is not None:
        return None
    length = udp.number(4, 2)
    return udp.bytes(8, length - 8) if 8 <= length <= udp.room else None


def udp_checksum(drop: Drop) -> int | None:
    """As it stands in the header; 0: none was computed."""
    udp = _transport(drop, "udp")
    return udp.number(6, 2) if udp is not None and udp.room >= 8 else None


def icmp_checksum_holds(drop: Drop) -> bool:
    """True only if the whole ICMP or ICMPv6 message was captured and its checksum is right.

    RFC 792: over the message; RFC 4443, 2.3: also over addresses, length and protocol.
    """
    message = _transport(drop, "icmp" if drop.packet.family == 4 else "icmp6")
    if message is None:
        return False
    length = drop.packet.length - message.at
    if length <= 0 or message.room < length:
        return False
    covered = message.bytes(0, length)
    if message.kind == "icmp6":
        covered = message.data[8:40] + length.to_bytes(4, "big") + bytes((0, 0, 0, _ICMP6)) + covered
    return folded(covered) == 0xFFFF


def echo_identifier(drop: Drop) -> int | None:
    """Of an echo request or reply: what tells the pings of one host apart."""
    message = _transport(drop, "icmp" if drop.packet.family == 4 else "icmp6")
    return message.number(4, 2) if message is not None and message.room >= 6 else None


def igmp_type(drop: Drop) -> int | None:
    message = _transport(drop, "igmp")
    return message.number(0, 1) if message is not None and message.room else None


def whole_icmp6(drop: Drop) -> bytes | None:
    """An ICMPv6 message from its type on; None where it was not captured to its end."""
    message = _transport(drop, "icmp6")
    length = drop.packet.length - message.at if message is not None else 0
    if message is None or length <= 0 or message.room < length:
        return None
    return message.bytes(0, length)


def vni(drop: Drop) -> int | None:
    """The network identifier of a VXLAN packet."""
    vxlan = _transport(drop, "vxlan")
    return vxlan.number(4, 3) if vxlan is not None and vxlan.room >= 8 else None


def may_not_be_cut(drop: Drop) -> bool:
    """IPv6, or IPv4 with the flag DF: a router does not fragment it."""
    first = next(iter(_layers(drop)), None)
    return drop.packet.family == 6 or (
        first is not None and first.kind == "ipv4" and bool(first.number(6, 1) & _DONT_FRAGMENT)
    )


def ah_length(drop: Drop) -> int | None:
    """The length in an AH header directly behind IP, in bytes."""
    ah = _transport(drop, "ah")
    return (ah.number(1, 1) + 2) * 4 if ah is not None and ah.room >= 2 else None


def _transport(drop: Drop, kind: str) -> Layer | None:
    """The header of this kind in the packet itself, behind IP and its extension headers; None in a fragment."""
    layers = _layers(drop)
    if (
        not layers
        or layers[0].kind not in VERSIONS
        or drop.packet.fragment_offset
        or drop.packet.more_fragments
    ):
        return None
    return next((layer for layer in layers if layer.depth == 0 and layer.kind == kind), None)


def _layers(drop: Drop) -> tuple[Layer, ...]:
    global _looks
    _looks += 1
    return walk_event(drop.event).layers
