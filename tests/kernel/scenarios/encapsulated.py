"""Packets of tunnels made by hand: what is around them has a flag, identifier or option that no kernel would send."""

import socket
import struct

from scenarios import traffic
from scenarios.namespaces import Namespace

STATION = b"\x02\x00\x00\x00\x00\x05"
INNER = "10.66.66.1", "10.66.66.2"
CONGESTED = 3  # ECN: congestion experienced


def frame(source: bytes, port: int, *, to: bytes = traffic.BROADCAST) -> bytes:
    return to + source + struct.pack("!H", traffic.ETH_P_IP) + traffic.udp_packet(*INNER, port)


def vxlan(vni: int, source: bytes, port: int, *, flags: int = 0x08000000) -> bytes:
    return struct.pack("!II", flags, vni << 8) + frame(source, port)


def geneve(vni: int, source: bytes, port: int, *, first: int = 0) -> bytes:
    return struct.pack("!HHI", first, 0x6558, vni << 8) + frame(source, port)


def gre(port: int, *, key: int | None = None, sequence: int | None = None) -> bytes:
    flags = (0x2000 if key is not None else 0) | (0x1000 if sequence is not None else 0)
    words = b"".join(struct.pack("!I", word) for word in (key, sequence) if word is not None)
    return struct.pack("!HH", flags, traffic.ETH_P_IP) + words + traffic.udp_packet(*INNER, port)


def in_udp(end: Namespace, address: str, port: int, body: bytes, count: int, *, tos: int = 0) -> None:
    with traffic.open_socket(end, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        for _ in range(count):
            sender.sendto(body, (address, port))


def in_ip(end: Namespace, address: str, proto: int, bodies: list[bytes], *, tos: int = 0) -> None:
    family = traffic.family_of(address)
    with traffic.open_socket(end, family, socket.SOCK_RAW, proto) as sender:
        if family == socket.AF_INET:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        for body in bodies:
            sender.sendto(body, (address, 0))
