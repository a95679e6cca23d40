"""Asks rtnetlink for the devices of this thread's network namespace, each with all its attributes."""

import socket
import struct
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from dropwatch.host import netlink
from dropwatch.names.foreign import foreign

LINK = struct.Struct("=BxHiII")  # struct ifinfomsg (linux/rtnetlink.h): family, type, index, flags, change
NEWLINK, GETLINK = 16, 18  # RTM_*
# linux/if_link.h
_IFNAME, _MASTER, _LINKINFO = 3, 10, 18  # IFLA_*
_KIND, _DATA, _PORT_KIND, _PORT_DATA = 1, 2, 4, 5  # IFLA_INFO_KIND, _DATA, _SLAVE_KIND, _SLAVE_DATA

Found = TypeVar("Found")


class About(NamedTuple):
    """What an interface is (`bridge`, `vxlan`, ...), and of what it is a port; both may be empty."""

    kind: str
    data: dict[int, bytes]
    port_of: str
    port_data: dict[int, bytes]


def name_of(link: dict[int, bytes]) -> str:
    """From its attributes; empty where there are none."""
    return foreign(link.get(_IFNAME, b"").partition(b"\0")[0])


def master_of(link: dict[int, bytes]) -> int:
    """The index of the interface that it is a port of, 0: none."""
    return netlink.number(link.get(_MASTER))


def about(link: dict[int, bytes]) -> About:
    found = netlink.attributes(link.get(_LINKINFO, b""))
    data, port_data = (netlink.attributes(found.get(each, b"")) for each in (_DATA, _PORT_DATA))
    return About(
        netlink.text(found.get(_KIND, b"")), data, netlink.text(found.get(_PORT_KIND, b"")), port_data
    )


def links(read: Callable[[int, dict[int, bytes]], Found]) -> list[Found]:
    """What `read` makes of the index and the attributes (IFLA_*) of each device. Raises OSError."""
    return links_with_flags(lambda index, _, attributes: read(index, attributes))


def links_with_flags(read: Callable[[int, int, dict[int, bytes]], Found]) -> list[Found]:
    """The same, with the flags (IFF_*) behind the index."""

    def link(message: memoryview) -> Found:
        _, _, index, flags, _ = LINK.unpack_from(message)
        return read(index, flags, netlink.attributes(message[LINK.size :]))

    wanted = LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return netlink.dump(netlink.ROUTE, GETLINK, wanted, NEWLINK, link)
