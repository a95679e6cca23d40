"""When a summary is made, what it is made of, and how a run of them ends."""

import contextlib
import ctypes
import struct
from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.host.counters.counters import Counters
from dropwatch.model.drop import Drop, Event, Finding, Totals
from dropwatch.model.journey import RawStep
from dropwatch.model.summary import Counter, Summary
from dropwatch.run.loop import Watch
from dropwatch.run.mode import Silent
from dropwatch.run.options import Options
from dropwatch.run.stop import Stop
from dropwatch.run.summary import Summarizing, top_flows
from dropwatch.wire.drop import Row
from tests.unit.conftest import build_drop

ROW = bytes(ctypes.sizeof(Row))
MISSED = Counter("nic", "rx_missed_errors", 1, "eth0")


Summing = Callable[..., Summarizing]


class Machine:
    """A kernel in which `packets` of one row died; what it is asked for takes no time."""

    def __init__(self) -> None:
        self.packets = 0
        self.missed = 40
        self.now = 0.0
        self.events: list[Event] = []
        self.read_until_ns = 0
        self.detached = False

    def read(self, timeout_ms: int) -> list[Event]:
        self.now += timeout_ms / 1000
        events, self.events = self.events, []
        return events

    def detach(self) -> None:
        self.detached = True

    def rows(self) -> dict[bytes, int]:
        return {ROW: self.packets} if self.packets else {}

    def flows(self) -> list[tuple[bytes, int]]:
        return []

    def take_steps(self) -> list[RawStep]:
        raise AssertionError("a summary follows no packet")

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1000.0 + self.now


class Lines:
    """A view, a full screen and an output in one."""

    reader_left = False

    def __init__(self) -> None:
        self.summaries: list[Summary] = []
        self.closed, self.steps, self.leave_after = 0, 0, -1

    def summary(self, summary: Summary) -> str:
        self.summaries.append(summary)
        return ""

    def show(self, text: str) -> None:
        pass

    def step(self) -> bool:
        self.steps += 1
        return self.steps == self.leave_after

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def summing(machine: Machine, lines: Lines) -> Summing:
    def build(stop: Stop, **options: Any) -> Summarizing:
        return Summarizing(
            Silent(),
            lines,
            Counters([1], lambda inode: None, lambda inode: {MISSED: machine.missed}, dict),
            lambda cause: False,
            stop,
            interval=1.0,
            clock=machine.clock,
            wall=machine.wall,
            **options,
        )

    return build


def named(event: Event) -> Drop:
    """A row is named without a sample by its place alone."""
    return build_drop(event=event)


def run(
    machine: Machine,
    lines: Lines,
    summing: Summarizing,
    stop: Stop,
    finding: Finding | None = None,
    **options: Any,
) -> Watch:
    summing.begin(machine, named)
    watch = Watch(
        machine,
        lambda event: summing.take(event, finding),
        summing,
        lines,
        Options(**options),
        stop,
        None,
        machine.clock,
    )
    assert not list(watch.run(lambda: None))
    return watch


def test_a_summary_each_interval_and_an_exact_one_at_the_end(
    machine: Machine, lines: Lines, summing: Summing
) -> None:
    made = summing(Stop())
    machine.packets = 5
    run(machine, lines, made, Stop(), duration=3.5)
    assert machine.detached
    assert [found.seconds for found in lines.summaries] == pytest.approx([1.0, 1.0, 1.0], abs=0.11)
    assert not any(found.complete for found in lines.summaries)
    machine.packets = 7
    made.finish()
    last = lines.summaries[-1]
    assert last.complete
    assert (last.counted, last.rows[0].new) == (7, 2)


def test_counts_are_taken_before_their_samples_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
    machine: Machine,
    lines: Lines,
    summing: Summing,
    make_event: Callable[..., Event],
    make_finding: Callable[..., Finding],
) -> None:
    """The row came after the last reading, before the counting: its sample is there when it is told."""
    made = summing(Stop())
    rows = machine.rows

    def rows_and_a_late_sample() -> dict[bytes, int]:
        machine.packets += 1
        machine.events = [make_event(row=ROW)]
        return rows()

    monkeypatch.setattr(machine, "rows", rows_and_a_late_sample)
    run(machine, lines, made, Stop(), make_finding(), duration=1.5)
    assert lines.summaries[0].rows[0].cause_id == "ipsec.auth-failed"


def test_the_count_is_in_summaries_the_exact_one_included(
    machine: Machine, lines: Lines, summing: Summing
) -> None:
    stop = Stop()
    made = summing(stop, count=2)
    run(machine, lines, made, stop)
    made.finish()
    assert stop.asked
    assert [found.complete for found in lines.summaries] == [False, True]
    assert machine.now == pytest.approx(2.0, abs=0.2)


def test_samples_are_no_findings(
    machine: Machine,
    lines: Lines,
    summing: Summing,
    make_event: Callable[..., Event],
    make_finding: Callable[..., Finding],
) -> None:
    made = summing(Stop())
    machine.events = [make_event(row=ROW)] * 3
    machine.packets = 3
    watch = run(machine, lines, made, Stop(), make_finding(), duration=0.5)
    made.finish()
    assert watch.reported == 0
    totals = made.totals(Totals({"kfree_skb": 9}, 3, 0, {}, {"benign.unix-socket": 1}, ()))
    assert (totals.matched, totals.reported, totals.suppressed) == (3, 3, {"benign.unix-socket": 1})


def test_what_was_lost_elsewhere_is_counted_from_the_beginning(
    machine: Machine, lines: Lines, summing: Summing
) -> None:
    made = summing(Stop())
    made.begin(machine, named)
    machine.missed += 212
    made.finish()
    (found,) = lines.summaries[-1].outside
    assert (found.counter, found.count, found.new) == (MISSED, 212, 212)


def test_a_key_ends_it_and_the_screen_is_closed_before_the_last_summary_is_written(
    machine: Machine, lines: Lines, summing: Summing
) -> None:
    stop, screen = Stop(), Lines()
    screen.leave_after = 3
    with contextlib.closing(summing(stop, screen=screen)) as made:
        run(machine, lines, made, stop)
        assert stop.asked == 1
        made.finish()
    assert screen.closed
    assert [found.complete for found in lines.summaries] == [True]


def test_an_error_gives_the_terminal_back(machine: Machine, summing: Summing) -> None:
    screen = Lines()
    with pytest.raises(RuntimeError), contextlib.closing(summing(Stop(), screen=screen)):
        raise RuntimeError
    assert screen.closed == 1


def test_the_flows_with_most_packets() -> None:
    raw = [(bytes(36) + struct.pack("=HHBBBB", 0, n, 4, 17, 1, 0), n) for n in range(20)]
    found = top_flows(raw)
    assert [flow.packets for flow in found] == list(range(19, 9, -1))
    with pytest.raises(ValueError, match="another form"):
        top_flows([(b"x", 1)])
