"""A share of the time for whatever others can make take long."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Share:
    """So much of the time, and what was saved of it while nothing was wanted, in seconds."""

    def __init__(self, share: float, saved: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._share, self._most, self._saved = share, saved, saved
        self._clock, self._counted_at = clock, clock()
        self._spent = 0.0

    @property
    def is_left(self) -> bool:
        now = self._clock()
        self._saved = min(self._most, self._saved + (now - self._counted_at) * self._share)
        self._counted_at = now
        return self._saved > 0

    @contextmanager
    def spent(self, beyond: float = 0.0) -> Iterator[None]:
        """What is done inside the `with` counts, once; not at all what takes no more than `beyond`."""
        began, counted = self._clock(), self._spent
        try:
            yield
        finally:
            spent = self._clock() - began - (self._spent - counted)
            if spent > beyond:
                self._saved -= spent
                self._spent += spent
