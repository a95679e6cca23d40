"""Which ethertypes this host handles."""

from dropwatch.host.ethertypes import _ethertypes, read_ethertypes
from dropwatch.host.netns.netns import own_inode

LISTING = b"""Type Device      Function
ALL              tpacket_rcv
ALL  eth0        packet_rcv
0800             ip_rcv
88cc eth0        packet_rcv
86dd             ipv6_rcv
"""


def test_ethertypes() -> None:
    assert list(_ethertypes(LISTING)) == [0x0800, 0x86DD], (
        "what is for one interface, or sniffs, handles nothing"
    )


def test_this_host() -> None:
    assert 0x0800 in read_ethertypes(own_inode())


def test_a_device_may_be_called_anything() -> None:
    names = (b"\xff", b"\x1c88cc", "\u2028".encode(), b"\x85")
    rows = b"".join(b"ALL  %-8s    packet_rcv\n" % name for name in names)
    assert list(_ethertypes(LISTING + rows)) == [0x0800, 0x86DD]
