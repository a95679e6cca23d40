"""Builds packets for the tests of this room: each function puts one header before what it is given."""

import struct
from ipaddress import ip_address

UDP, TCP, SCTP, UDPLITE, ICMP, ICMP6 = 17, 6, 132, 136, 1, 58
IPIP, IPV6, GRE, ESP, AH, COMP, L2TP, MPLS, ETHERNET = 4, 41, 47, 50, 51, 108, 115, 137, 143
HOP, ROUTING, FRAGMENT, DESTINATION, MOBILITY = 0, 43, 44, 60, 135
IP4_TYPE, IP6_TYPE, VLAN_TYPE, QINQ_TYPE, MPLS_TYPE, ETHERNET_TYPE = (
    0x0800,
    0x86DD,
    0x8100,
    0x88A8,
    0x8847,
    0x6558,
)


def checksum(data: bytes) -> int:
    """RFC 1071, over 16-bit words."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(
    proto: int,
    body: bytes,
    src: str = "10.9.0.1",
    dst: str = "10.9.0.2",
    options: bytes = b"",
    flags: int = 0,
) -> bytes:
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, words * 4 + len(body), 7, flags, 64, proto, 0)
    head += ip_address(src).packed + ip_address(dst).packed + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def ipv6(proto: int, body: bytes, src: str = "fd00::1", dst: str = "fd00::2") -> bytes:
    ends = ip_address(src).packed + ip_address(dst).packed
    return struct.pack("!IHBB", 6 << 28, len(body), proto, 64) + ends + body


def udp(body: bytes = b"", sport: int = 40000, dport: int = 50007) -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(body), 0) + body


def tcp(body: bytes = b"", sport: int = 40000, dport: int = 50007, options: bytes = b"") -> bytes:
    words = 5 + len(options) // 4
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 2, words << 4, 0x18, 1024, 0, 0) + options + body


def esp(spi: int = 0x1001, seq: int = 7) -> bytes:
    return struct.pack("!II", spi, seq) + bytes(range(32))


def ah(following: int, body: bytes, spi: int = 0x2002) -> bytes:
    return struct.pack("!BBHII", following, 4, 0, spi, 11) + bytes(12) + body


def icmp(kind: int, code: int, body: bytes, word: int = 0) -> bytes:
    head = struct.pack("!BBHI", kind, code, 0, word)
    return head[:2] + struct.pack("!H", checksum(head + body)) + head[4:] + body


def hop_by_hop(following: int, body: bytes) -> bytes:
    return bytes((following, 0, 1, 4, 0, 0, 0, 0)) + body


def destination(following: int, body: bytes) -> bytes:
    return bytes((following, 1, 1, 12)) + bytes(12) + body


def routing(following: int, body: bytes) -> bytes:
    """Segment routing (RFC 8754), at its last segment."""
    return bytes((following, 2, 4, 0, 0, 0, 0, 0)) + ip_address("fd00::2").packed + body


def fragment(following: int, body: bytes, offset: int = 0, more: bool = True) -> bytes:
    return struct.pack("!BBHI", following, 0, offset | more, 0xCAFE) + body


def ethernet(kind: int, body: bytes) -> bytes:
    return bytes.fromhex("020000000001020000000002") + kind.to_bytes(2, "big") + body


def vlan(number: int, kind: int, body: bytes) -> bytes:
    """From the control information on: the type that announces it stands before."""
    return struct.pack("!HH", number, kind) + body


def mpls(body: bytes, *labels: int) -> bytes:
    last = len(labels) - 1
    stack = (struct.pack("!I", label << 12 | (at == last) << 8 | 64) for at, label in enumerate(labels))
    return b"".join(stack) + body


def gre(kind: int, body: bytes, words: bytes = b"", flags: int = 0) -> bytes:
    return struct.pack("!HH", flags, kind) + words + body


def vxlan(body: bytes, vni: int = 42) -> bytes:
    return struct.pack("!II", 8 << 24, vni << 8) + body


def geneve(kind: int, body: bytes, options: bytes = b"", vni: int = 43) -> bytes:
    return struct.pack("!BBHI", len(options) // 4, 0, kind, vni << 8) + options + body


def gtp(body: bytes, optional: bytes = b"", flags: int = 0) -> bytes:
    return struct.pack("!BBHI", 0x30 | flags, 255, len(optional) + len(body), 0xABCD) + optional + body
