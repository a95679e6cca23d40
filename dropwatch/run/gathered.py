"""Summaries and journeys from a recording, shown as they were made: their numbers are nothing to be judged."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Protocol

from dropwatch.model.drop import Event, Finding, Totals
from dropwatch.model.journey import Journey
from dropwatch.model.summary import Summary
from dropwatch.recording.start import End
from dropwatch.run.mode import Mode, Renderer


class SummaryView(Protocol):
    """A summary becomes text."""

    def summary(self, summary: Summary) -> str: ...


class JourneyView(Protocol):
    """A journey becomes text."""

    def journey(self, journey: Journey, now: float) -> str: ...


class Gathered(Mode):
    """What a summary or a trace showed. `heard` is told of each item; `traced` says that there are journeys."""

    shows_findings: ClassVar[bool] = False

    def __init__(
        self,
        renderer: Renderer,
        summaries: SummaryView,
        journeys: JourneyView,
        heard: Callable[[Summary | Journey], None],
        *,
        traced: bool,
    ) -> None:
        super().__init__(renderer)
        self._summaries, self._journeys, self._heard, self._traced = summaries, journeys, heard, traced
        self._ends: Counter[str] = Counter()

    def take(self, event: Event, finding: Finding | None) -> Finding | None:
        return None

    def gathered(self, item: Summary | Journey, now: float) -> str:
        if isinstance(item, Journey):
            text = self._journeys.journey(item, now)
            self._heard(item)
            self._ends[item.end] += 1
        else:
            text = self._summaries.summary(item)
            self._heard(item)
        return text

    def totals(self, totals: Totals) -> Totals:
        return replace(totals, reported=totals.matched, journeys=dict(self._ends) if self._traced else None)

    def as_recorded(self, totals: Totals, end: End) -> Totals:
        """What is in summaries or journeys was counted when they were made."""
        return replace(totals, matched=end.matched, reported=end.reported, suppressed=end.suppressed)
