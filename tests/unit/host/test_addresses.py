"""Addresses of a namespace, from the answers of the kernel."""

import socket
import struct
from ipaddress import ip_address

import pytest

from dropwatch.host.addresses import OwnAddress, address_of, read_addresses
from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode

NAMES = {3: "eth0"}


def told(address: str, flags: int = 0, *, ifindex: int = 3, local: str | None = None) -> bytes:
    raw = ip_address(address)
    family = socket.AF_INET if raw.version == 4 else socket.AF_INET6
    body = struct.pack("=BBBBI", family, 24, flags & 0xFF, 0, ifindex) + attribute(1, raw.packed)
    body += attribute(2, ip_address(local).packed) if local is not None else b""
    return body + attribute(8, struct.pack("=I", flags))


@pytest.mark.parametrize(
    ("flags", "usable"), [(0x80, True), (0xC0, False), (0x08, False), (0x40 | 0x04, True)]
)
def test_an_address(flags: int, usable: bool) -> None:
    for address in ("10.9.0.2", "fd09::2"):
        assert address_of(NAMES, told(address, flags)) == OwnAddress(ip_address(address), "eth0", usable)


def test_its_own_end_of_a_pair() -> None:
    found = address_of(NAMES, told("10.9.0.1", local="10.9.0.2"))
    assert found is not None
    assert found.address == ip_address("10.9.0.2")


def test_an_interface_that_came_meanwhile() -> None:
    assert address_of(NAMES, told("10.9.0.2", ifindex=4)) is None


def test_this_hosts_loopback() -> None:
    assert OwnAddress(ip_address("127.0.0.1"), "lo", usable=True) in read_addresses(own_inode())
