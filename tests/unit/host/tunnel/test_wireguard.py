"""Peers of WireGuard, from messages of generic netlink."""

import socket
import struct
from ipaddress import ip_address

from dropwatch.host.generic import family_of
from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.tunnel.wireguard import (
    Endpoint,
    Peer,
    Wireguard,
    joined,
    read_wireguard,
    wireguard_of,
)

KEY, OTHER, SECRET = b"k" * 32, b"o" * 32, b"s" * 32
HEADER = struct.pack("=BBH", 0, 1, 0)


def allowed(address: str, length: int) -> bytes:
    packed = ip_address(address).packed
    return attribute(0, attribute(2, packed) + attribute(3, bytes((length,))))


def peer(key: bytes, *prefixes: bytes, more: bytes = b"") -> bytes:
    inside = attribute(1, key) + attribute(2, SECRET) + more + attribute(9, b"".join(prefixes))
    return attribute(0, inside)


def message(*peers: bytes) -> bytes:
    own = attribute(1, struct.pack("=I", 7)) + attribute(2, b"wg0\0") + attribute(3, SECRET)
    return HEADER + own + attribute(6, struct.pack("=H", 51820)) + attribute(8, b"".join(peers))


def test_a_peer_with_all_that_it_has() -> None:
    endpoint = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 51820) + bytes((10, 0, 0, 2)) + bytes(8)
    more = attribute(4, endpoint) + attribute(5, struct.pack("=H", 25))
    more += attribute(6, struct.pack("=qq", 1700000000, 5))
    found = wireguard_of(
        message(peer(KEY, allowed("10.7.0.0", 16), allowed("fd07::", 64), more=more)), 1700000009
    )
    expected = Peer(
        KEY, ("10.7.0.0/16", "fd07::/64"), Endpoint(ip_address("10.0.0.2"), 51820), 1700000000, 25
    )
    assert found == Wireguard("wg0", 51820, (expected,), 1700000009)
    assert SECRET.decode() not in repr(found)


def test_an_endpoint_of_ipv6_and_none() -> None:
    address = ip_address("fd00::2")
    raw = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", 7, 0) + address.packed + bytes(4)
    found = wireguard_of(message(peer(KEY, more=attribute(4, raw)), peer(OTHER)))
    assert [each.endpoint for each in found.peers] == [Endpoint(address, 7), None]
    assert [each.allowed for each in found.peers] == [(), ()]


def test_a_peer_that_comes_in_two_messages() -> None:
    parts = [
        wireguard_of(message(peer(KEY, allowed("10.0.0.0", 8)))),
        wireguard_of(HEADER + attribute(8, peer(KEY, allowed("10.9.0.0", 16)) + peer(OTHER))),
    ]
    found = joined(parts)
    assert found is not None
    assert (found.name, found.port) == ("wg0", 51820)
    assert [(each.key, each.allowed) for each in found.peers] == [
        (KEY, ("10.0.0.0/8", "10.9.0.0/16")),
        (OTHER, ()),
    ]
    assert joined([]) is None


def test_the_number_of_its_family() -> None:
    assert family_of(HEADER + attribute(2, b"wireguard\0") + attribute(1, struct.pack("=H", 31))) == 31


def test_what_is_no_such_interface() -> None:
    assert read_wireguard(own_inode(), 1) is None
