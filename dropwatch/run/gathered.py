"""Summaries, journeys and windows from a recording, shown as they were made: their numbers are nothing to be judged."""

from collections import Counter
from dataclasses import replace
from typing import ClassVar, Protocol

from dropwatch.model.drop import Event, Finding, Totals
from dropwatch.model.journey import Journey
from dropwatch.model.kept import Window
from dropwatch.model.summary import Summary
from dropwatch.recording.listener import Listener
from dropwatch.recording.start import End
from dropwatch.run.mode import Mode, Renderer

TRACED = frozenset({"trace", "tree"})
GATHERED = TRACED | {"summary", "window"}


class SummaryView(Protocol):
    """A summary becomes text."""

    def summary(self, summary: Summary) -> str: ...


class JourneyView(Protocol):
    """A journey becomes text."""

    def journey(self, journey: Journey, now: float) -> str: ...


class WindowView(Protocol):
    """A window of the recorder's store becomes text."""

    def window(self, window: Window) -> str: ...


class Gathered(Mode):
    """What a summary, a trace or the recorder's store showed. `listener` hears each; `traced`: there are journeys."""

    shows_findings: ClassVar[bool] = False

    def __init__(
        self,
        renderer: Renderer,
        summaries: SummaryView,
        journeys: JourneyView,
        windows: WindowView,
        listener: Listener,
        *,
        traced: bool,
    ) -> None:
        super().__init__(renderer)
        self._summaries, self._journeys, self._windows = summaries, journeys, windows
        self._listener, self._traced = listener, traced
        self._ends: Counter[str] = Counter()

    def take(self, event: Event, finding: Finding | None) -> Finding | None:
        return None

    def gathered(self, item: Summary | Journey | Window, now: float) -> str:
        if isinstance(item, Window):
            text = self._windows.window(item)
            self._listener.window(item)
            return text
        if isinstance(item, Journey):
            text = self._journeys.journey(item, now)
            self._ends[item.end] += 1
        else:
            text = self._summaries.summary(item)
        self._listener.gathered(item)
        return text

    def totals(self, totals: Totals) -> Totals:
        return replace(totals, reported=totals.matched, journeys=dict(self._ends) if self._traced else None)

    def as_recorded(self, totals: Totals, end: End) -> Totals:
        """What is in them was counted when they were made."""
        return replace(totals, matched=end.matched, reported=end.reported, suppressed=end.suppressed)
