"""Two runs compared: new, gone, more, fewer, by the time that each watched; and what is not exact is said."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.aggregate.difference import difference, exact
from dropwatch.aggregate.sort import Sort, lasting_sort_of
from dropwatch.model.drop import Finding, Totals
from dropwatch.model.report import Folded, Report, Timeline

Side = tuple[Report, dict[Sort, Folded]]
Make = Callable[..., Side]
TOTALS = Totals({}, 0, 0, {}, {}, ())


@pytest.fixture
def side(make_finding: Callable[..., Finding]) -> Make:
    """A run in which so many packets died of each cause."""

    def build(seconds: float | None = 60.0, totals: Totals | None = TOTALS, **packets: int) -> Side:
        found = [Folded(make_finding(cause_id=cause), count, 0.0, 1.0) for cause, count in packets.items()]
        report = Report(
            "0.2.0", "6.1", "x86_64", 0.0, 0, seconds, "x", "findings", "--all", "", False, False, None,
            tuple(found), {}, Timeline(0.0, 1.0), totals,
        )  # fmt: skip
        return report, {lasting_sort_of(one.finding, None): one for one in found}

    return build


def told(one: Side, other: Side) -> list[tuple[str, str]]:
    found = difference(one, other).changes
    return [(change.what, (change.after or change.before).finding.cause_id) for change in found]  # type: ignore[union-attr]


def test_new_more_fewer_gone_in_this_order_the_most_first(side: Make) -> None:
    before = side(gone=7, more=10, fewer=50, same=100, near=1)
    after = side(new=3, newer=5, more=23, fewer=20, same=109, near=2)
    assert told(before, after) == [
        ("new", "newer"), ("new", "new"), ("more", "more"), ("fewer", "fewer"), ("gone", "gone"),
        ("same", "same"), ("same", "near"),
    ]  # fmt: skip
    assert difference(before, after).notes == ()


@pytest.mark.parametrize(
    ("seconds", "packets", "what"),
    [(600.0, 1000, "same"), (600.0, 100, "fewer"), (6.0, 100, "more"), (61.0, 100, "same")],
)
def test_runs_of_unequal_length_are_compared_by_time(
    seconds: float, packets: int, what: str, side: Make
) -> None:
    found = difference(side(a=100), side(seconds, a=packets))
    assert [change.what for change in found.changes] == [what]
    assert [note for note in found.notes if "by time" in note] == (
        [] if seconds == 61.0 else ["A and B did not watch equally long: more and fewer are by time"]
    )


def test_where_no_length_is_known_numbers_are_compared(side: Make) -> None:
    found = difference(side(None, a=100), side(600.0, a=100))
    assert [change.what for change in found.changes] == ["same"]
    assert found.notes == ("how long A watched is not known: numbers are compared as they are, not by time",)


def test_what_is_not_exact_is_said(side: Make) -> None:
    lost = replace(TOTALS, lost={"ring buffer full": 3}, blind_spots=("probe x",))
    before, (report, sorts) = side(totals=lost, a=1), side(b=2)
    mixed = tuple(replace(one, exact=False) for one in report.sorts)
    other = replace(report, apart={"beyond": 5}, kernel="6.12", asked="--dport 5", sorts=mixed)
    assert difference(before, (other, sorts)).notes == (
        "A lost 3 events: its numbers are at least so many, and sorts may be missing in it",
        "5 packets of B are in no sort, and not compared",
        "in B packets of some sorts were counted together: these numbers are not exact",
        "they were not asked for the same: A `whydrop --all`, B `whydrop --dport 5`",
        "the kernels differ: A 6.1, B 6.12",
        "A has a blind spot that the other has not: whydrop report shows more",
    )


@pytest.mark.parametrize(
    ("asked", "is_same"),
    [
        ("--all -w b.whydrop -q", True),
        ("--write=b.whydrop --all", True),
        ("--all -- send -q", False),
        ("--all -6", False),
        ("--all 'udp port 5'", False),
    ],
)
def test_where_a_recording_goes_is_not_what_was_asked(asked: str, is_same: bool, side: Make) -> None:
    before, (report, sorts) = side(a=1), side(a=1)
    notes = difference(before, (replace(report, asked=asked), sorts)).notes
    assert any("not asked for the same" in note for note in notes) is not is_same


@pytest.mark.parametrize(
    ("fields", "is_exact"),
    [({}, True), ({"totals": None}, False), ({"apart": {"x": 1}}, False),
     ({"totals": replace(TOTALS, lost={"x": 1})}, False), ({"totals": replace(TOTALS, lost={"x": 0})}, True)],
)  # fmt: skip
def test_numbers_are_exact_where_nothing_was_lost(fields: dict[str, Any], is_exact: bool, side: Make) -> None:
    assert exact(replace(side(a=1)[0], **fields)) == is_exact
