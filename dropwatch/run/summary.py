"""`whydrop summary`: takes samples and the kernel's counts, and gives a view a summary at each interval."""

import struct
import time
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, NamedTuple, Protocol, TextIO

from dropwatch.aggregate.tally import Tally
from dropwatch.host.counters.counters import Counters
from dropwatch.host.netns.netns import netns_name, own_inode
from dropwatch.model.drop import Drop, Event, Finding, Totals
from dropwatch.model.summary import FlowCount, Outside, Summary
from dropwatch.render.layout import Layout
from dropwatch.run.gathered import SummaryView
from dropwatch.run.mode import Mode, Probes, Renderer
from dropwatch.run.options import Options
from dropwatch.run.pipeline import held_back
from dropwatch.run.stop import Stop
from dropwatch.wire.drop import event_of_row
from dropwatch.wire.flow import flow_count

_TOP_FLOWS = 10
_SCREEN_SECONDS, _LINE_SECONDS = 1.0, 10.0  # between summaries where nothing else was asked for


class FullScreen(SummaryView, Protocol):
    """A view that has the terminal from its first step() to close(); step() reads keys: true when one says to leave."""

    def step(self) -> bool: ...
    def close(self) -> None: ...


class _Taken(NamedTuple):
    """What was counted at one moment, by a clock that only goes forward and by that on the wall."""

    rows: dict[bytes, int]
    flows: tuple[FlowCount, ...]
    outside: tuple[Outside, ...]
    now: float
    wall: float


class Summarizing(Mode):
    """One run's summaries, each `interval` seconds; after `count` of them it asks `stop` to end the run.

    The last one, finish(), is exact. The terminal is as it was when the mode is closed, however that happens.
    """

    shows_findings: ClassVar[bool] = False
    judges_all: ClassVar[bool] = True  # the harmless is told by row
    counts_in_kernel: ClassVar[bool] = True
    _tally: Tally
    _counted: Probes

    def __init__(
        self,
        renderer: Renderer,
        view: SummaryView,
        counters: Counters,
        held_back: Callable[[str], bool],
        stop: Stop,
        *,
        interval: float,
        count: int | None = None,
        screen: FullScreen | None = None,
        told: Callable[[Summary], None] = lambda summary: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """With `screen` that shows the summaries, and `view` only the last one. `told` hears of each."""
        super().__init__(renderer)
        self._view, self._screen, self._hear = view, screen, told
        self._counters, self._held_back = counters, held_back
        self._stop, self._interval, self._count = stop, interval, count
        self._clock, self._wall = clock, wall
        self._told_at = self._due = 0.0
        self._number = 0
        self._taken: _Taken | None = None
        self._last: Summary | None = None

    def begin(self, probes: Probes, named: Callable[[Event], Drop]) -> None:
        """From now on it counts."""
        self._counted = probes
        self._tally = Tally(
            lambda row: named(event_of_row(row)), self._held_back, self._interval, self._wall()
        )
        self._counters.start()
        self._told_at = self._clock()
        self._due = self._told_at + self._interval

    def take(self, event: Event, finding: Finding | None) -> Finding | None:
        """A sample; none is a finding to be shown."""
        self._tally.sample(event, finding)
        return None

    def tick(self, now: float) -> str:
        """The summary when it is time. The counts are taken one tick earlier: then their samples have been read."""
        if self._screen is not None and self._screen.step():
            self._stop.ask()
        if self._taken is not None:
            taken, self._taken = self._taken, None
            return self._show(self._summary(taken))
        if now < self._due:
            return ""
        self._number += 1
        self._due = max(self._due + self._interval, now)
        if self._number == self._count:  # the last one is finish()'s
            self._stop.ask()
        else:
            self._taken = self._take()
        return ""

    def close(self) -> None:
        if self._screen is not None:
            self._screen.close()

    def finish(self) -> str:
        """The last summary."""
        last = self._summary(self._take(), complete=True)
        self._last = last
        self.close()
        self._hear(last)
        return self._view.summary(last)

    def totals(self, totals: Totals) -> Totals:
        """With what was counted instead of what was looked at."""
        if self._last is None:
            return totals
        matched = sum(row.packets for row in self._last.rows)
        suppressed = dict(totals.suppressed)
        for cause, packets in self._last.suppressed.items():
            suppressed[cause] = suppressed.get(cause, 0) + packets
        spots = (*totals.blind_spots, *self._counters.blind_spots)
        return replace(totals, matched=matched, reported=matched, suppressed=suppressed, blind_spots=spots)

    def _show(self, summary: Summary) -> str:
        self._hear(summary)
        return (self._screen or self._view).summary(summary)

    def _take(self) -> _Taken:
        rows, flows, outside = self._counted.rows(), self._counted.flows(), self._counters.risen()
        return _Taken(rows, top_flows(flows), outside, self._clock(), self._wall())

    def _summary(self, taken: _Taken, *, complete: bool = False) -> Summary:
        found = self._tally.summary(taken.rows, taken.wall, taken.now - self._told_at, complete=complete)
        self._told_at = taken.now
        return replace(found, flows=taken.flows, outside=taken.outside)


def top_flows(flows: list[tuple[bytes, int]]) -> tuple[FlowCount, ...]:
    """Those with most packets."""
    most = sorted(flows, key=lambda flow: (-flow[1], flow[0]))[:_TOP_FLOWS]
    try:
        return tuple(flow_count(flow, packets) for flow, packets in most)
    except struct.error as error:
        raise ValueError(f"a flow has another form than expected: {error}") from error


def summarizing_for(
    options: Options,
    renderer: Renderer,
    view: SummaryView,
    layout: Layout,
    output: TextIO | None,
    stop: Stop,
    told: Callable[[Summary], None],
) -> Summarizing:
    """By the options, and by what the terminal can do. A command has the terminal for its own output."""
    own = own_inode()
    screen = None if options.json or options.command else _full_screen(own, layout, output)
    interval = options.interval or (_LINE_SECONDS if screen is None else _SCREEN_SECONDS)
    return Summarizing(
        renderer,
        view,
        Counters((own, *options.wanted.netns), netns_name),
        lambda cause_id: held_back(cause_id, options),
        stop,
        interval=interval,
        count=options.count,
        screen=screen,
        told=told,
    )


def _full_screen(own_netns: int, layout: Layout, output: TextIO | None) -> FullScreen | None:
    """None on what is no such terminal, and for a Python that was built without curses."""
    try:
        from dropwatch.render.summary.screen import SummaryScreen, has_full_screen
    except ImportError:
        return None
    return SummaryScreen(own_netns, colour=layout.colour) if has_full_screen(output) else None
