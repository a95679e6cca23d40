"""Families of generic netlink (linux/genetlink.h)."""

import struct

from dropwatch.host import netlink
from dropwatch.host.netlink import attributes, number

HEADER = struct.Struct("=BBH")  # struct genlmsghdr: command, version, reserved
_CONTROL, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2  # GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_*


def ask_family(name: bytes) -> int:
    """The number of a family of generic netlink, in the namespace of this thread. Raises OSError where it has none."""
    body = HEADER.pack(_GET_FAMILY, 1, 0) + netlink.attribute(_FAMILY_NAME, name + b"\0")
    return netlink.get(netlink.GENERIC, _CONTROL, body, _CONTROL, family_of)


def family_of(message: memoryview | bytes) -> int:
    """The number that the kernel gave it. Raises LookupError."""
    return number(attributes(message[HEADER.size :])[_FAMILY_ID])
