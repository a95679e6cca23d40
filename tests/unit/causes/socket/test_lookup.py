"""Why a socket was not taken: what the kernel compares, of both families, with devices, VRFs, peers."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.causes.socket.lookup import mismatch
from dropwatch.host.sockets import Device, PortSocket, PortSockets
from dropwatch.model.drop import Drop

LO, VB, RED, DUMMY, GONE = 1, 2, 3, 4, 9
DEVICES = {LO: Device("lo"), VB: Device("vb"), RED: Device("red", RED), DUMMY: Device("dummy", RED)}
ANY4, ANY6 = ip_address("0.0.0.0"), ip_address("::")

V4, V6 = ("10.9.0.1", "10.9.0.2"), ("fd09::1", "fd09::2")
GROUP, GROUP6, TO_ALL = ("10.9.0.1", "224.9.9.9"), ("fd09::1", "ff02::9"), ("10.9.0.1", "10.9.0.255")


def bound(
    address: str, peer: str | None = None, peer_port: int = 0, device: int = 0, v6_only: bool = False
) -> PortSocket:
    other = ip_address(peer) if peer is not None else None
    return PortSocket(ip_address(address), other, peer_port, device, v6_only, 4711, 7, 0)


SAME_FAMILY = [
    (V4, bound("0.0.0.0"), None),
    (V4, bound("10.9.0.2"), None),
    (V4, bound("127.0.0.1"), "address"),
    (V4, bound("0.0.0.0", "10.9.0.1", 40000), None),
    (V4, bound("0.0.0.0", "10.9.0.1", 40001), "peer"),
    (V4, bound("10.9.0.2", "10.9.0.3", 40000), "peer"),
    (V4, bound("10.9.0.9", "10.9.0.3", 40000), "address"),
    (V6, bound("::"), None),
    (V6, bound("::", v6_only=True), None),
    (V6, bound("fd09::2"), None),
    (V6, bound("fd09::3"), "address"),
    (V6, bound("fd09::2", "fd09::1", 40000), None),
    (V6, bound("fd09::2", "fd09::7", 40000), "peer"),
    (GROUP, bound("0.0.0.0"), None),
    (GROUP, bound("224.9.9.9"), None),
    (GROUP, bound("10.9.0.2"), "address"),
    (GROUP, bound("224.9.9.8"), "address"),
    (GROUP6, bound("::"), None),
    (GROUP6, bound("fd09::2"), "address"),
    (GROUP6, bound("ff02::9", "fd09::1", 40001), "peer"),
    (TO_ALL, bound("0.0.0.0"), None),
    (TO_ALL, bound("10.9.0.255"), None),
    (TO_ALL, bound("10.9.0.2"), "address"),
    (TO_ALL, bound("0.0.0.0", "10.9.0.7", 40000), "peer"),
]
OF_BOTH = [
    (V4, bound("::"), None),
    (V4, bound("::", v6_only=True), "v6-only"),
    (V4, bound("::ffff:10.9.0.2"), None),
    (V4, bound("::ffff:10.9.0.3"), "address"),
    (V4, bound("::ffff:10.9.0.2", "::ffff:10.9.0.1", 40000), None),
    (V4, bound("::ffff:10.9.0.2", "::ffff:10.9.0.8", 40000), "peer"),
    (V4, bound("fd09::2"), "family"),
    (V4, bound("fd09::2", v6_only=True), "family"),  # the kernel sets it with the address
    (V4, bound("::ffff:0.0.0.0"), None),
    (V6, bound("::ffff:0.0.0.0"), "address"),
    (GROUP, bound("::"), None),
    (GROUP, bound("::ffff:224.9.9.9"), None),
    (GROUP, bound("::ffff:224.9.9.8"), "address"),
    (V6, bound("0.0.0.0"), "family"),
    (V6, bound("::ffff:10.9.0.2"), "address"),
]
# Interface that the packet came in through, that of the socket, l3mdev_accept: what does not fit, and is that sure?
BY_DEVICE = [
    (VB, 0, False, None, True),
    (VB, VB, False, None, True),
    (VB, DUMMY, False, "device", True),
    (VB, RED, True, "device", True),
    (VB, RED, False, "device", True),
    (RED, RED, False, None, True),
    (RED, 0, False, "vrf", True),
    (RED, 0, True, None, True),
    (RED, VB, True, "device", True),
    (RED, DUMMY, False, "device", False),  # it may be the interface behind the VRF
    (LO, VB, False, "device", False),  # the sender may be bound to it
    (GONE, VB, False, "device", False),
    (GONE, 0, False, None, True),
]


@pytest.fixture
def drop_of(
    make_drop: Callable[..., Drop], make_packet: Callable[..., object], make_event: Callable[..., object]
) -> Callable[..., Drop]:
    def build(ends: tuple[str, str] = V4, device: int = VB, proto: str = "udp") -> Drop:
        family = 6 if ":" in ends[0] else 4
        packet = make_packet(family=family, proto=proto, saddr=ends[0], daddr=ends[1])
        return make_drop(packet, make_event(skb_iif=device, ifindex=device))

    return build


@pytest.mark.parametrize(("ends", "one", "expected"), [*SAME_FAMILY, *OF_BOTH])
def test_address_family_and_peer(
    drop_of: Callable[..., Drop], ends: tuple[str, str], one: PortSocket, expected: str | None
) -> None:
    found = mismatch(one, drop_of(ends), PortSockets((one,), 1, DEVICES))
    assert (found.kind if found else None) == expected
    assert found is None or found.sure


@pytest.mark.parametrize(("came_in", "device", "accepts", "expected", "sure"), BY_DEVICE)
@pytest.mark.parametrize("ends", [V4, V6])
def test_device_and_vrf(
    drop_of: Callable[..., Drop],
    ends: tuple[str, str],
    came_in: int,
    device: int,
    accepts: bool,
    expected: str | None,
    sure: bool,
) -> None:
    one = bound(str(ANY6 if ends == V6 else ANY4), device=device)
    found = mismatch(one, drop_of(ends, came_in), PortSockets((one,), 1, DEVICES, accepts))
    assert (found.kind if found else None) == expected
    assert found is None or found.sure == sure


@pytest.mark.parametrize(
    ("ends", "expected"),
    [(V4, None), (("fd09::2", "fd09::2"), "device"), (("::1", "::1"), None)],
)
def test_what_ipv6_sends_to_itself_comes_in_through_the_interface_of_the_address(
    drop_of: Callable[..., Drop], ends: tuple[str, str], expected: str | None
) -> None:
    one = bound(str(ANY6 if ":" in ends[0] else ANY4), device=LO)
    found = mismatch(one, drop_of(ends, LO), PortSockets((one,), 1, DEVICES))
    assert (found.kind if found else None) == expected
    assert found is None or not found.sure


@pytest.mark.parametrize("proto", ["udp", "udplite", "tcp"])
def test_an_accepting_sysctl_leaves_the_other_reasons(drop_of: Callable[..., Drop], proto: str) -> None:
    one = bound("127.0.0.1")
    for accepts in (False, True):
        found = mismatch(one, drop_of(V4, RED, proto), PortSockets((one,), 1, DEVICES, accepts))
        assert found is not None
        assert (found.kind, found.sure) == ("address", True)


def test_the_words_name_both_devices_and_the_sysctl(drop_of: Callable[..., Drop]) -> None:
    one = bound("0.0.0.0", device=DUMMY)
    told = PortSockets((one,), 1, DEVICES, l3mdev_accept=False)
    found = mismatch(one, drop_of(), told)
    assert found is not None
    assert found.words == "is bound to interface dummy, and the packet came in through vb"
    for proto, kind in (("udp", "udp"), ("udplite", "udp"), ("tcp", "tcp"), ("ospf", "raw"), ("253", "raw")):
        found = mismatch(replace(one, bound_ifindex=0), drop_of(V4, RED, proto), told)
        assert found is not None
        sysctl = f"net.ipv4.{kind}_l3mdev_accept"
        assert found.words == f"is outside of VRFs, and the packet came in through VRF red: {sysctl} is 0"


def test_the_nearest_is_the_one_that_only_its_device_keeps_away(drop_of: Callable[..., Drop]) -> None:
    sockets = (
        bound("::", v6_only=True),
        bound("0.0.0.0", device=DUMMY),
        bound("127.0.0.1"),
        bound("0.0.0.0", "10.9.0.7", 1),
    )
    found = [mismatch(one, drop_of(), PortSockets(sockets, 4, DEVICES)) for one in sockets]
    assert sorted(one.distance for one in found if one) == [0, 2, 3, 4]
    assert found[1] is not None
    assert found[1].distance == 0
