"""Asks rtnetlink for the devices of this thread's network namespace, each with all its attributes."""

import socket
import struct
from collections.abc import Callable
from typing import TypeVar

from dropwatch.host import netlink

_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg (linux/rtnetlink.h): family, type, index, flags, change
_NEWLINK, _GETLINK = 16, 18  # RTM_*

Found = TypeVar("Found")


def links(read: Callable[[int, dict[int, bytes]], Found]) -> list[Found]:
    """What `read` makes of the index and the attributes (IFLA_*) of each device. Raises OSError."""
    return links_with_flags(lambda index, _, attributes: read(index, attributes))


def links_with_flags(read: Callable[[int, int, dict[int, bytes]], Found]) -> list[Found]:
    """The same, with the flags (IFF_*) behind the index."""

    def link(message: memoryview) -> Found:
        _, _, index, flags, _ = _LINK.unpack_from(message)
        return read(index, flags, netlink.attributes(message[_LINK.size :]))

    wanted = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return netlink.dump(netlink.ROUTE, _GETLINK, wanted, _NEWLINK, link)
