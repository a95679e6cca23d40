"""Reads the SAs and policies of a network namespace over netlink."""

import errno
import time
from pathlib import Path

from dropwatch.host import netlink
from dropwatch.host.ipsec import messages
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.decode import policy_of, state_of
from dropwatch.host.netns.enter import entered
from dropwatch.model.ipsec import XfrmState

_NETLINK_TABLE = Path("/proc/thread-self/net/netlink")
_PFKEY_TABLE = Path("/proc/thread-self/net/pfkey")


def read_config(netns_inode: int) -> XfrmConfig:
    """The SAs and policies of a namespace. Never holds key material.

    Where the kernel's netlink interface for IPsec is not loaded, nobody can have configured any: an empty
    answer, and nothing gets loaded. Raises OSError when the namespace is gone or may not be entered, or when
    the kernel does not answer.
    """
    read_at = time.monotonic_ns()
    if not _interface_is_loaded():
        return XfrmConfig((), (), read_at)
    with entered(netns_inode):
        states = netlink.dump(netlink.XFRM, messages.GETSA, b"", messages.NEWSA, _state)
        policies = netlink.dump(netlink.XFRM, messages.GETPOLICY, b"", messages.NEWPOLICY, policy_of)
    return XfrmConfig(tuple(states), tuple(policies), read_at)


def _interface_is_loaded() -> bool:
    """Opening a socket would load the module xfrm_user, and looking must not change the host."""
    try:
        with _NETLINK_TABLE.open("rb") as rows:  # one by one: anybody can have many such sockets
            if any(row.split()[1:2] == [b"%d" % netlink.XFRM] for row in rows):
                return True
    except OSError:
        return True
    if _PFKEY_TABLE.exists():
        raise OSError(
            errno.EPROTONOSUPPORT, "SAs may have been added through PF_KEY, which whydrop does not read"
        )
    return False


def _state(message: memoryview) -> XfrmState:
    wipe_keys(message)
    return state_of(message)


def wipe_keys(message: memoryview) -> None:
    """Overwrites the keys of an SA where they lie, before anything looks at it."""
    found = message[messages.STATE.size :]
    for kind, start, end in netlink.spans(found):
        if kind in messages.KEY_OFFSETS:
            key = min(start + messages.KEY_OFFSETS[kind], end)
            found[key:end] = bytes(end - key)
