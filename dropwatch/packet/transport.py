"""What follows the IP header: ports, SPIs, and the packets inside ICMP errors and tunnels."""

from dataclasses import replace
from socket import (
    IPPROTO_AH,
    IPPROTO_ESP,
    IPPROTO_GRE,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IPIP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
)
from typing import Literal

from dropwatch.model.drop import Packet
from dropwatch.names import protocols

_ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})  # RFC 792: these quote the packet they are about
_NAT_T = 4500
_VXLAN = frozenset({4789, 8472})
_GENEVE = 6081
_ETHERNET = 14
_IPCOMP = 108  # Python's socket module does not have it everywhere

# What lies inside a packet: bytes from the IP header on, and the field of Packet that they belong to.
Inside = tuple[bytes, Literal["quoted", "inner"]]


def read_transport(packet: Packet, proto: int, data: bytes) -> tuple[Packet, Inside | None]:
    """Completes a packet whose IP header is read; `data` begins at the transport header."""
    packet = replace(packet, proto=protocols.name(proto))
    if packet.fragment_offset:
        return packet, None
    if proto in protocols.WITH_PORTS:
        return _with_ports(packet, proto, data)
    if proto == IPPROTO_ESP:
        return _with_spi(packet, data), None
    if proto == IPPROTO_AH:
        return _with_spi(packet, data[4:]), None
    if proto == _IPCOMP:
        return _with_cpi(packet, data), None
    if proto in (IPPROTO_ICMP, IPPROTO_ICMPV6):
        return _icmp(packet, proto, data)
    if proto in (IPPROTO_IPIP, IPPROTO_IPV6):
        return packet, (data, "inner")
    if proto == IPPROTO_GRE:
        return packet, _gre(data)
    return packet, None


def _with_ports(packet: Packet, proto: int, data: bytes) -> tuple[Packet, Inside | None]:
    if len(data) < 4:
        return _cut(packet, data), None
    sport, dport = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    packet = replace(packet, sport=sport, dport=dport)
    if proto == IPPROTO_TCP and len(data) > 13:
        flags = "".join(letter for bit, letter in enumerate("FSRPAUEC") if data[13] >> bit & 1)
        return replace(packet, tcp_flags=flags), None
    if proto != IPPROTO_UDP:
        return packet, None
    # RFC 3948: after the UDP header four zero bytes mean IKE, one byte 0xff a keepalive, anything else is ESP.
    if _NAT_T in (sport, dport) and len(data) >= 16 and data[8:12] != bytes(4):
        return _with_spi(packet, data[8:]), None
    if dport in _VXLAN:
        return packet, _ethernet(data[16:])
    if dport == _GENEVE and len(data) > 8:
        return packet, _ethernet(data[16 + (data[8] & 0x3F) * 4 :])
    return packet, None


def _with_spi(packet: Packet, data: bytes) -> Packet:
    if len(data) < 8:
        return _cut(packet, data)
    return replace(packet, spi=int.from_bytes(data[:4], "big"), seq=int.from_bytes(data[4:8], "big"))


def _with_cpi(packet: Packet, data: bytes) -> Packet:
    """IPComp (RFC 3173) has 16 bits in place of an SPI, and no sequence number."""
    if len(data) < 4:
        return _cut(packet, data)
    return replace(packet, spi=int.from_bytes(data[2:4], "big"))


def _icmp(packet: Packet, proto: int, data: bytes) -> tuple[Packet, Inside | None]:
    if len(data) < 2:
        return _cut(packet, data), None
    packet = replace(packet, icmp_type=data[0], icmp_code=data[1])
    is_error = data[0] in _ICMP_ERRORS if proto == IPPROTO_ICMP else data[0] < 128
    return packet, (data[8:], "quoted") if is_error else None


def _gre(data: bytes) -> Inside | None:
    if len(data) < 4:
        return None
    flags, kind = data[0], int.from_bytes(data[2:4], "big")
    # RFC 2890: checksum, key and sequence number each add four bytes.
    at = 4 + 4 * ((flags >> 7 & 1) + (flags >> 5 & 1) + (flags >> 4 & 1))
    if kind in (0x0800, 0x86DD):
        return data[at:], "inner"
    return _ethernet(data[at:]) if kind == 0x6558 else None


def _ethernet(data: bytes) -> Inside | None:
    return (data[_ETHERNET:], "inner") if data[12:14] in (b"\x08\x00", b"\x86\xdd") else None


def _cut(packet: Packet, data: bytes) -> Packet:
    return replace(packet, header_error=f"{packet.proto} header cut after {len(data)} bytes")
