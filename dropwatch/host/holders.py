"""Which processes hold sockets, by the inodes that /proc/PID/fd calls them by."""

import errno
import time
from pathlib import Path

from dropwatch.host.open_files import open_files
from dropwatch.model.drop import Process
from dropwatch.names.foreign import foreign

_LONGEST_S = 2.0
_PROC = Path("/proc")


def read_holders(inodes: set[int]) -> dict[int, Process]:
    """The first process in which each of these sockets is found; those of nobody are left out.

    Raises OSError (ETIMEDOUT) where processes have too many files open to look through.
    """
    deadline = time.monotonic() + _LONGEST_S
    found: dict[int, Process] = {}
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    for process in _PROC.iterdir() if wanted else ():
        if not process.name.isdecimal():
            continue
        for _, target in open_files(process):
            inode = wanted.get(target)
            if inode is not None and inode not in found:
                found[inode] = Process(int(process.name), _comm(process))
            if time.monotonic() > deadline:
                raise OSError(errno.ETIMEDOUT, "too many files are open to look through")
        if len(found) == len(wanted):
            break
    return found


def _comm(process: Path) -> str:
    try:
        return foreign((process / "comm").read_bytes().removesuffix(b"\n"))
    except OSError:
        return "?"
