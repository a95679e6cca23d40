"""Whose a network namespace is where no socket tells: the container or pod of the first process in it."""

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from dropwatch.host.cgroups import Workload, read_path_of, workload
from dropwatch.host.netns.files import NamespaceFiles, is_namespace
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

_MOST = 4096
_LOOK_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    """`file` is the namespace as the process shows it, `began` when it got its number, as far as is known. `until` is
    when to look again: a process that is being put into a container has its namespace first.
    """

    file: Path
    began: int | None
    found: Workload
    until: float


class Tenants:
    """What makes a container makes its namespace with it, or before it: whoever joins comes later and has, but for
    one that the kernel began to count anew for, a higher number. `clock` is in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._files = NamespaceFiles(clock, named=False)
        self._known: OrderedDict[int, _Known] = OrderedDict()

    def find(self, inode: int, began: int | None) -> Workload | None:
        """None: no process is in it. Raises OSError (EAGAIN) where there is no time to look."""
        known = self._known.pop(inode, None)
        now = self._clock()
        if known is None or known.began != began or now >= known.until or not is_namespace(known.file, inode):
            file = self._files.find(inode)
            if file is None:
                return None
            found = workload(foreign(read_path_of(int(file.parts[2]))))
            until = float("inf") if found.container or found.pod else now + _LOOK_EVERY_SECONDS
            known = _Known(file, began, found, until)
        self._known[inode] = known
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return known.found
