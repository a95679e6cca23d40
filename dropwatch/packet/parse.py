"""Bytes from the network header on become a Packet."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from dropwatch.model.drop import Packet
from dropwatch.packet.transport import read_transport

_ETHERTYPES = {
    0x0806: "arp",
    0x8100: "vlan",
    0x88A8: "qinq",
    0x8847: "mpls",
    0x88CC: "lldp",
    0x8863: "pppoe-d",
}
_EXTENSIONS = frozenset({0, 43, 60, 135})  # hop-by-hop, routing, destination, mobility
_FRAGMENT = 44
_IPV6_HEADER = 40
_LONGEST_CHAIN = 16
_DEEPEST = 2


def parse(data: bytes, protocol: int, length: int, mark: int) -> Packet:
    """`protocol` is the ethertype in host order (0: look at the bytes), `length` is used where no header tells one."""
    version = data[0] >> 4 if data else 0
    if version == 4 and protocol in (0, 0x0800):
        return _ipv4(data, length, mark)
    if version == 6 and protocol in (0, 0x86DD):
        return _ipv6(data, length, mark)
    empty = Packet(None, None, None, None, None, None, length, mark)
    if protocol in (0x0800, 0x86DD):
        family = 4 if protocol == 0x0800 else 6
        wrong = (
            f"IP version {version} in an IPv{family} packet"
            if data
            else "no byte of the header could be read"
        )
        return replace(empty, family=family, header_error=wrong)
    if protocol:
        return replace(empty, proto=_ETHERTYPES.get(protocol, f"{protocol:#06x}"))
    return empty


def with_esp_in_udp(packet: Packet, data: bytes, spi: int) -> Packet:
    """A UDP packet, on whatever port, that begins with the SPI for which the kernel searched it an SA."""
    if packet.proto != "udp" or packet.spi is not None or not data:
        return packet
    esp = data[8 + ((data[0] & 0xF) * 4 if packet.family == 4 else _IPV6_HEADER) :]
    if len(esp) < 8 or int.from_bytes(esp[:4], "big") != spi:
        return packet
    return replace(packet, spi=spi, seq=int.from_bytes(esp[4:8], "big"))


def _ipv4(data: bytes, length: int, mark: int, depth: int = 0) -> Packet:
    """An IPv4 packet; `data` may be cut anywhere."""
    packet = Packet(4, None, None, None, None, None, length, mark)
    if len(data) < 20:
        return replace(packet, header_error=f"IPv4 header cut after {len(data)} bytes")
    header, total = (data[0] & 0xF) * 4, int.from_bytes(data[2:4], "big")
    flags = int.from_bytes(data[6:8], "big")
    packet = replace(
        packet,
        saddr=IPv4Address(data[12:16]),
        daddr=IPv4Address(data[16:20]),
        length=total or length,
        ttl=data[8],
        fragment_id=int.from_bytes(data[4:6], "big") if flags & 0x3FFF else None,
        fragment_offset=(flags & 0x1FFF) * 8,
        more_fragments=bool(flags & 0x2000),
    )
    if header < 20:
        return replace(packet, header_error=f"IPv4 header length {header} is less than 20 bytes")
    if total >= header:
        data = data[:total]  # Ethernet pads short packets, a NAT-T keepalive for one
    return _finish(packet, data[9], data[header:], depth)


def _ipv6(data: bytes, length: int, mark: int, depth: int = 0) -> Packet:
    """An IPv6 packet with its extension headers; `data` may be cut anywhere."""
    packet = Packet(6, None, None, None, None, None, length, mark)
    if len(data) < 40:
        return replace(packet, header_error=f"IPv6 header cut after {len(data)} bytes")
    payload = int.from_bytes(data[4:6], "big")
    packet = replace(
        packet,
        saddr=IPv6Address(data[8:24]),
        daddr=IPv6Address(data[24:40]),
        length=payload + 40 if payload else length,
        ttl=data[7],
    )
    if payload:
        data = data[: payload + 40]
    next_header, at = data[6], 40
    for _ in range(_LONGEST_CHAIN):
        if next_header not in _EXTENSIONS and next_header != _FRAGMENT:
            break
        extension = data[at : at + 8]
        if len(extension) < 8:
            return replace(packet, header_error="IPv6 extension header cut")
        if next_header == _FRAGMENT:
            offset = int.from_bytes(extension[2:4], "big")
            packet = replace(
                packet,
                fragment_id=int.from_bytes(extension[4:8], "big"),
                fragment_offset=offset & 0xFFF8,
                more_fragments=bool(offset & 1),
            )
            at += 8
        else:
            at += (extension[1] + 1) * 8
        next_header = extension[0]
    return _finish(packet, next_header, data[at:], depth)


def _finish(packet: Packet, proto: int, data: bytes, depth: int) -> Packet:
    packet, inside = read_transport(packet, proto, data)
    if inside is None or depth >= _DEEPEST:
        return packet
    carried, role = inside
    read = {4: _ipv4, 6: _ipv6}.get(carried[0] >> 4) if carried else None
    if read is None:
        return packet
    found = read(carried, len(carried), 0, depth + 1)
    return replace(packet, quoted=found) if role == "quoted" else replace(packet, inner=found)
