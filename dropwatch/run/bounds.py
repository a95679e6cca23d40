"""What a replay may cost: a recording can come from a stranger, and whoever opens it has other things to do."""

import math
import stat
import time
from pathlib import Path

from dropwatch.recording.held import status
from dropwatch.recording.members import Damaged

_SECONDS, _SECONDS_PER_BYTE = 20.0, 1e-3
_SHOWN, _SHOWN_PER_BYTE = 16 << 20, 500


class Bounds:
    """Of time and output, by the size of the file: some hundred times what an honest recording takes.

    A pipe has no size, and no bounds.
    """

    def __init__(self, path: Path) -> None:
        about = status(path)
        size = about.st_size if stat.S_ISREG(about.st_mode) else math.inf
        self._path = path
        self._seconds = _SECONDS + _SECONDS_PER_BYTE * size
        self._began, self._began_work = time.monotonic(), time.process_time()
        self._left: float = _SHOWN + _SHOWN_PER_BYTE * size

    def check(self, shown: str = "") -> None:
        """Raises Damaged when what was `shown` is too much, or the work until now took too long."""
        self._left -= len(shown)
        if self._left < 0:
            raise self._refusal("it shows more than a recording of its size can hold")
        # how long it has worked is no more than has passed, which costs no system call to know
        if time.monotonic() - self._began > self._seconds < time.process_time() - self._began_work:
            raise self._refusal("it takes longer than a recording of its size can")

    def _refusal(self, why: str) -> Damaged:
        return Damaged(f"{self._path} is out of bounds: {why}", "what could be read before is shown")
