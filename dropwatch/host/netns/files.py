"""Where the file of each network namespace is: known from one walk through /proc for all, and not one for each.

Anybody can have thousands of namespaces, also such as no process is in, which no walk ever finds. So walking has a
share of the time, and what was not found is looked for ever more seldom.
"""

import errno
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from dropwatch.host.share import Share

NAMES_DIR = Path("/run/netns")
OWN_FILE = Path("/proc/thread-self/ns/net")
_PROC = Path("/proc")
_SHARE, _SAVED_S = 0.1, 1.0
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 30.0
_REMEMBERED = 4096


class _Missing(NamedTuple):
    """A namespace that was not found: when to look again, and how long that was put off. In seconds."""

    again_at: float
    pause: float


class NamespaceFiles:
    """Finds the file of a namespace by its inode. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[int, Path] = {}
        self._missing: OrderedDict[int, _Missing] = OrderedDict()
        self._share = Share(_SHARE, _SAVED_S, clock)

    def find(self, inode: int) -> Path | None:
        """None where it has none, as far as is known. Raises OSError (EAGAIN) where there is no time to look."""
        path = self._known.get(inode)
        if path is not None and is_namespace(path, inode):
            return path
        missing = self._missing.get(inode, _Missing(0.0, 0.0))
        if self._clock() < missing.again_at:
            return None
        if not self._share.is_left:
            raise OSError(errno.EAGAIN, "too many namespaces are looked for at once")
        with self._share.spent():
            self._known = _walk()
        path = self._known.get(inode)
        if path is not None:
            self._missing.pop(inode, None)
            return path
        pause = min(max(2 * missing.pause, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)
        self._missing[inode] = _Missing(self._clock() + pause, pause)
        self._missing.move_to_end(inode)
        if len(self._missing) > _REMEMBERED:
            self._missing.popitem(last=False)
        return None


def is_namespace(path: Path, inode: int) -> bool:
    """Whether the file is this very namespace, as it is now."""
    try:
        found = path.stat()
        return found.st_ino == inode and found.st_dev == nsfs_device()
    except OSError:
        return False


def nsfs_device() -> int:
    """The file system of namespaces."""
    return OWN_FILE.stat().st_dev


def entries(directory: Path) -> list[Path]:
    """In their order; none of a directory that is not there."""
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _walk() -> dict[int, Path]:
    device = nsfs_device()
    found: dict[int, Path] = {}
    for path in _candidates():
        try:
            about = os.stat(path)  # noqa: PTH116  # a Path for each process takes longer than to look at it
        except OSError:
            continue
        if about.st_dev == device and about.st_ino not in found:
            found[about.st_ino] = Path(path)
    return found


def _candidates() -> Iterator[str]:
    """Where the file of a namespace can be: names come first, then the oldest processes."""
    yield from map(str, entries(NAMES_DIR))
    try:
        processes = sorted(int(name) for name in os.listdir(_PROC) if name.isdecimal())  # noqa: PTH208
    except OSError:
        return
    for process in processes:
        yield f"{_PROC}/{process}/ns/net"
