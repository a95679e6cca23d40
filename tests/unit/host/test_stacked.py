"""What stands on an interface, from the attributes of links."""

import struct

import pytest

from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.stacked import Stacked, read_stacked, stacked_of

MAC = bytes.fromhex("02000000005a")


def link(kind: bytes, parent: int = 4, mode: int = 4) -> dict[int, bytes]:
    about = attribute(1, kind + b"\0") + attribute(2, attribute(1, struct.pack("=I", mode)))
    return {1: MAC, 3: b"m0\0", 5: struct.pack("=I", parent), 18: about}


@pytest.mark.parametrize("kind", ["macvlan", "macvtap", "ipvlan"])
def test_what_stands_on_it(kind: str) -> None:
    expected = Stacked("m0", kind, True, "02:00:00:00:00:5a")
    assert stacked_of(4, 1, link(kind.encode())) == expected


def test_mode_source_is_of_macvlan_only() -> None:
    found = [stacked_of(4, 0, link(kind, mode=16)) for kind in (b"macvlan", b"ipvlan")]
    assert [each.by_source for each in found if each is not None] == [True, False]


def test_what_does_not_stand_on_it() -> None:
    assert stacked_of(5, 1, link(b"macvlan")) is None
    assert stacked_of(4, 1, link(b"vlan")) is None
    assert stacked_of(4, 1, {**link(b"macvlan"), 37: bytes(4)}) is None


def test_this_host_answers() -> None:
    assert read_stacked(own_inode(), 1) == ()
