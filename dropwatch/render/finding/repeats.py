"""Knows which findings were told, so that the same again is a count: one for a burst, or one that grows in place."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator

from dropwatch.model.dataclass import dataclass

_QUIET_SECONDS = 1.0  # a burst is over
_LONGEST_SECONDS = 10.0  # nobody waits longer for the count of a burst that goes on
_FORGOTTEN_SECONDS = 60.0  # what was told so long ago is told anew: it has left the screen
_MOST_REMEMBERED = 1024


@dataclass(slots=True)
class Told:
    """A finding that was shown, and how often it came `again` since `since`, `last` at that time (seconds, any clock).

    `since` is when the count began: when it was shown, or when it came again after the last count.
    """

    what: str
    since: float
    last: float
    again: int = 0

    @property
    def elapsed(self) -> float:
        return self.last - self.since

    def counted(self, what: str) -> "Told":
        """The count so far, which begins anew."""
        done = Told(what, self.since, self.last, self.again)
        self.again, self.since = 0, self.last
        return done


class Repeats:
    """Remembers what was told; bounded, so that a flood costs no memory."""

    def __init__(self) -> None:
        self._told: OrderedDict[Hashable, Told] = OrderedDict()

    def again(self, key: Hashable, times: int, now: float) -> bool:
        """True, and counted, when this was told already."""
        told = self._told.get(key)
        if told is None or (not told.again and now - told.last >= _FORGOTTEN_SECONDS):
            return False
        if times:
            if not told.again and now - told.last >= _QUIET_SECONDS:
                told.since = now
            told.again += times
            told.last = now
            self._told.move_to_end(key)
        return True

    def remember(self, key: Hashable, what: str, now: float) -> Iterator[Told]:
        """Note that it was told in full. Yields what had to be forgotten for it, when it had come again."""
        self._told.pop(key, None)
        self._told[key] = Told(what, now, now)
        while len(self._told) > _MOST_REMEMBERED:
            _, oldest = self._told.popitem(last=False)
            if oldest.again:
                yield oldest

    def open(self) -> list[Told]:
        """What came again and was not counted yet, the last first."""
        return [told for told in reversed(self._told.values()) if told.again]

    def due(self, now: float, everything: bool = False) -> Iterator[Told]:
        """The counts of bursts that are over, or long; with `everything` of all."""
        for told in self._told.values():
            over = now - told.last >= _QUIET_SECONDS or now - told.since >= _LONGEST_SECONDS
            if told.again and (over or everything):
                yield told.counted(told.what)
