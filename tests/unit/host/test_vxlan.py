"""VXLAN interfaces, from the attributes of links."""

import struct

from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.vxlan import Vxlan, read_vxlans, vxlan_of


def test_an_interface() -> None:
    about = attribute(1, b"vxlan\0") + attribute(2, attribute(1, struct.pack("=I", 77)))
    link = {3: b"vx0\0", 18: about}
    assert vxlan_of(4, 0x1003, link) == Vxlan("vx0", 77, up=True)
    assert vxlan_of(4, 0x1002, link) == Vxlan("vx0", 77, up=False)
    assert vxlan_of(4, 1, {3: b"d0\0", 18: attribute(1, b"dummy\0")}) is None


def test_this_host_answers() -> None:
    assert all(each.vni < 1 << 24 for each in read_vxlans(own_inode()))
