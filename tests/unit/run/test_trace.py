"""`whydrop trace` between the read loop and the renderers."""

from collections import deque
from dataclasses import replace

import pytest

from dropwatch.aggregate.journeys import Journeys
from dropwatch.aggregate.step_names import StepNames
from dropwatch.cli.main import main
from dropwatch.model.drop import Frame, MatchResult, Totals
from dropwatch.model.journey import Journey, RawStep
from dropwatch.probe.attach_trace import Follow
from dropwatch.run.mode import Silent
from dropwatch.run.stop import Stop
from dropwatch.run.trace import Tracing
from tests.unit.aggregate.test_journeys import BUFFER, MS, event, raw
from tests.unit.conftest import build_drop


class Source:
    """Gives one list of steps after the other."""

    def __init__(self, *batches: list[RawStep]) -> None:
        self._batches = deque(batches)
        self.read_until_ns = 0

    def rows(self) -> dict[bytes, int]:
        raise AssertionError("a trace counts nothing in the kernel")

    def flows(self) -> list[tuple[bytes, int]]:
        raise AssertionError("a trace counts nothing in the kernel")

    def take_steps(self) -> list[RawStep]:
        return self._batches.popleft() if self._batches else []


class View:
    def journey(self, journey: Journey, now: float) -> str:
        return f"{journey.number} {journey.end} {len(journey.steps)}\n"


def tracing(source: Source, stop: Stop, count: int | None = None, now_ms: float = 0) -> Tracing:
    names = StepNames(
        frame=lambda address: Frame("ip_rcv", 0, None, address),
        netns=lambda inode: None,
        answers=lambda name: False,
        fields={},
    )
    journeys = Journeys(names, time_of=lambda ns: 0.0)
    made = Tracing(Silent(), View(), journeys, Follow(tuple, (), tree=False), stop, count=count)
    source.read_until_ns = int(now_ms * MS)
    made.begin(source, lambda event: build_drop(event=event))
    return made


def test_journeys_are_shown_when_they_are_over() -> None:
    source = Source([raw("receive", 1)], [raw("consumed", 2)])
    with Stop() as stop:
        made = tracing(source, stop, now_ms=1000)
        assert made.tick(0) == ""
        assert made.tick(1) == "1 consumed 2\n"
        assert made.finish() == ""
    totals = made.totals(Totals({}, 3, 0, {}, {}, ()))
    assert (totals.journeys, totals.reported) == ({"consumed": 1}, 3)


def test_what_has_not_been_read_ends_no_journey() -> None:
    """However late it is: with many records in the ring the rest of a journey comes in a later batch."""
    source = Source([raw("receive", 1)], [raw("receive", 9, journey=2)], [raw("consumed", 10)])
    with Stop() as stop:
        made = tracing(source, stop, now_ms=9)
        assert [made.tick(0), made.tick(9)] == ["", ""]
        source.read_until_ns = 1000 * MS
        assert made.tick(9) == "1 consumed 2\n"


def test_it_ends_after_so_many_packets() -> None:
    steps = [raw("consumed", 1, journey=number, buffer=number) for number in (1, 2, 3)]
    with Stop() as stop:
        made = tracing(Source(steps), stop, count=2, now_ms=1000)
        assert made.tick(0) == "1 consumed 1\n2 consumed 1\n"
        assert stop.asked
        assert made.finish() == ""
    assert made.told == 2


def test_what_is_on_its_way_at_the_end_is_shown() -> None:
    with Stop() as stop:
        assert tracing(Source([raw("receive", 1)]), stop).finish() == "1 open 1\n"


def test_the_death_of_a_followed_packet_is_wanted_whatever_its_addresses_are() -> None:
    """The steps that came before it may still lie in the same batch."""
    with Stop() as stop:
        made = tracing(Source([raw("receive", 1)]), stop, now_ms=1000)
        death = event(BUFFER, 2, journey=1)
        match = made.matching(lambda drop: None)
        assert match(build_drop(event=death)) == MatchResult("direct", None)
        assert match(build_drop(event=replace(death, journey=0))) is None
        assert made.take(death, None) is None
        assert made.tick(0) == "1 dropped 1\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--functions", "("], "is no regular expression"),
        (["--fields", "no_such_member"], "no_such_member"),
        (["--count", "0"], "--count"),
        (["--folded"], "no option --folded"),
    ],
)
def test_bad_input_is_told_in_two_lines(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", *words]) in (2, 3)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2
    if not lines[0].startswith("whydrop: error: whydrop needs"):  # without root it does not come so far
        assert message in lines[0]
    assert lines[1].startswith("hint: ")
