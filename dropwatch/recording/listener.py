"""Hears what goes on in a run: what leaves a recording of it is in writer.py, which a run without one does not need."""

from typing import ClassVar

from dropwatch.enrich.answers import Answers
from dropwatch.errors import WhydropError
from dropwatch.model.drop import Drop, Finding, MatchResult, Totals
from dropwatch.model.journey import Journey
from dropwatch.model.kept import Window
from dropwatch.model.resent import ResentSegment
from dropwatch.model.summary import Summary
from dropwatch.recording.start import Start


class Listener:
    """Hears all of one run, from begin() to close(), and does nothing with it: of a run that leaves no file."""

    needs_each: ClassVar[bool] = False  # each packet as a finding, and each judged by itself

    @property
    def failure(self) -> WhydropError | None:
        """Why its file is not written to any more."""
        return None

    def begin(self, start: Start) -> None:
        """The probes are attached. Raises WrongUsage or WhydropError where its file cannot be made."""

    def noting(self, answers: Answers) -> Answers:
        """The answers for everything that is asked in this run."""
        return answers

    def next_event(self) -> None:
        """What is asked from here on is asked for another event."""

    def kept(self, drop: Drop, match: MatchResult) -> None:
        """A drop that was asked for, just diagnosed; it may be held back as harmless."""

    def found(self, finding: Finding) -> None:
        """A finding, which is not held back: shown by itself, or in a summary or a journey."""

    def shown(self, now: float) -> None:
        """That finding is shown by itself, at this time of the renderers' clock (seconds)."""

    def tick(self, now: float) -> None:
        """The renderers are asked for what is due."""

    def gathered(self, shown: Summary | Journey) -> None:
        """A summary or a journey that is shown now."""

    def window(self, window: Window) -> None:
        """What the store of the recorder has of a time, a row for each sort."""

    def sent_again(self, segment: ResentSegment) -> None:
        """A segment of TCP that was sent again, because something had died."""

    def end(self, totals: Totals, not_packets: int, now: float) -> None:
        """The closing statement. `not_packets` are netlink and unix buffers."""

    def close(self) -> None:
        """The run is over, whatever happened."""
