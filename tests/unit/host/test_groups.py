"""The groups of an interface, from the listings of the kernel."""

import sys
from ipaddress import ip_address

import pytest

from dropwatch.host.groups import _of_igmp, _of_igmp6, read_groups
from dropwatch.host.netns.netns import own_inode

IGMP = b"""Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
12\tvb        :     2      V3
\t\t\t\tFB0000E0     1 0:00000000\t\t0
\t\t\t\t010000E0     1 0:00000000\t\t0
"""
IGMP6 = b"""1    lo              ff020000000000000000000000000001     1 0000000C 0
12   vb              ff0200000000000000000001ff000002     1 00000004 0
12   \xff\xfe              ff020000000000000000000000000001     1 0000000C 0
"""


@pytest.mark.skipif(sys.byteorder == "big", reason="the listing is of a little-endian kernel")
def test_a_listing_of_igmp() -> None:
    assert list(_of_igmp(IGMP, 12)) == [ip_address("224.0.0.251"), ip_address("224.0.0.1")]
    assert list(_of_igmp(IGMP, 2)) == []


def test_a_listing_of_mld() -> None:
    assert list(_of_igmp6(IGMP6, 12)) == [ip_address("ff02::1:ff00:2"), ip_address("ff02::1")]


def test_this_hosts_loopback() -> None:
    assert all(each.is_multicast for each in read_groups(own_inode(), 1))
