"""Settings of IPv4 on an interface, from the attributes of links."""

import struct

from dropwatch.host.ipv4 import read_ipv4, settings_of
from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode


def test_by_their_places() -> None:
    values = [0] * 32
    values[0], values[7], values[25] = 1, 2, 1
    link = {26: attribute(2, attribute(1, struct.pack("=32I", *values)))}
    assert settings_of(link) == {
        "forwarding": 1,
        "rp_filter": 2,
        "accept_source_route": 0,
        "accept_local": 0,
        "route_localnet": 1,
    }


def test_an_interface_without_ipv4() -> None:
    assert settings_of({}) is None
    assert settings_of({26: attribute(2, attribute(1, struct.pack("=3I", 1, 1, 1)))}) is None


def test_an_interface_that_is_gone() -> None:
    assert read_ipv4(own_inode(), 0x7FFFFFFF) is None
