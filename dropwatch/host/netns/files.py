"""Where the file of each network namespace is: known from one walk through /proc for all, and not one for each.

Anybody can have thousands of namespaces, also such as no process is in, which no walk ever finds. So walking has a
share of the time, and what was not found is looked for ever more seldom. Names are root's own: they are read at once
whenever there are new ones, also for an inode that was in vain a moment ago, since the kernel gives it again.
"""

import errno
import itertools
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from dropwatch.host.share import Share

OWN_FILE = Path("/proc/thread-self/ns/net")
_PROC = Path("/proc")


def of_host(directory: Path) -> Path:
    """The host's, also for a container or a service, which has mounts of its own."""
    host = _PROC / "1/root" / directory.relative_to("/")
    try:
        is_elsewhere = (_PROC / "1/ns/mnt").stat().st_ino != (_PROC / "self/ns/mnt").stat().st_ino
        return host if is_elsewhere and host.is_dir() else directory
    except OSError:  # it may not look there
        return directory


NAMES_DIR = of_host(Path("/run")) / "netns"  # where ip(8) keeps names
_SHARE, _SAVED_S = 0.1, 1.0
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 30.0
_REMEMBERED = 4096
_NAMING_S = (
    1.0  # `ip netns` makes a file and mounts the namespace there: the directory changes with the first only
)


class _Missing(NamedTuple):
    """A namespace that was not found: when to look again, and how long that was put off. In seconds."""

    again_at: float
    pause: float


class NamespaceFiles:
    """Finds the file of a namespace by its inode. `clock` is in seconds. `named` False: only those of processes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, named: bool = True) -> None:
        self._clock, self._named = clock, named
        self._known: dict[int, Path] = {}
        self._names_changed_at: float | None = None  # when they were read
        self._missing: OrderedDict[int, _Missing] = OrderedDict()
        self._share = Share(_SHARE, _SAVED_S, clock)

    def find(self, inode: int) -> Path | None:
        """None where it has none, as far as is known. Raises OSError (EAGAIN) where there is no time to look."""
        path = self._known.get(inode)
        if path is not None and is_namespace(path, inode):
            return path
        if self._named and (path := self._new_name(inode)) is not None:
            return path
        missing = self._missing.get(inode, _Missing(0.0, 0.0))
        if self._clock() < missing.again_at:
            return None
        if not self._share.is_left:
            raise OSError(errno.EAGAIN, "too many namespaces are looked for at once")
        with self._share.spent():
            self._known = _walk() if self._named else _namespaces(_files_of_processes())
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

    def _new_name(self, inode: int) -> Path | None:
        """The name of a namespace, where there are other names than before."""
        changed_at = _changed_at(NAMES_DIR)
        if changed_at == self._names_changed_at and time.time() - changed_at >= _NAMING_S:
            return None
        self._names_changed_at = changed_at
        names = _namespaces(map(str, entries(NAMES_DIR)))
        self._known |= names
        return names.get(inode)


def is_namespace(path: Path, inode: int) -> bool:
    """Whether the file is this very namespace, as it is now."""
    try:
        found = path.stat()
        return found.st_ino == inode and found.st_dev == nsfs_device()
    except OSError:
        return False


@cache
def nsfs_device() -> int:
    """The file system of namespaces."""
    return OWN_FILE.stat().st_dev


def entries(directory: Path) -> list[Path]:
    """In their order; none of a directory that is not there."""
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _changed_at(directory: Path) -> float:
    """By the clock of time.time(); 0 of a directory that is not there."""
    try:
        return directory.stat().st_mtime
    except OSError:
        return 0.0


def every() -> dict[int, Path]:
    """The namespaces that have a name or a process, by inode, with a file of each."""
    return _walk()


def _walk() -> dict[int, Path]:
    """Names come first, then the oldest processes."""
    return _namespaces(itertools.chain(map(str, entries(NAMES_DIR)), _files_of_processes()))


def _namespaces(paths: Iterable[str]) -> dict[int, Path]:
    """By inode, the first file of each."""
    device = nsfs_device()
    found: dict[int, Path] = {}
    for path in paths:
        try:
            about = os.stat(path)  # noqa: PTH116  # a Path for each process takes longer than to look at it
        except OSError:
            continue
        if about.st_dev == device and about.st_ino not in found:
            found[about.st_ino] = Path(path)
    return found


def _files_of_processes() -> Iterator[str]:
    try:
        processes = sorted(int(name) for name in os.listdir(_PROC) if name.isdecimal())  # noqa: PTH208
    except OSError:
        return
    for process in processes:
        yield f"{_PROC}/{process}/ns/net"
