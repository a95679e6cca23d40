"""Tunnels of IP, from the attributes of links."""

import struct
from ipaddress import ip_address

import pytest

from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.tunnel.ip import Tunnel, read_tunnels, tunnel_of

LOCAL, REMOTE = ip_address("10.0.0.1"), ip_address("10.0.0.2")


def link(kind: bytes, *data: tuple[int, bytes]) -> dict[int, bytes]:
    inside = b"".join(attribute(number, value) for number, value in data)
    return {3: b"t0\0", 18: attribute(1, kind + b"\0") + attribute(2, inside)}


def test_gre_with_all_that_it_may_require() -> None:
    data = (
        *((1, struct.pack("=I", 9)), (2, struct.pack("!H", 0xB000)), (4, struct.pack("!I", 5))),
        *((6, LOCAL.packed), (7, REMOTE.packed), (20, struct.pack("=I", 3))),
    )
    expected = Tunnel("t0", 4, "gre", True, LOCAL, REMOTE, 5, True, True, link=9, mark=3)
    assert tunnel_of(4, 1, link(b"gre", *data)) == expected
    assert expected.is_gre


def test_gre_without_a_key_has_none_whatever_its_number_is() -> None:
    found = tunnel_of(4, 0, link(b"gretap", (2, bytes(2)), (4, struct.pack("!I", 5)), (6, bytes(4))))
    assert found == Tunnel("t0", 4, "gretap", False)


@pytest.mark.parametrize("kind", [b"ipip", b"sit", b"ip6tnl"])
def test_ip_in_ip(kind: bytes) -> None:
    found = tunnel_of(4, 1, link(kind, (2, LOCAL.packed), (3, REMOTE.packed), (9, b"\4")))
    assert found == Tunnel("t0", 4, kind.decode(), True, LOCAL, REMOTE, inner=4)


def test_geneve() -> None:
    data = ((1, struct.pack("=I", 77)), (2, REMOTE.packed), (5, struct.pack("!H", 6081)))
    expected = Tunnel("t0", 4, "geneve", True, None, REMOTE, 77, port=6081)
    assert tunnel_of(4, 1, link(b"geneve", *data)) == expected
    external = tunnel_of(4, 1, {**link(b"geneve", (6, b"")), 37: bytes(4)})
    assert external is not None
    assert (external.external, external.elsewhere) == (True, True)


@pytest.mark.parametrize("kind", [b"dummy", b"vxlan", b""])
def test_what_is_no_such_tunnel(kind: bytes) -> None:
    assert tunnel_of(4, 1, link(kind)) is None


def test_this_host_answers() -> None:
    assert all(each.name for each in read_tunnels(own_inode()))
