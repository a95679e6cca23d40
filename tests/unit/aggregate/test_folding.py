"""Findings of a run by sort: none lost, memory bounded, the least sure one speaks for its sort."""

from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.aggregate import folding
from dropwatch.aggregate.folding import Folding
from dropwatch.aggregate.sort import NO_FLOW
from dropwatch.model.drop import Finding, Frame, Packet
from dropwatch.model.summary import Summary, SummaryRow

Find = Callable[..., Finding]


@pytest.fixture
def find(make_finding: Find, make_drop: Callable[..., Any], make_packet: Callable[..., Packet]) -> Find:
    def build(time: float = 100.0, dport: int = 5000, sport: int = 40000, **fields: Any) -> Finding:
        return make_finding(make_drop(make_packet(dport=dport, sport=sport), time=time), **fields)

    return build


def row(finding: Finding | None, packets: int, **fields: Any) -> SummaryRow:
    usual: dict[str, Any] = {
        "key": "k", "cause_id": "a", "title": "t", "confidence": "certain", "where": Frame("f", 1, None, 2),
        "reason": None, "culprit": None, "iface": None, "netns": None, "packets": packets, "new": packets,
        "rate": 1.0, "first": 10.0, "last": 20.0, "samples": 1, "finding": finding,
    }  # fmt: skip
    return SummaryRow(**usual | fields)


def summary(*rows: SummaryRow) -> Summary:
    return Summary(30.0, 1.0, 9.0, rows, sum(one.packets for one in rows), {}, 0)


def test_equal_ones_are_one_with_the_sum_and_both_times(find: Find) -> None:
    found = Folding()
    found.add(find(103.0, count=4))
    found.add(find(101.0, sport=40001))
    found.add(find(102.0, dport=53))
    one, other = found.sorts.values()
    assert (one.packets, one.first, one.last, one.one_flow) == (5, 101.0, 103.0, False)
    assert (other.packets, other.one_flow) == (1, True)
    assert found.timeline.lanes[0].packets == 6


def test_the_least_sure_one_is_shown(find: Find) -> None:
    found = Folding()
    for confidence in ("certain", "likely", "certain"):
        found.add(find(confidence=confidence, title=confidence))
    (one,) = found.sorts.values()
    assert (one.finding.title, one.packets) == ("likely", 3)


def test_beyond_the_bound_packets_are_counted(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "MOST_SORTS", 2)
    found = Folding()
    for port in (1, 2, 3, 4, 1):
        found.add(find(dport=port, count=3))
    assert [one.packets for one in found.sorts.values()] == [6, 3]
    assert list(found.apart.items()) == [("ipsec.auth-failed, beyond the first 2 sorts", 6)]


def test_of_summaries_the_last_one_holds(find: Find) -> None:
    found = Folding()
    found.take(summary(row(find(), 7)))
    found.take(summary(row(find(), 19, note="mixed", also=("b",)), row(None, 3)))
    (sort, one), = found.sorts.items()  # fmt: skip
    assert sort.flow == NO_FLOW
    assert (one.packets, one.exact, one.note, one.one_flow) == (19, False, "mixed", False)
    assert (one.first, one.last) == (10.0, 20.0)
    assert list(found.apart.items()) == [("died in f, and none of them was looked at", 3)]


def test_rows_of_one_sort_are_added_up(find: Find) -> None:
    found = Folding()
    found.take(summary(row(find(dport=1), 7, note="x"), row(find(dport=2), 2, first=5.0, note="y")))
    (one,) = found.sorts.values()
    assert (one.packets, one.first, one.note) == (9, 5.0, "x; y")
