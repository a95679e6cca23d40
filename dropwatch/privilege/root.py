"""Gives up what the process may do, for good: all of it where it reads recordings, the most of it where it watches."""

import contextlib
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dropwatch.privilege.caller import is_own_process
from dropwatch.resources import resource_dir

if TYPE_CHECKING:
    import ctypes

_NOBODY = 65534
_STATUS = Path("/proc/self/status")
# linux/prctl.h, linux/capability.h
_SET_NO_NEW_PRIVS, _BOUNDING_DROP = 38, 24
_SETS = struct.Struct("=6I")
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
    _bound(libc, frozenset())
    if os.geteuid() == 0:
        _become(*_other_user(), [str(resource_dir("symbols")), *_modules()])
    _leave(libc, frozenset())


def keep_only(kept: frozenset[int]) -> None:
    """These capabilities, of those that the process has; what is started from here on has no others either."""
    if is_own_process():
        import ctypes

        libc = ctypes.CDLL(None)
        _bound(libc, kept)
        _leave(libc, kept)


def _bound(libc: "ctypes.CDLL", kept: frozenset[int]) -> None:
    """What nothing that is started can have again; where it is refused (CAP_SETPCAP is missing) no_new_privs does."""
    for capability in {*range(_MOST_CAPABILITIES)} - kept:
        libc.prctl(_BOUNDING_DROP, capability, 0, 0, 0)


def _leave(libc: "ctypes.CDLL", kept: frozenset[int]) -> None:
    """struct __user_cap_data_struct: effective, permitted, inheritable, of the lower 32 and of the others. What is no
    more permitted is not ambient either (kernel: cap_capset).
    """
    import ctypes

    header, data = struct.pack("=Ii", _VERSION_3, 0), ctypes.create_string_buffer(_SETS.size)
    libc.capget(header, data)
    wanted = sum(1 << capability for capability in kept)
    words = (had & wanted >> (32 if at > 2 else 0) & 0xFFFFFFFF for at, had in enumerate(_SETS.unpack(data)))
    libc.capset(header, _SETS.pack(*words))
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
