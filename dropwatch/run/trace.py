"""`whydrop trace`: takes the steps of packets, and shows each journey when it is over."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from dropwatch.aggregate.journeys import Journeys
from dropwatch.aggregate.step_names import StepNames
from dropwatch.enrich.answers import wall_time
from dropwatch.host.netns.netns import NetnsNames
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.kernel.skb_fields import resolve
from dropwatch.model.drop import Drop, Event, Finding, MatchResult, Totals
from dropwatch.model.journey import Journey, RawStep
from dropwatch.probe.attach_trace import Follow
from dropwatch.probe.skb_functions import Chosen, chosen
from dropwatch.render.layout import Layout
from dropwatch.run.options import Options
from dropwatch.run.pipeline import Matching
from dropwatch.run.stop import Stop
from dropwatch.run.views import journey_view_for


class Followed(Protocol):
    """Where steps come from. Those of before `read_until_ns`, on the monotonic clock, have all come."""

    read_until_ns: int

    def take_steps(self) -> list[RawStep]: ...


class View(Protocol):
    """A journey becomes text."""

    def journey(self, journey: Journey, now: float) -> str: ...


class Tracing:
    """One run's journeys; after `count` of them it asks `stop` to end the run."""

    def __init__(
        self,
        journeys: Journeys,
        view: View,
        stop: Stop,
        count: int | None,
        told: Callable[[Journey], None] = lambda journey: None,
    ) -> None:
        """`told` hears of each journey that is shown."""
        self._journeys, self._view, self._stop, self._hear = journeys, view, stop, told
        self._count = count
        self._source: Followed | None = None
        self._ends: Counter[str] = Counter()
        self.told = 0

    def begin(self, source: Followed) -> None:
        """From now on there are steps."""
        self._source = source

    def matching(self, by_filter: Matching) -> Matching:
        """Of a packet that is followed every death is wanted, whatever its addresses are by then."""

        def match(drop: Drop) -> MatchResult | None:
            found = by_filter(drop)
            return MatchResult("direct", None) if found is None and drop.event.journey else found

        return match

    def judge(self, finding_of: Callable[[Event], Finding | None]) -> Callable[[Event], Finding | None]:
        """For the read loop: a death belongs to a journey, and is shown with it."""

        def taken(event: Event) -> None:
            self._take_steps()
            self._journeys.dropped(event, finding_of(event))

        return taken

    def finding(self, finding: Finding, now: float) -> str:
        return ""

    def tick(self, now: float) -> str:
        self._take_steps()
        until_ns = self._source.read_until_ns if self._source is not None else 0
        return self._show(self._journeys.ended(until_ns), now)

    def finish(self) -> str:
        """What is still on its way; to be called once the probes are gone and everything was read."""
        self._take_steps()
        return self._show(self._journeys.rest(), time.monotonic())

    def totals(self, totals: Totals) -> Totals:
        """With how the journeys ended that were shown."""
        return replace(totals, reported=totals.matched, journeys=dict(self._ends))

    def _take_steps(self) -> None:
        if self._source is not None:
            for step in self._source.take_steps():
                self._journeys.step(step)

    def _show(self, journeys: list[Journey], now: float) -> str:
        texts = []
        for journey in journeys:
            if self._count is not None and self.told >= self._count:
                break
            self.told += 1
            self._ends[journey.end] += 1
            self._hear(journey)
            texts.append(self._view.journey(journey, now))
        if self._count is not None and self.told >= self._count:
            self._stop.ask()
        return "".join(texts)


def tracing_for(
    options: Options,
    symbols: Kallsyms,
    layout: Layout,
    own_netns: int | None,
    stop: Stop,
    told: Callable[[Journey], None],
) -> tuple[Tracing, Follow]:
    """By the options. Raises WrongUsage for fields that this kernel does not have."""
    fields = resolve(options.fields)
    answering: set[str] = set()

    def functions() -> tuple[Chosen, ...]:
        found = chosen(options.functions, symbols)
        answering.update(one.name for one in found if one.answers)
        return found

    names = StepNames(
        frame=symbols.frame,
        netns=NetnsNames().name,
        answers=answering.__contains__,
        fields={field.name: field.value for field in fields},
    )
    view = journey_view_for(options, layout, own_netns)
    follow = Follow(functions, fields, tree=options.view == "tree")
    return Tracing(Journeys(names, wall_time), view, stop, options.count, told), follow
