"""One interface, asked of the kernel, and from the bytes of an answer."""

import struct

import pytest

from dropwatch.host import netlink
from dropwatch.host.link import Link, link_of, read_link
from dropwatch.host.netns.netns import own_inode

UP, LOWER_UP = 0x1, 0x10000


def answer(flags: int, state: int) -> bytes:
    body = struct.pack("=BxHiII", 0, 1, 7, flags, 0) + netlink.attribute(3, b"va\0")
    return body + netlink.attribute(4, struct.pack("=I", 1400)) + netlink.attribute(16, bytes([state]))


def test_what_it_is() -> None:
    more = netlink.attribute(1, bytes.fromhex("020000000001")) + netlink.attribute(
        18, netlink.attribute(1, b"tun\0")
    )
    found = link_of(answer(UP, 2) + more)
    assert (found.kind, found.mac) == ("tun", "02:00:00:00:00:01")


@pytest.mark.parametrize(
    ("flags", "state", "expected"),
    [
        (UP | LOWER_UP, 6, Link("va", 1400, "UP", True, True)),
        (UP, 3, Link("va", 1400, "LOWERLAYERDOWN", True, False)),
        (0, 2, Link("va", 1400, "DOWN", False, False)),
        (0, 99, Link("va", 1400, "99", False, False)),
    ],
)
def test_what_the_kernel_says(flags: int, state: int, expected: Link) -> None:
    assert link_of(answer(flags, state)) == expected


def test_the_loopback_of_this_host() -> None:
    by_index, by_name = read_link(own_inode(), 1), read_link(own_inode(), "lo")
    assert by_index is not None
    assert by_index == by_name
    assert (by_index.name, by_index.mtu) == ("lo", 65536)
    assert read_link(own_inode(), 2**30) is None
    assert read_link(own_inode(), "no-such-one") is None
