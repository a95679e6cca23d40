"""What stands in the way of an interface without carrier, from the attributes of links."""

import struct

import pytest

from dropwatch.host.lower import Lower, lower_of, read_lower
from dropwatch.host.netns.netns import own_inode

UP, LOWER_UP = 0x1, 0x10000


def link(name: str, flags: int, below: int = 0, *, elsewhere: bool = False) -> tuple[int, dict[int, bytes]]:
    found = {3: name.encode() + b"\0", 5: struct.pack("=I", below)}
    return flags, found | {37: struct.pack("=i", 0)} if elsewhere else found


LINKS = {
    1: link("lo", UP | LOWER_UP),
    2: link("x0", UP, 3),
    3: link("x1", 0, 2),
    4: link("va", UP, 3, elsewhere=True),
    5: link("eth0.7", UP, 77),
    6: link("eth1.7", UP, 7),
    7: link("eth1", UP),
    8: link("eth1.8", UP | LOWER_UP, 3),
}


@pytest.mark.parametrize(
    ("ifindex", "expected"),
    [
        (1, None),
        (2, Lower("x1")),
        (3, None),
        (4, Lower(None)),
        (5, None),
        (6, None),
        (7, None),
        (8, None),
        (77, None),
    ],
)
def test_what_is_below(ifindex: int, expected: Lower | None) -> None:
    assert lower_of(ifindex, LINKS) == expected


def test_this_host() -> None:
    assert read_lower(own_inode(), 1) is None
