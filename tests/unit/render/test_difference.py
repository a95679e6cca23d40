"""What two recordings differ in, in words: each sort with its numbers, object and confidence; notes beside it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from json_lines import check

from dropwatch.aggregate.difference import difference
from dropwatch.aggregate.sort import lasting_sort_of
from dropwatch.model.culprits import NftRule
from dropwatch.model.difference import Difference
from dropwatch.model.drop import Finding, Totals
from dropwatch.model.report import Folded, Report, Timeline
from dropwatch.names.foreign import foreign
from dropwatch.render.difference import difference_json, difference_text, notes_text
from dropwatch.render.layout import Layout
from tests.unit.names.hostile import HOSTILE

Find = Callable[..., Finding]
RULE = NftRule("udp dport 5000 drop", "inet", "filter", "input", handle=7)


def report(*sorts: Folded, lost: int = 0, **fields: Any) -> Report:
    usual: dict[str, Any] = {
        "program": "0.2.0", "kernel": "6.1", "machine": "x86_64", "began": 1795205701.0, "utc_offset": 3600,
        "seconds": 60.0, "source": "x.whydrop", "view": "findings", "asked": "", "made_by": "", "payload": False,
        "anonymized": False, "own_netns": None, "sorts": sorts, "apart": {}, "timeline": Timeline(0.0, 1.0),
        "totals": Totals({}, 0, 0, {"x": lost}, {}, ()),
    }  # fmt: skip
    return Report(**usual | fields)


def compared(before: Report, after: Report) -> Difference:
    return difference(
        *((one, {lasting_sort_of(sort.finding, None): sort for sort in one.sorts}) for one in (before, after))
    )


def test_text(make_finding: Find) -> None:
    new = Folded(make_finding(culprit=RULE, confidence="likely"), 1234, 0.0, 1.0)
    more = make_finding(cause_id="a", title="a thing")
    found = compared(
        report(Folded(more, 6, 0.0, 1.0)), report(new, Folded(more, 60, 0.0, 1.0, exact=False), lost=1)
    )
    assert difference_text(found, Layout(100)) == (
        "  A      x.whydrop: 2026-11-20 20:15:01 UTC, 60.0 s, Linux 6.1: 6 dropped packets of 1 sort\n"
        "  B      x.whydrop: 2026-11-20 20:15:01 UTC, 60.0 s, Linux 6.1: 1,294 dropped packets of 2 sorts\n"
        "\n"
        "  NEW    at least 1,234 packets (20.6/s)\n"
        "         authentication failed [ipsec.auth-failed, probably]\n"
        "         udp 10.9.0.1:40000 > 10.9.0.2:5000  in vb, netns b\n"
        "         nftables rule in inet filter input, handle 7: udp dport 5000 drop\n"
        "\n"
        "  MORE   6 (0.1/s) before, about 60 (1/s) after\n"
        "         a thing [a]\n"
        "         udp 10.9.0.1:40000 > 10.9.0.2:5000  in vb, netns b\n"
        "\n"
        "1 new, 0 gone, 1 more, 0 fewer, 0 as before\n"
    )
    assert notes_text(found, Layout(100)).startswith(
        "whydrop: B lost 1 event: its numbers are at least so many"
    )


def test_a_row_of_a_summary_is_of_any_flow(make_finding: Find) -> None:
    summary = report(Folded(make_finding(), 1, 0.0, 1.0, one_flow=False), view="summary", seconds=None)
    text = difference_text(compared(summary, report()), Layout(100))
    assert "  GONE   1 packet\n" in text
    assert "for example udp 10.9.0.1 > 10.9.0.2:5000" in text


def test_colours_are_for_a_terminal(make_finding: Find) -> None:
    found = compared(report(), report(Folded(make_finding(), 1, 0.0, 1.0)))
    assert "\x1b[31m1 packet" in difference_text(found, Layout(100, colour=True))
    assert "\x1b" not in difference_text(found, Layout(100))


@pytest.mark.parametrize("name", list(map(foreign, HOSTILE)))
def test_a_name_is_one_word_in_its_line(name: str, make_finding: Find) -> None:
    def text(name: str) -> str:
        rule = NftRule(name, "inet", name, name, 7)
        side = report(Folded(make_finding(culprit=rule, title=name), 1, 0.0, 1.0), source=name)
        return difference_text(compared(report(), side), Layout(100_000))

    assert all(line.isprintable() for line in text(name).split("\n"))
    assert text(name).count("\n") == text("0br").count("\n")


def test_json(make_finding: Find) -> None:
    found = compared(report(totals=None), report(Folded(make_finding(culprit=RULE), 6, 0.0, 1.0)))
    change, last = (json.loads(line) for line in difference_json(found))
    check(change)
    check(last)
    assert change["what"] == "new"
    assert change["before"] is None
    assert change["after"] == {
        "packets": 6, "exact": True, "per_second": 0.1,
        "first": "1970-01-01T00:00:00.000000Z", "last": "1970-01-01T00:00:01.000000Z",
    }  # fmt: skip
    assert change["finding"]["object"]["handle"] == 7
    assert (last["new"], last["after"]["packets"], last["before"]["events_lost"]) == (1, 6, None)
