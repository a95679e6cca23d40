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

    def link(message: memoryview) -> Found:
        return read(_LINK.unpack_from(message)[2], netlink.attributes(message[_LINK.size :]))

    wanted = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return netlink.dump(netlink.ROUTE, _GETLINK, wanted, _NEWLINK, link)
