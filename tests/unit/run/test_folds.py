"""Equal drops that the kernel only counted: told once a second, of each sort as what its last packet was."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from dropwatch.model.drop import Drop, Event, Finding, MatchResult
from dropwatch.run.folds import Folds
from dropwatch.wire.drop import Row

SECOND = 1_000_000_000


def row(number: int, *, is_rest: bool = False) -> bytes:
    return bytes(Row(location=number, netns=9, dport=80, is_rest=is_rest))


class Rows:
    """What the kernel has counted; `forgotten` is what had to make room."""

    def __init__(self) -> None:
        self.counted: dict[bytes, tuple[int, int]] = {}
        self.told: dict[bytes, tuple[int, int]] = {}
        self.forgotten: list[bytes] = []

    def count(self, sort: bytes, packets: int, last_ns: int = 0) -> None:
        self.counted[sort] = (packets, last_ns)

    def folded(self, *, anyway: bool) -> dict[bytes, tuple[int, int]] | None:
        is_new, self.told = self.counted != self.told, dict(self.counted)
        return self.told if is_new or anyway else None

    def forget(self, rows: Iterable[bytes]) -> None:
        self.forgotten += rows


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def folds(rows: Rows, make_drop: Callable[..., Drop]) -> Folds:
    def named(event: Event) -> Drop:
        return replace(make_drop(), event=event)

    return Folds(rows, named)


@pytest.fixture
def finding(make_drop: Callable[..., Drop]) -> Finding:
    return Finding(make_drop(), MatchResult("direct"), "a.cause", "title", "certain", None, (), ())


def told(folds: Folds, now_ns: int | None) -> list[tuple[str, int]]:
    return [(one.cause_id, one.count) for one in folds.due(now_ns)]


def test_what_was_counted_since_it_was_told(folds: Folds, rows: Rows, finding: Finding) -> None:
    folds.note(row(1), finding)
    rows.count(row(1), 100)
    assert told(folds, SECOND) == [("a.cause", 100)]
    rows.count(row(1), 130)
    assert told(folds, 2 * SECOND - 1) == [], "once a second"
    assert told(folds, 2 * SECOND) == [("a.cause", 30)]
    assert told(folds, None) == []


def test_the_last_packet_says_what_it_is(folds: Folds, rows: Rows, finding: Finding) -> None:
    folds.note(row(1), finding)
    folds.note(row(1), replace(finding, cause_id="another"))
    rows.count(row(1), 1)
    assert told(folds, None) == [("another", 1)]


def test_what_does_not_fit_the_filter_is_not_told(folds: Folds, rows: Rows) -> None:
    folds.note(row(1), None)
    rows.count(row(1), 5)
    assert told(folds, None) == []


def test_a_sort_waits_for_its_first_packet(folds: Folds, rows: Rows, finding: Finding) -> None:
    rows.count(row(1), 5)
    assert told(folds, SECOND) == []
    folds.note(row(1), finding)
    assert told(folds, 2 * SECOND) == [("a.cause", 5)]


def test_without_a_packet_nothing_is_guessed(folds: Folds, rows: Rows) -> None:
    rows.count(row(1), 5)
    (one,) = folds.due(None)
    assert (one.cause_id, one.confidence, one.count, one.culprit) == ("unknown", "unknown", 5, None)
    assert one.drop.event.location == 1


def test_merged_rows_are_never_what_one_of_them_is(folds: Folds, rows: Rows, finding: Finding) -> None:
    folds.note(row(1, is_rest=True), finding)
    rows.count(row(1, is_rest=True), 5)
    assert told(folds, SECOND) == [("unknown", 5)]


def test_quiet_rows_make_room(folds: Folds, rows: Rows, finding: Finding) -> None:
    for number, last_ns in ((1, 0), (2, 15 * SECOND)):
        folds.note(row(number), finding)
        rows.count(row(number), 7, last_ns)
    assert len(told(folds, 20 * SECOND)) == 2
    assert rows.forgotten == [row(1)]
    del rows.counted[row(1)]
    rows.count(row(1), 3, 22 * SECOND)  # it counts anew
    assert told(folds, 22 * SECOND) == [], "and waits for a packet"
    folds.note(row(1), finding)
    assert told(folds, None) == [("a.cause", 3)]


def test_at_the_end_a_sort_waits_no_more(folds: Folds, rows: Rows) -> None:
    rows.count(row(1), 5)
    assert told(folds, SECOND) == []
    assert told(folds, None) == [("unknown", 5)]
