"""Findings go from here to everybody who was asked to be told: the same events, at the same pace."""

import time
from collections.abc import Callable, Sequence

from dropwatch.model.drop import Finding
from dropwatch.watch.events import Clock, Notice, Rate
from dropwatch.watch.sender import Sender, Way

_LAST_SECONDS = 5.0  # to deliver what waits when the recorder ends
_LOOK_EVERY_SECONDS = 0.1


class Teller:
    """`say` is told, in a sentence, when nothing can be delivered, when it can be again, and what was lost.

    Everything is called where drops are judged, and none of it waits for anybody but end().
    """

    def __init__(
        self,
        ways: Sequence[Way],
        own_netns: int,
        say: Callable[[str], None],
        clock: Clock = time.monotonic,
    ) -> None:
        self._senders = [Sender(way) for way in ways]
        self._rate, self._say = Rate(own_netns, clock), say
        self._told = [""] * len(self._senders)  # of each its trouble
        self._is_begun = False

    def start(self) -> None:
        """The probes are attached."""
        self._is_begun = True
        for sender in self._senders:
            sender.start()

    def add(self, finding: Finding) -> None:
        """A finding, with as many packets as it stands for."""
        if self._senders and (notice := self._rate.add(finding)) is not None:
            self._put(notice)

    def tick(self) -> None:
        """Counts that are due. To be called often."""
        for notice in self._rate.due():
            self._put(notice)
        for at, sender in enumerate(self._senders):
            trouble = sender.trouble
            if trouble != self._told[at]:
                self._told[at] = trouble
                again = "events are delivered again"
                self._say(
                    f"{sender.way.where}: {f'events are not delivered: {trouble}' if trouble else again}"
                )

    def undelivered(self) -> dict[str, int]:
        """How many events were lost, by the way they should have gone."""
        return {sender.way.name: sender.undelivered() for sender in self._senders}

    def end(self, hurry: Callable[[], bool]) -> None:
        """Brings away what waits, for a few seconds, and says what is lost; `hurry` cuts it short."""
        if not self._is_begun:
            return
        self._is_begun = False
        for notice in self._rate.due(everything=True):
            self._put(notice)
        until = time.monotonic() + _LAST_SECONDS
        for sender in self._senders:
            sender.end(until)
        for sender in self._senders:
            while sender.is_at_work(_LOOK_EVERY_SECONDS) and time.monotonic() < until and not hurry():
                pass
            lost = sender.undelivered() + sender.left()
            if lost:
                why = f": {sender.trouble}" if sender.trouble else ""
                events = "1 event" if lost == 1 else f"{lost} events"
                self._say(f"{sender.way.where}: {events} could not be delivered{why}")

    def _put(self, notice: Notice) -> None:
        for sender in self._senders:
            sender.put(notice)
