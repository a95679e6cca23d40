"""A thread that brings events somewhere: the recorder gives them to it and never waits."""

import random
import threading
import time
from collections import deque
from typing import NamedTuple, Protocol

from dropwatch.privilege.root import keep_only
from dropwatch.watch.events import Notice

MOST_WAITING = 2048
_LONGEST_SECONDS = 10.0  # of one attempt
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_LAST_PAUSE = 0.5  # when it is to end


class Later(Exception):
    """It cannot be delivered now, and why in words. `after` seconds were asked for; None: they were not."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class Delivered(NamedTuple):
    """All of it but so many that were refused for good, and why."""

    refused: int = 0
    why: str = ""


class Way(Protocol):
    """Where events go. `name` is what the metric calls it, `where` what a person does; it takes `most` at once, and
    waits `patience` seconds for more.
    """

    name: str
    where: str
    most: int
    patience: float

    def deliver(self, notices: list[Notice], seconds: float) -> Delivered:
        """In about so many seconds. Raises Later."""


class Waiting:
    """Bounded. Where it is full the cause with most events loses its oldest: a storm takes no place from the others,
    and none of its turns: events are taken from each cause in turn.
    """

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._by_cause: dict[str, deque[Notice]] = {}

    def __len__(self) -> int:
        return self._size

    def put(self, notice: Notice) -> int:
        """How many had to go for it: 0 or 1."""
        self._by_cause.setdefault(notice.finding.cause_id, deque()).append(notice)
        self._size += 1
        if self._size <= self._most:
            return 0
        self._pop(max(self._by_cause, key=lambda cause: len(self._by_cause[cause])))
        return 1

    def take(self, most: int) -> list[Notice]:
        """In the order in which they were made."""
        found: list[Notice] = []
        while self._size and len(found) < most:
            for cause in list(self._by_cause)[: most - len(found)]:
                found.append(self._pop(cause))
                if cause in self._by_cause:  # its next turn is after the others'
                    self._by_cause[cause] = self._by_cause.pop(cause)
        return sorted(found, key=lambda notice: notice.made)

    def _pop(self, cause: str) -> Notice:
        notices = self._by_cause[cause]
        self._size -= 1
        found = notices.popleft()
        if not notices:
            del self._by_cause[cause]
        return found


class Sender:
    """Brings what it is given by its way, and tries again where that may help. What is lost is counted.

    `trouble` says in words why nothing gets there, as long as that is so.
    """

    def __init__(self, way: Way, *, most: int = MOST_WAITING, first_pause: float = _FIRST_PAUSE) -> None:
        self.way, self.trouble = way, ""
        self._changed = threading.Condition()
        self._waiting = Waiting(most)
        self._since = 0.0  # when the first of those that wait came
        self._in_hand = self._lost = 0
        self._until: float | None = None  # by when it is to end
        self._first_pause = first_pause
        self._thread = threading.Thread(target=self._work, name=way.name, daemon=True)

    def start(self) -> None:
        """In a thread of its own, which ends with the process."""
        self._thread.start()

    def put(self, notice: Notice) -> None:
        """Returns at once."""
        with self._changed:
            if not self._waiting:
                self._since = time.monotonic()
            self._lost += self._waiting.put(notice)
            self._changed.notify()

    def end(self, until: float) -> None:
        """What waits is to be delivered by then, on the monotonic clock."""
        with self._changed:
            self._until = until
            self._changed.notify()

    def is_at_work(self, seconds: float) -> bool:
        """Whether it still is after so long."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def undelivered(self) -> int:
        """How many events are lost."""
        with self._changed:
            return self._lost

    def left(self) -> int:
        """How many are not there yet."""
        with self._changed:
            return len(self._waiting) + self._in_hand

    def _work(self) -> None:
        keep_only(frozenset())  # rights are a thread's own: what is answered is read by one that has none
        while batch := self._next():
            refused = self._deliver(batch)
            with self._changed:
                self._in_hand = 0
                self._lost += refused

    def _next(self) -> list[Notice]:
        """Enough of them, or those that have waited long enough; none when it is to end."""
        way = self.way
        with self._changed:
            while self._until is None and len(self._waiting) < way.most:
                left = self._since + way.patience - time.monotonic() if self._waiting else None
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            found = self._waiting.take(way.most)
            self._in_hand, self._since = len(found), time.monotonic()
            return found

    def _deliver(self, batch: list[Notice]) -> int:
        """How many of them are lost."""
        pause = self._first_pause
        while True:
            try:
                delivered = self.way.deliver(batch, self._seconds())
            except Later as later:
                self.trouble = str(later)
                asked = later.after
                if not self._pause(
                    pause * random.uniform(0.5, 1.0) if asked is None else asked, asked is not None
                ):
                    return len(batch)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self.trouble = delivered.why
                return delivered.refused

    def _seconds(self) -> float:
        with self._changed:
            left = _LONGEST_SECONDS if self._until is None else self._until - time.monotonic()
        return max(0.1, min(_LONGEST_SECONDS, left))

    def _pause(self, seconds: float, was_asked: bool) -> bool:
        """False where there is no time for another attempt. At the end it waits no longer than it was asked to."""
        again = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(lambda: self._until is not None, seconds)
            if self._until is None:
                return True
            now = time.monotonic()
            again = again if was_asked else min(again, now + _LAST_PAUSE)
            if again >= self._until:
                return False
        time.sleep(max(0.0, again - now))
        return True
