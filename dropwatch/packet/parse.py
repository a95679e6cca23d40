"""A walk over a packet's headers becomes a Packet, with the packets that it carries or quotes."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from dropwatch.model.drop import Event, Packet
from dropwatch.names import protocols
from dropwatch.packet.ip import EXTENSIONS, VERSIONS
from dropwatch.packet.layer import Layer
from dropwatch.packet.walk import Walk, walk, walk_event

_ETHERTYPES = {
    0x0806: "arp",
    0x8100: "vlan",
    0x88A8: "qinq",
    0x8847: "mpls",
    0x88CC: "lldp",
    0x8863: "pppoe-d",
}
_FAMILIES = {0x0800: 4, 0x86DD: 6}
_TCP_FLAGS = "FSRPAUEC"
_WITH_PORTS = frozenset({"udp", "tcp", "sctp", "dccp", "udplite"})
_SHORTEST = {"ipv4": 20, "ipv6": 40}
_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("proto", "saddr", "daddr", "sport", "dport")),
    "fragment_offset": 0,
}
# The bytes without which a header tells nothing; what is not here tells nothing anyway.
_TELLING = {**dict.fromkeys(_WITH_PORTS, 4), "esp": 8, "ah": 12, "comp": 4, "icmp": 2, "icmp6": 2}


def parse(data: bytes, protocol: int, length: int, mark: int) -> Packet:
    """`protocol` is the ethertype in host order (0: look at the bytes), `length` is used where no header tells one."""
    return _packet(walk(data, protocol), length, mark)


def parse_event(event: Event) -> Packet:
    return _packet(walk_event(event), event.length, event.mark)


def _packet(walked: Walk, length: int, mark: int) -> Packet:
    """One Packet for each IP header, the innermost first, since each is a part of the one around it."""
    starts = _starts(walked)
    inside: dict[str, Any] = {}
    end = len(walked.layers)
    for start in reversed(starts):
        first = walked.layers[start]
        outermost = start == 0
        fields = _ip(walked.layers[start:end], length if outermost else first.room, mark if outermost else 0)
        packet = Packet(**fields, **inside)
        if outermost:
            return packet
        end, before = start, walked.layers[start - 1]
        inside = {"quoted" if before.kind in ("icmp", "icmp6") else "inner": packet}
    return _without_ip(walked, length, mark, inside)


def ip_headers(walked: Walk) -> list[Layer]:
    """The headers of which there is a Packet each, the outermost first."""
    return [walked.layers[at] for at in _starts(walked)]


def _starts(walked: Walk) -> list[int]:
    return [at for at, layer in enumerate(walked.layers) if layer.kind in VERSIONS and _is_read(layer)]


def _is_read(layer: Layer) -> bool:
    """IP that is there, and that is what it was said to be; inside a tunnel its own version is believed."""
    if layer.depth == 0:
        return layer.problem != "version" and bool(layer.room)
    return bool(layer.room) and layer.number(0, 1) >> 4 == VERSIONS[layer.kind]


def _without_ip(walked: Walk, length: int, mark: int, inside: dict[str, Any]) -> Packet:
    proto = error = None
    family = _FAMILIES.get(walked.protocol)
    if family is not None:
        inside = {}
        version = walked.data[0] >> 4 if walked.data else None
        error = f"IP version {version} in an IPv{family} packet"
        if version is None:
            error = "no byte of the header could be read"
    elif walked.protocol:
        proto = _ETHERTYPES.get(walked.protocol, f"{walked.protocol:#06x}")
    return Packet(family, proto, None, None, None, None, length, mark, header_error=error, **inside)


def _ip(layers: Sequence[Layer], length: int, mark: int) -> dict[str, Any]:
    """The fields of a Packet, of an IP header and what follows it up to the next."""
    first, behind = layers[0], layers[1:]
    fields = {**_NOTHING, "family": VERSIONS[first.kind], "length": length, "mark": mark}
    cut = first.end - first.at < first.needed
    if cut:
        fields["header_error"] = f"IPv{VERSIONS[first.kind]} header cut after {first.room} bytes"
    if cut and first.needed == _SHORTEST[first.kind]:
        return fields
    proto: int | None = _ipv4(first, fields) if first.kind == "ipv4" else _ipv6(first, fields)
    while behind and behind[0].kind in EXTENSIONS:
        extension, behind = behind[0], behind[1:]
        if extension.problem is not None:
            return {**fields, "header_error": "IPv6 extension header cut"}
        proto = extension.number(0, 1)
        if extension.kind == "fragment":
            offset = extension.number(2, 2)
            fields.update(fragment_id=extension.number(4, 4), fragment_offset=offset & 0xFFF8)
            fields["more_fragments"] = bool(offset & 1)
    if proto is not None:
        fields["proto"] = protocols.name(proto)
        if behind and not fields["fragment_offset"]:
            _transport(behind, fields)
    return fields


def _ipv4(header: Layer, fields: dict[str, Any]) -> int | None:
    """Completes the fields; the number of what follows, None where the header does not end where it can."""
    flags = header.number(6, 2)
    fields.update(
        saddr=_address4(header.bytes(12, 4)),
        daddr=_address4(header.bytes(16, 4)),
        length=header.number(2, 2) or fields["length"],
        ttl=header.number(8, 1),
        fragment_id=header.number(4, 2) if flags & 0x3FFF else None,
        fragment_offset=(flags & 0x1FFF) * 8,
        more_fragments=bool(flags & 0x2000),
    )
    length = (header.number(0, 1) & 0xF) * 4
    if length < 20:
        fields["header_error"] = f"IPv4 header length {length} is less than 20 bytes"
        return None
    return header.number(9, 1)


def _ipv6(header: Layer, fields: dict[str, Any]) -> int:
    payload = header.number(4, 2)
    fields.update(
        saddr=_address6(header.bytes(8, 16)),
        daddr=_address6(header.bytes(24, 16)),
        length=payload + 40 if payload else fields["length"],
        ttl=header.number(7, 1),
    )
    return header.number(6, 1)


# The same few come again, and making one takes longer than all the rest of a header.
_address4 = lru_cache(maxsize=1024)(IPv4Address)
_address6 = lru_cache(maxsize=1024)(IPv6Address)


def _transport(layers: Sequence[Layer], fields: dict[str, Any]) -> None:
    """Completes the fields with what the header behind IP tells, and with ESP in UDP or TCP."""
    header = layers[0]
    kind, room = header.kind, header.room
    least = _TELLING.get(kind, 0)
    if room < least:
        there = max(room - 4, 0) if kind == "ah" else room  # of AH from its SPI on
        fields["header_error"] = f"{fields['proto']} header cut after {there} bytes"
    elif kind in _WITH_PORTS:
        fields.update(sport=header.number(0, 2), dport=header.number(2, 2))
        if kind == "tcp" and room > 13:
            bits = header.number(13, 1)
            fields["tcp_flags"] = "".join(letter for bit, letter in enumerate(_TCP_FLAGS) if bits >> bit & 1)
        inside = layers[2:] if len(layers) > 1 and layers[1].kind == "tcp-encapsulation" else layers[1:]
        if inside and inside[0].kind == "esp" and inside[0].problem is None:
            fields.update(spi=inside[0].number(0, 4), seq=inside[0].number(4, 4))
    elif kind in ("esp", "ah"):
        at = 4 if kind == "ah" else 0
        fields.update(spi=header.number(at, 4), seq=header.number(at + 4, 4))
    elif kind == "comp":  # IPComp (RFC 3173) has 16 bits in place of an SPI, and no sequence number
        fields["spi"] = header.number(2, 2)
    elif kind in ("icmp", "icmp6"):
        fields.update(icmp_type=header.number(0, 1), icmp_code=header.number(1, 1))
