"""Gives up all that the process may do beyond what any user may, and for good: for what reads foreign bytes."""

import contextlib
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from dropwatch.privilege.caller import is_own_process
from dropwatch.resources import resource_dir

_NOBODY = 65534
_STATUS = Path("/proc/self/status")
# linux/prctl.h, linux/capability.h
_SET_NO_NEW_PRIVS, _BOUNDING_DROP, _AMBIENT, _AMBIENT_CLEAR_ALL = 38, 24, 47, 4
_VERSION_3 = 0x20080522
_MOST_CAPABILITIES = 64


def give_up() -> None:
    """To be called once all files are open that only root may open.

    The user becomes the one of sudo, else nobody; he stays root, without any capability, where the other could not go
    on reading the program itself. What is started from here on may no more. Nothing changes for an ordinary user, and
    in another program that has imported this.
    """
    if not is_own_process() or (os.geteuid() != 0 and not _has_capabilities()):
        return
    import ctypes  # who is an ordinary user does without

    libc = ctypes.CDLL(None)
    for capability in range(_MOST_CAPABILITIES):  # refused without CAP_SETPCAP: the rest holds all the same
        libc.prctl(_BOUNDING_DROP, capability, 0, 0, 0)
    libc.prctl(_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    if os.geteuid() == 0:
        _become(*_other_user(), [str(resource_dir("symbols")), *_modules()])
    libc.capset(struct.pack("=Ii", _VERSION_3, 0), bytes(struct.calcsize("=6I")))
    libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _modules() -> Iterator[str]:
    """The files of those that are imported: the rest is beside them."""
    for name, module in sys.modules.items():
        if (file := getattr(module, "__file__", None)) and name != "__main__":
            yield file


def _has_capabilities() -> bool:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return True
    return any(line.startswith("CapPrm:") and int(line.split()[1], 16) for line in lines)


def _other_user() -> tuple[int, int]:
    """sudo says who called it; whatever anybody has written there, it is not root."""
    uid, gid = (os.environ.get(name, "") for name in ("SUDO_UID", "SUDO_GID"))
    if all(text.isdecimal() and 0 < int(text) < 1 << 31 for text in (uid, gid)):
        return int(uid), int(gid)
    return _NOBODY, _NOBODY


def _become(uid: int, gid: int, needed: Sequence[str]) -> None:
    """With a way back until it is known that the other user can read what is `needed`."""
    groups, own = os.getgroups(), os.getgid()
    with contextlib.suppress(
        OSError
    ):  # a user namespace without that user, or a root who may become nobody else
        os.setgroups([])
        os.setresgid(gid, gid, own)
        os.setresuid(uid, uid, 0)
        if all(os.access(path, os.R_OK) for path in needed):
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            return
    os.setresuid(0, 0, 0)
    with contextlib.suppress(OSError):
        os.setresgid(own, own, own)
        os.setgroups(groups)
