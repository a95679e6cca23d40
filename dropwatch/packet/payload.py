"""What a judge needs of a packet's own bytes beyond its Packet: payloads, lengths, the checksum of ICMP."""

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Drop
from dropwatch.packet.checksum import folded
from dropwatch.packet.ip import VERSIONS
from dropwatch.packet.layer import Layer
from dropwatch.packet.tunnel import gre_words
from dropwatch.packet.walk import walk_event

_DONT_FRAGMENT = 0x40
_ICMP6 = 58
_TIMESTAMPS, _MD5, _AO = 8, 19, 29  # kinds of options of TCP
_looks = 0


def looks() -> int:
    """How often anybody has looked here: what is said then is of one packet alone."""
    return _looks


def tcp_payload_length(drop: Drop) -> int | None:
    """Bytes of data in a TCP segment; None for what is no complete TCP header, or a fragment."""
    tcp = transport(drop, "tcp")
    if tcp is None or tcp.room < 13:
        return None
    return drop.packet.length - tcp.at - (tcp.number(12, 1) >> 4) * 4


@dataclass(frozen=True, slots=True)
class TcpNumbers:
    """Of a header of TCP. `length` is what it takes of the sequence: data, SYN, FIN. `timestamp`: None without it."""

    seq: int
    ack: int
    length: int
    timestamp: int | None


def tcp_numbers(drop: Drop) -> TcpNumbers | None:
    """None for what is no complete TCP header, or a fragment."""
    tcp = transport(drop, "tcp")
    length = tcp_payload_length(drop)
    if tcp is None or length is None or tcp.room < 20:
        return None
    flags = tcp.number(13, 1)
    taken = max(length, 0) + (flags & 1) + (flags >> 1 & 1)
    timestamps = _option(tcp, _TIMESTAMPS)
    return TcpNumbers(
        tcp.number(4, 4),
        tcp.number(8, 4),
        taken,
        int.from_bytes(timestamps[:4], "big") if timestamps is not None and len(timestamps) == 8 else None,
    )


def is_signed(drop: Drop) -> bool | None:
    """Whether a TCP segment has the option of TCP-MD5 (RFC 2385); None where its options were not captured."""
    tcp = transport(drop, "tcp")
    if tcp is None or tcp.room < 20 or tcp.room < (tcp.number(12, 1) >> 4) * 4:
        return None
    return _option(tcp, _MD5) is not None


@dataclass(frozen=True, slots=True)
class AoSignature:
    """The option of TCP-AO (RFC 5925, 2.2). `key_id` is the sender's SendID, `next_id` that of the key which it asks to
    be answered with; `length` are the bytes of the signature.
    """

    key_id: int
    next_id: int
    length: int


def ao_signature(drop: Drop) -> AoSignature | None:
    """None where the segment has none, or its options were not captured."""
    tcp = transport(drop, "tcp")
    value = _option(tcp, _AO) if tcp is not None and tcp.room >= 20 else None
    return AoSignature(value[0], value[1], len(value) - 2) if value is not None and len(value) >= 2 else None


def _option(tcp: Layer, kind: int) -> bytes | None:
    """Its value. RFC 9293, 3.1: kinds 0 and 1 are one byte, others say their length."""
    options = tcp.bytes(20, max(0, min((tcp.number(12, 1) >> 4) * 4, tcp.room) - 20))
    while options and options[0]:
        size = 1 if options[0] == 1 else options[1] if len(options) > 1 else 0
        if not 1 <= size <= len(options) or (options[0] != 1 and size == 1):
            return None
        if options[0] == kind:
            return options[2:size]
        options = options[size:]
    return None


def udp_payload(drop: Drop) -> bytes | None:
    """The data of a UDP datagram, as UDP's own length says; None where it was not captured completely."""
    udp = transport(drop, "udp")
    if udp is None or udp.problem is not None:
        return None
    length = udp.number(4, 2)
    return udp.bytes(8, length - 8) if 8 <= length <= udp.room else None


def udp_checksum(drop: Drop) -> int | None:
    """As it stands in the header; 0: none was computed."""
    udp = transport(drop, "udp")
    return udp.number(6, 2) if udp is not None and udp.room >= 8 else None


def icmp_checksum_holds(drop: Drop) -> bool:
    """True only if the whole ICMP or ICMPv6 message was captured and its checksum is right.

    RFC 792: over the message; RFC 4443, 2.3: also over addresses, length and protocol.
    """
    message = transport(drop, "icmp" if drop.packet.family == 4 else "icmp6")
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
    message = transport(drop, "icmp" if drop.packet.family == 4 else "icmp6")
    return message.number(4, 2) if message is not None and message.room >= 6 else None


def igmp_type(drop: Drop) -> int | None:
    message = transport(drop, "igmp")
    return message.number(0, 1) if message is not None and message.room else None


def whole_icmp6(drop: Drop) -> bytes | None:
    """An ICMPv6 message from its type on; None where it was not captured to its end."""
    message = transport(drop, "icmp6")
    length = drop.packet.length - message.at if message is not None else 0
    if message is None or length <= 0 or message.room < length:
        return None
    return message.bytes(0, length)


@dataclass(frozen=True, slots=True)
class Encapsulation:
    """The header of VXLAN (RFC 7348) or GENEVE (RFC 8926), whatever the port is. `flags` are those of VXLAN, all 32
    bits; of GENEVE the first two bytes. `reserved`: the last byte, which is to be 0. `source` is that of the frame
    inside, empty where it was not captured.
    """

    flags: int
    protocol: int
    vni: int
    reserved: int
    source: bytes


def vxlan(drop: Drop) -> Encapsulation | None:
    """None where the packet itself is no UDP datagram with room for such a header."""
    data = _udp_data(drop)
    if len(data) < 8:
        return None
    flags, rest = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    return Encapsulation(flags, 0, rest >> 8, rest & 0xFF, data[14:20])


def geneve(drop: Drop) -> Encapsulation | None:
    """None where the packet itself is no UDP datagram with room for such a header."""
    data = _udp_data(drop)
    if len(data) < 8:
        return None
    flags, rest = int.from_bytes(data[:2], "big"), int.from_bytes(data[4:8], "big")
    at = 8 + (data[0] & 0x3F) * 4
    return Encapsulation(
        flags, int.from_bytes(data[2:4], "big"), rest >> 8, rest & 0xFF, data[at + 6 : at + 12]
    )


@dataclass(frozen=True, slots=True)
class Gre:
    """`key` and `sequence` are None where the header has none. `version` 1 is PPTP; `protocol` the ethertype inside."""

    version: int
    protocol: int
    checksum: bool
    key: int | None
    sequence: int | None


def gre(drop: Drop) -> Gre | None:
    """The header of GRE directly behind IP (RFC 2784, RFC 2890)."""
    header = transport(drop, "gre")
    if header is None or header.room < 4:
        return None
    flags = header.number(0, 2)
    words = gre_words(flags)

    def word(name: str) -> int | None:
        at = words.get(name)
        return header.number(at, 4) if at is not None and header.room >= at + 4 else None

    return Gre(flags & 7, header.number(2, 2), bool(flags & 0x8000), word("key"), word("seq"))


def ecn(drop: Drop) -> int | None:
    """The two bits of ECN in the packet's own IP header (RFC 3168); None where that is not whole."""
    first = next(iter(_layers(drop)), None)
    if first is None or first.kind not in VERSIONS or first.problem is not None:
        return None
    return (first.number(1, 1) if first.kind == "ipv4" else first.number(0, 2) >> 4) & 3


def _udp_data(drop: Drop) -> bytes:
    udp = transport(drop, "udp")
    return b"" if udp is None or udp.problem is not None else udp.bytes(8, udp.room)


def may_not_be_cut(drop: Drop) -> bool:
    """IPv6, or IPv4 with the flag DF: a router does not fragment it."""
    first = next(iter(_layers(drop)), None)
    return drop.packet.family == 6 or (
        first is not None and first.kind == "ipv4" and bool(first.number(6, 1) & _DONT_FRAGMENT)
    )


def ah_length(drop: Drop) -> int | None:
    """The length in an AH header directly behind IP, in bytes."""
    ah = transport(drop, "ah")
    return (ah.number(1, 1) + 2) * 4 if ah is not None and ah.room >= 2 else None


def transport(drop: Drop, kind: str) -> Layer | None:
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
