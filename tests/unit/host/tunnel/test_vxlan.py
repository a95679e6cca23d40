"""VXLAN interfaces, from the attributes of links, and the entries of their forwarding tables."""

import socket
import struct
from ipaddress import ip_address

import pytest

from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.tunnel.vxlan import Remote, Vxlan, read_vxlans, remote_of, vnis_of, vxlan_of

MAC = bytes.fromhex("020000000007")


def number(value: int) -> bytes:
    return struct.pack("=I", value)


def link(*data: tuple[int, bytes], name: bytes = b"vx0") -> dict[int, bytes]:
    inside = b"".join(attribute(kind, value) for kind, value in data)
    return {1: MAC, 3: name + b"\0", 18: attribute(1, b"vxlan\0") + attribute(2, inside)}


def test_an_interface() -> None:
    found = vxlan_of(4, 0x1003, link((1, number(77)), (15, struct.pack("!H", 4789))))
    assert found == Vxlan("vx0", 77, up=True, ifindex=4, port=4789, mac="02:00:00:00:00:07")
    assert found is not None
    assert not found.learning
    down = vxlan_of(4, 0x1002, link((1, number(77))))
    assert down is not None
    assert not down.up
    assert vxlan_of(4, 1, {3: b"d0\0", 18: attribute(1, b"dummy\0")}) is None


def test_all_that_is_set() -> None:
    set_on = ((3, number(9)), (7, b"\1"), (11, b"\1"), (23, b""), (25, b"\1"), (27, b""), (30, b"\1"))
    addresses = ((2, bytes((10, 0, 0, 2))), (4, bytes((10, 0, 0, 1))))
    found = vxlan_of(4, 1, {**link((1, number(5)), *addresses, *set_on), 37: number(0)})
    assert found is not None
    assert (found.remote, found.local) == (ip_address("10.0.0.2"), ip_address("10.0.0.1"))
    assert found.link == 9
    assert all((found.learning, found.proxy, found.gbp, found.gpe))
    assert all((found.external, found.vnifilter, found.elsewhere))


def test_addresses_of_ipv6() -> None:
    remote, local = (ip_address(text) for text in ("fd00::2", "fd00::1"))
    found = vxlan_of(4, 1, link((16, remote.packed), (17, local.packed)))
    assert found is not None
    assert (found.remote, found.local) == (remote, local)


def entry(mac: bytes, *, index: int = 4, state: int = 0x80, flags: int = 2) -> bytes:
    body = struct.pack("=BxxxiHBB", socket.AF_BRIDGE, index, state, flags, 0)
    return body + attribute(2, mac) + attribute(1, bytes((10, 0, 0, 9)))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (entry(MAC), Remote(ip_address("10.0.0.9"), default=False, fixed=True)),
        (entry(MAC, state=2), Remote(ip_address("10.0.0.9"), default=False, fixed=False)),
        (entry(bytes(6)), Remote(ip_address("10.0.0.9"), default=True, fixed=True)),
        (entry(bytes.fromhex("020000000008")), None),
        (entry(MAC, index=5), None),
        (entry(MAC, flags=4), None),
    ],
    ids=["fixed", "learned", "for all", "another address", "another interface", "of the bridge"],
)
def test_an_entry(message: bytes, expected: Remote | None) -> None:
    assert remote_of(4, MAC, message) == expected


def test_ranges_of_vnis() -> None:
    one = attribute(1, attribute(1, number(7)))
    many = attribute(1, attribute(1, number(10)) + attribute(2, number(20)))
    message = struct.pack("=BBHI", socket.AF_BRIDGE, 0, 0, 4) + one + many
    assert vnis_of(4, message) == [(7, 7), (10, 20)]
    assert vnis_of(5, message) == []


def test_this_host_answers() -> None:
    assert all(each.vni < 1 << 24 for each in read_vxlans(own_inode()))
