"""Services of IPVS and their servers, from messages of generic netlink."""

import socket
import struct
from ipaddress import ip_address

from dropwatch.host.ipvs import (
    Server,
    Service,
    read_ipvs,
    server_of,
    service_key,
    service_of,
)
from dropwatch.host.netlink import attribute, attributes
from dropwatch.host.netns.netns import own_inode
from dropwatch.recording.decode import decode
from dropwatch.recording.encode import encode

FOUR, SIX = ip_address("10.0.0.1"), ip_address("fd00::1")


def u16(value: int) -> bytes:
    return struct.pack("=H", value)


def u32(value: int) -> bytes:
    return struct.pack("=I", value)


def union(address: bytes) -> bytes:
    return address.ljust(16, b"\0")


def message(known: bytes) -> bytes:
    return struct.pack("=BBH", 1, 1, 0) + attribute(1, known)


def test_a_service_of_an_address() -> None:
    known = attribute(1, u16(socket.AF_INET)) + attribute(2, u16(6)) + attribute(3, union(FOUR.packed))
    known += attribute(4, struct.pack("!H", 80)) + attribute(6, b"wlc\0")
    assert service_of(message(known)) == Service("tcp", FOUR, 80, 0, "wlc", None, 4)
    known = attribute(1, u16(socket.AF_INET6)) + attribute(2, u16(17)) + attribute(3, SIX.packed)
    assert service_of(message(known)) == Service("udp", SIX, 0, 0, "", None, 6)


def test_a_service_of_a_mark() -> None:
    known = attribute(1, u16(socket.AF_INET)) + attribute(5, u32(7)) + attribute(6, b"rr\0")
    assert service_of(message(known)) == Service(None, None, 0, 7, "rr", None, 4)


def test_the_kernel_finds_a_service_by_what_it_told_of_it() -> None:
    expected = {1: u16(socket.AF_INET), 2: u16(132), 3: union(FOUR.packed), 4: struct.pack("!H", 80)}
    assert attributes(service_key(4, 0, "sctp", FOUR, 80)) == expected
    assert attributes(service_key(6, 7, None, None, 0)) == {1: u16(socket.AF_INET6), 5: u32(7)}
    assert attributes(service_key(6, 0, "udp", SIX, 0))[3] == SIX.packed


def test_what_is_recorded_of_a_service_tells_whether_its_servers_were_read() -> None:
    for servers in (None, (), (Server(FOUR, 80, 1),)):
        service = Service("tcp", FOUR, 80, 0, "wlc", servers, 4)
        assert decode(encode(service), Service) == service


def test_a_server() -> None:
    known = attribute(1, union(FOUR.packed)) + attribute(2, struct.pack("!H", 8080)) + attribute(4, u32(3))
    counts = b"".join(attribute(name, u32(value)) for name, value in ((5, 10), (7, 2), (8, 4), (9, 1)))
    message = struct.pack("=BBH", 8, 1, 0) + attribute(2, known + counts + attribute(11, u16(socket.AF_INET)))
    assert server_of(message) == Server(FOUR, 8080, 3, 10, 7)


def test_this_host_answers() -> None:
    assert all(service.scheduler for service in read_ipvs(own_inode()))
