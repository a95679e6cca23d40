"""Knows which finding was just told, so that the same drop again becomes a count."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator

from dropwatch.model.dataclass import dataclass

_WINDOW_SECONDS = 1.0
_MOST_REMEMBERED = 1024


@dataclass(slots=True)
class Told:
    """A drop that was shown in full, and how often it came again since `since` (seconds, any clock)."""

    what: str
    since: float
    again: int = 0


class Repeats:
    """Remembers what was told within the last second; bounded, so that a flood costs no memory."""

    def __init__(self) -> None:
        self._told: OrderedDict[Hashable, Told] = OrderedDict()

    def again(self, key: Hashable, times: int) -> bool:
        """True, and counted, when this was told already."""
        told = self._told.get(key)
        if told is None:
            return False
        told.again += times
        return True

    def remember(self, key: Hashable, what: str, now: float) -> Iterator[Told]:
        """Note that it was told in full. Yields what had to be forgotten for it, when it had come again."""
        self._told[key] = Told(what, now)
        while len(self._told) > _MOST_REMEMBERED:
            _, oldest = self._told.popitem(last=False)
            if oldest.again:
                yield oldest

    def due(self, now: float, everything: bool = False) -> Iterator[tuple[Told, float]]:
        """What came again during a second that is over, with the seconds; a second without a repeat ends it.

        With `everything` the second need not be over, and nothing is remembered afterwards.
        """
        for key, told in list(self._told.items()):  # the longest ago comes first
            elapsed = now - told.since
            if elapsed < _WINDOW_SECONDS and not everything:
                return
            del self._told[key]
            if told.again:
                yield told, elapsed
                if not everything:
                    self._told[key] = Told(told.what, now)
