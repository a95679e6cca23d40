"""Interfaces by namespace; the kernel's own list is the witness."""

import socket
import time

import pytest

from dropwatch.host import interfaces
from dropwatch.host.interfaces import InterfaceNames, seen_interfaces
from dropwatch.host.netns.netns import own_inode


def test_ones_own_namespace_has_what_the_c_library_lists() -> None:
    assert interfaces.interfaces(own_inode()) == dict(socket.if_nameindex())


def test_interfaces_are_seen_in_the_namespaces_asked_for_or_in_all() -> None:
    own = frozenset(name for _, name in socket.if_nameindex())
    assert seen_interfaces((own_inode(),)) == (own, True)
    assert own <= seen_interfaces()[0]


def test_a_namespace_that_cannot_be_looked_into_leaves_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(inode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(interfaces, "interfaces", refused)
    assert seen_interfaces((1,)) == (frozenset(), False)


def test_names_are_asked_for_once_a_second() -> None:
    asked: list[int] = []

    def look_up(inode: int) -> dict[int, str]:
        asked.append(inode)
        if inode == 9:
            raise FileNotFoundError(2, "gone")
        return {2: f"eth{inode}"}

    names = InterfaceNames(look_up)
    assert [names.name(1, 2), names.name(1, 3), names.name(8, 2), names.name(9, 2)] == [
        "eth1",
        None,
        "eth8",
        None,
    ]
    assert asked == [1, 8, 9]


def test_an_interface_that_has_just_come_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, there = [100.0], {2: "eth0"}
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    names = InterfaceNames(lambda inode: dict(there))
    assert names.name(1, 2) == "eth0"
    there[3] = "veth7"
    assert names.name(1, 3) is None
    clock[0] += 0.1
    assert names.name(1, 3) == "veth7"


def test_an_interface_that_was_renamed_has_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, there, changed = [100.0], {2: "eth0"}, [0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    names = InterfaceNames(lambda inode: dict(there), lambda inode: changed[0])
    assert names.name(1, 2) == "eth0"
    there[2] = "wan0"
    clock[0] += 0.1
    assert names.name(1, 2) == "eth0", "nobody has seen a change"
    changed[0] = int(100.05e9)
    assert names.name(1, 2) == "wan0"


def test_a_name_may_be_any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(2, "\udcff"), (3, "\u202ea")])
    assert interfaces.interfaces(own_inode()) == {2: "\\xff", 3: "\\xe2\\x80\\xaea"}
    for name in interfaces.interfaces(own_inode()).values():
        with pytest.raises(OSError, match="No such device"):
            interfaces.read_mtu(own_inode(), name)


def test_no_more_namespaces_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "_MOST_NAMESPACES", 3)
    names = interfaces.InterfaceNames(lambda inode: {2: f"eth{inode}"})
    assert [names.name(inode, 2) for inode in (1, 2, 3, 1, 4)] == ["eth1", "eth2", "eth3", "eth1", "eth4"]
    assert list(names._known) == [2, 3, 4]
