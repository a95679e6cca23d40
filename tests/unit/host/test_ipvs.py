"""Services of IPVS and their servers, from messages of generic netlink."""

import socket
import struct
from ipaddress import ip_address

from dropwatch.host.ipvs import Server, Service, read_ipvs, server_of, service_of
from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode

FOUR, SIX = ip_address("10.0.0.1"), ip_address("fd00::1")


def u16(value: int) -> bytes:
    return struct.pack("=H", value)


def u32(value: int) -> bytes:
    return struct.pack("=I", value)


def union(address: bytes) -> bytes:
    return address.ljust(16, b"\0")


def test_a_service_of_an_address() -> None:
    known = attribute(1, u16(socket.AF_INET)) + attribute(2, u16(6)) + attribute(3, union(FOUR.packed))
    known += attribute(4, struct.pack("!H", 80)) + attribute(6, b"wlc\0")
    assert service_of(known) == Service("tcp", FOUR, 80, 0, "wlc")
    known = attribute(1, u16(socket.AF_INET6)) + attribute(2, u16(17)) + attribute(3, SIX.packed)
    assert service_of(known) == Service("udp", SIX, 0, 0, "")


def test_a_service_of_a_mark() -> None:
    known = attribute(1, u16(socket.AF_INET)) + attribute(5, u32(7)) + attribute(6, b"rr\0")
    assert service_of(known) == Service(None, None, 0, 7, "rr")


def test_a_server() -> None:
    known = attribute(1, union(FOUR.packed)) + attribute(2, struct.pack("!H", 8080)) + attribute(4, u32(3))
    counts = b"".join(attribute(name, u32(value)) for name, value in ((5, 10), (7, 2), (8, 4), (9, 1)))
    message = struct.pack("=BBH", 8, 1, 0) + attribute(2, known + counts + attribute(11, u16(socket.AF_INET)))
    assert server_of(message) == Server(FOUR, 8080, 3, 10, 7)


def test_this_host_answers() -> None:
    assert all(service.scheduler for service in read_ipvs(own_inode()))
