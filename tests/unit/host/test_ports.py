"""Ports of bonds and teams, from the attributes of links."""

import struct

import pytest

from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.ports import Port, port_of, read_port


def link(name: str, *, master: int = 0, about: bytes = b"") -> dict[int, bytes]:
    found = {3: name.encode() + b"\0", 18: about}
    return found | {10: struct.pack("=I", master)} if master else found


def port(kind: str, state: int = 0) -> bytes:
    return attribute(4, kind.encode() + b"\0") + attribute(5, attribute(1, bytes((state,))))


def bond(mode: int, active: int = 0) -> bytes:
    data = attribute(1, bytes((mode,))) + (attribute(2, struct.pack("=I", active)) if active else b"")
    return attribute(1, b"bond\0") + attribute(2, data)


LINKS = {
    1: link("lo"),
    2: link("first", master=9, about=port("bond")),
    3: link("second", master=9, about=port("bond", 1)),
    4: link("member", master=8, about=port("team")),
    5: link("leg", master=7, about=port("bridge")),
    6: link("third", master=10, about=port("bond")),
    7: link("br0", about=attribute(1, b"bridge\0")),
    8: link("team0", about=attribute(1, b"team\0")),
    9: link("bond0", about=bond(1, 2)),
    10: link("bond1", about=bond(4)),
}


@pytest.mark.parametrize(
    ("ifindex", "expected"),
    [
        (1, None),
        (2, Port("bond0", "bond", False, "active-backup", "first")),
        (3, Port("bond0", "bond", True, "active-backup", "first")),
        (4, Port("team0", "team")),
        (5, None),
        (6, Port("bond1", "bond", False, "802.3ad", None)),
        (77, None),
    ],
)
def test_a_port(ifindex: int, expected: Port | None) -> None:
    assert port_of(ifindex, LINKS) == expected


def test_a_master_that_is_in_another_namespace() -> None:
    assert port_of(2, {2: LINKS[2]}) is None


def test_a_mode_of_a_later_kernel() -> None:
    found = port_of(2, {**LINKS, 9: link("bond0", about=bond(77, 2))})
    assert found is not None
    assert (found.mode, found.active) == (None, "first")


def test_this_host() -> None:
    assert read_port(own_inode(), 1) is None
