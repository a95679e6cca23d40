"""Multicast routes, from the listings of the kernel."""

import sys
from ipaddress import ip_address

import pytest

from dropwatch.host.netns.netns import own_inode
from dropwatch.host.routers.multicast import Entry, entries_of, interfaces_of, read_multicast_routes

GROUP, GROUP6 = ip_address("239.1.2.3"), ip_address("ff15::77")
INTERFACES = b"""Interface      BytesIn  PktsIn  BytesOut PktsOut Flags Local    Remote
 0 d0                0       0         0       0 00008 00000002 00000000
 1 vb               90       3         0       0 00008 0000000C 00000000
"""
ENTRIES = b"""Group    Origin   Iif     Pkts    Bytes    Wrong Oifs
030201EF 0109090A 1          3       90        3  0:16   2:1   10:1
030201EF 0209090A -1         0        0        0
040201EF 0109090A 2          3       90        3  0:1
"""
ENTRIES6 = b"""Group                            Origin                           Iif      Pkts  Bytes     Wrong  Oifs
ff15:0000:0000:0000:0000:0000:0000:0077 fd09:0009:0000:0000:0000:0000:0000:0001 0          3       90        0  1:1
"""


def test_interfaces_by_their_numbers() -> None:
    assert list(interfaces_of(INTERFACES)) == [(0, "d0"), (1, "vb")]


@pytest.mark.skipif(sys.byteorder == "big", reason="the listing is of a little-endian kernel")
def test_entries_of_a_group() -> None:
    assert list(entries_of(ENTRIES, GROUP)) == [
        Entry(ip_address("10.9.9.1"), 1, ((0, 16), (2, 1), (10, 1))),
        Entry(ip_address("10.9.9.2"), -1),
    ]


def test_entries_of_ipv6() -> None:
    assert list(entries_of(ENTRIES6, GROUP6)) == [Entry(ip_address("fd09:9::1"), 0, ((1, 1),))]


@pytest.mark.parametrize("group", [GROUP, GROUP6])
def test_this_host_answers(group: object) -> None:
    found = read_multicast_routes(own_inode(), ip_address(str(group)))
    assert found is None or not found.entries
