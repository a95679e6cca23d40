"""Whose a network namespace is: who made the user namespace that it belongs to."""

import fcntl
import os
from pathlib import Path

from dropwatch.host.netns.netns import open_netns, own_inode

_NS_GET_USERNS, _NS_GET_OWNER_UID = 0xB701, 0xB704  # linux/nsfs.h
_OWN_USERNS = Path("/proc/self/ns/user")
_UID_BYTES = 4


def owner(inode: int) -> int | None:
    """The user who made it without being root here; None for the host's own, and for what cannot be told."""
    if inode == own_inode():
        return None
    try:
        namespace = open_netns(inode)
        try:
            users = fcntl.ioctl(namespace, _NS_GET_USERNS)
        finally:
            os.close(namespace)
        try:
            if os.fstat(users).st_ino == _OWN_USERNS.stat().st_ino:
                return None
            return int.from_bytes(fcntl.ioctl(users, _NS_GET_OWNER_UID, bytes(_UID_BYTES)), "little")
        finally:
            os.close(users)
    except OSError:
        return None
