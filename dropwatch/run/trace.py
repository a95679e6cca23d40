"""`whydrop trace`: takes the steps of packets, and shows each journey when it is over."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from dropwatch.aggregate.journeys import Journeys
from dropwatch.aggregate.step_names import StepNames
from dropwatch.enrich.answers import wall_time
from dropwatch.host.netns.netns import NetnsNames
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.kernel.skb_fields import resolve
from dropwatch.model.drop import Drop, Event, Finding, MatchResult, Totals
from dropwatch.model.journey import Journey
from dropwatch.probe.attach_trace import Follow
from dropwatch.probe.skb_functions import Chosen, chosen
from dropwatch.run.gathered import JourneyView
from dropwatch.run.mode import Mode, Probes, Renderer
from dropwatch.run.options import Options
from dropwatch.run.pipeline import Matching
from dropwatch.run.stop import Stop


class Tracing(Mode):
    """One run's journeys; after `count` of them it asks `stop` to end the run."""

    watched: ClassVar[str] = "the way of"
    shows_findings: ClassVar[bool] = False
    _source: Probes

    def __init__(
        self,
        renderer: Renderer,
        view: JourneyView,
        journeys: Journeys,
        follow: Follow,
        stop: Stop,
        *,
        count: int | None = None,
        told: Callable[[Journey], None] = lambda journey: None,
    ) -> None:
        """`told` hears of each journey that is shown."""
        super().__init__(renderer)
        self._view, self._journeys, self._stop, self._hear = view, journeys, stop, told
        self.follow = follow
        self._count = count
        self._ends: Counter[str] = Counter()
        self.told = 0

    def begin(self, probes: Probes, named: Callable[[Event], Drop]) -> None:
        """From now on there are steps."""
        self._source = probes

    def matching(self, by_filter: Matching) -> Matching:
        """Of a packet that is followed every death is wanted, whatever its addresses are by then."""

        def match(drop: Drop) -> MatchResult | None:
            found = by_filter(drop)
            return MatchResult("direct", None) if found is None and drop.event.journey else found

        return match

    def take(self, event: Event, finding: Finding | None) -> Finding | None:
        """A death belongs to a journey, and is shown with it."""
        self._take_steps()
        self._journeys.dropped(event, finding)
        return None

    def tick(self, now: float) -> str:
        self._take_steps()
        return self._show(self._journeys.ended(self._source.read_until_ns), now)

    def finish(self) -> str:
        """What is still on its way."""
        self._take_steps()
        return self._show(self._journeys.rest(), time.monotonic())

    def totals(self, totals: Totals) -> Totals:
        """With how the journeys ended that were shown."""
        return replace(totals, reported=totals.matched, journeys=dict(self._ends))

    def _take_steps(self) -> None:
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
    renderer: Renderer,
    view: JourneyView,
    symbols: Kallsyms,
    stop: Stop,
    told: Callable[[Journey], None],
    *,
    tree: bool,
) -> Tracing:
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
    asked = options.functions.search if options.functions is not None else lambda name: None
    follow = Follow(functions, fields, tree=tree, asked=asked)
    journeys = Journeys(names, wall_time)
    return Tracing(renderer, view, journeys, follow, stop, count=options.count, told=told)
