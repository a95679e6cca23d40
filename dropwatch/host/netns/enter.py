"""Runs a few lines in another network namespace, and always comes back."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from dropwatch.errors import WhydropError
from dropwatch.host.netns.files import OWN_FILE
from dropwatch.host.netns.netns import CLONE_NEWNET, OPEN_FLAGS, open_netns, own_inode


@contextmanager
def entered(inode: int) -> Iterator[None]:
    """This thread is in the namespace `inode` inside the `with`, and back in its own after it.

    Raises OSError when the namespace is gone (ENOENT) or may not be entered. When there is no way back it
    raises WhydropError: nothing may be done any more in what is now the wrong namespace.
    """
    if inode == own_inode():
        yield
        return
    home = os.open(OWN_FILE, OPEN_FLAGS)
    try:
        there = open_netns(inode)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _return(home)
    finally:
        os.close(home)


def _return(home: int) -> None:
    try:
        _setns(home)
    except OSError as error:
        raise WhydropError(
            f"cannot return to the network namespace that whydrop was started in: {error.strerror}",
            "start it again as root: looking into other namespaces takes CAP_SYS_ADMIN",
        ) from error


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
