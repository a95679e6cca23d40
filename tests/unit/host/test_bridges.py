"""A bridge with its ports, from the attributes of links and the VLANs that AF_BRIDGE lists."""

import struct

import pytest

from dropwatch.host.bridges import Bridge, BridgePort, Vlans, bridge_of, read_bridge, read_station, vlans_of
from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode

Link = tuple[int, dict[int, bytes]]


def number(value: int) -> bytes:
    return struct.pack("=I", value)


def bridge(name: str, *, stp: int = 0, filtering: int = 0, booleans: int = 0) -> Link:
    data = attribute(5, number(stp)) + attribute(7, bytes((filtering,)))
    data += attribute(46, struct.pack("=II", booleans, 7))
    about = attribute(1, b"bridge\0") + attribute(2, data)
    return 0x10043, {3: name.encode() + b"\0", 4: number(1500), 18: about}


def port(name: str, state: int, *settings: tuple[int, int], master: int = 9, flags: int = 0x11043) -> Link:
    data = b"".join(attribute(kind, bytes((value,))) for kind, value in ((1, state), *settings))
    about = attribute(4, b"bridge\0") + attribute(5, data)
    return flags, {3: name.encode() + b"\0", 4: number(1500), 10: number(master), 18: about}


LINKS = {
    2: port("p2", 3),
    3: port("p3", 4, (4, 1), (33, 1), (39, 1), (9, 0), (27, 0), (30, 0), flags=0x1003),
    4: port("other", 3, master=8),
    5: (0, {3: b"alone\0"}),
    8: bridge("br1", stp=1, booleans=4),
    9: bridge("br0", filtering=1),
}
VLANS = {2: Vlans(((1, 1), (10, 20)), 1), 9: Vlans(((1, 1),), 1)}


@pytest.mark.parametrize("ifindex", [2, 3, 9])
def test_a_bridge_is_found_by_each_of_its_ports_and_itself(ifindex: int) -> None:
    first = BridgePort("p2", 2, "forwarding", 1500, True, vlans=VLANS[2])
    second = BridgePort("p3", 3, "blocking", 1500, False, True, True, True, False, False, False)
    expected = Bridge("br0", 9, False, False, True, (first, second), VLANS[9])
    assert bridge_of(ifindex, LINKS, VLANS) == expected
    assert expected.port(3) == second
    assert expected.port(4) is None


@pytest.mark.parametrize("ifindex", [5, 77])
def test_what_is_no_port(ifindex: int) -> None:
    assert bridge_of(ifindex, LINKS, VLANS) is None


def test_spanning_tree_of_each_vlan() -> None:
    found = bridge_of(4, LINKS, {})
    assert found is not None
    assert (found.stp, found.mst, found.vlan_filtering) == (True, True, False)


def test_a_bridge_in_another_namespace() -> None:
    assert bridge_of(2, {2: LINKS[2]}, {}) is None


def test_a_state_of_a_later_kernel() -> None:
    found = bridge_of(2, {**LINKS, 2: port("p2", 9)}, {})
    assert found is not None
    assert found.ports[0].state == "9"


def test_vlans() -> None:
    entries = ((6, 1), (8, 10), (16, 20), (0, 30))
    listed = b"".join(attribute(2, struct.pack("=HH", *entry)) for entry in entries)
    found = vlans_of(attribute(1, b"\0\0") + listed)
    assert found == Vlans(((1, 1), (10, 20), (30, 30)), 1)
    assert [vid in found for vid in (0, 1, 9, 10, 15, 20, 21, 30, None)] == [
        *(False, True, False, True, True, True, False, True, False),
    ]


def test_this_host() -> None:
    assert read_bridge(own_inode(), 1) is None, "the loopback is no port"
    assert read_station(own_inode(), 1, "02:00:00:00:00:01", 0) is None
