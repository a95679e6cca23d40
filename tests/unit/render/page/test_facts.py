"""The numbers of the page, which add up, and what is said of the run."""

from collections.abc import Callable
from dataclasses import replace

from dropwatch.model.drop import Finding, Totals
from dropwatch.model.report import Report
from dropwatch.render.page.clock import Clock
from dropwatch.render.page.facts import facts, figures, not_exact

Build = Callable[..., Report]
Find = Callable[..., Finding]


def numbers(report: Report) -> dict[str, str]:
    return {name: number for name, number, _ in figures(report)}


def test_they_add_up(make_report: Build, make_finding: Find) -> None:
    report = make_report(make_finding(count=1200), make_finding(cause_id="unknown"))
    assert figures(report) == [
        ("seen in all", "1,203", "kfree_skb 1,203"),
        ("on this page", "1,201", "2 sorts"),
        ("harmless, left out", "2", "benign.unix-socket 2"),
    ]
    assert not_exact(report) == []


def test_what_is_not_on_the_page_is_told(make_report: Build, make_finding: Find) -> None:
    totals = Totals({"kfree_skb": 9, "other": 0}, 7, 5, {"ring buffer full": 1, "x": 2}, {}, (), {"sent": 3})
    report = make_report(make_finding(count=4), totals=totals, apart={"x": 1})
    assert numbers(report) == {
        "seen in all": "9", "matched": "7", "on this page": "5", "lost on the way": "3", "packets followed": "3"
    }  # fmt: skip
    assert "other" not in {name: made for name, _, made in figures(report)}["seen in all"]
    assert not_exact(report)[0].startswith("3 events were lost on the way to whydrop")


def test_without_an_end_nobody_knows(make_report: Build, make_finding: Find) -> None:
    unknown = Totals(None, 1, 1, None, {}, ())
    assert numbers(make_report(make_finding(), totals=unknown))["seen in all"] == "not known"
    assert numbers(make_report(make_finding(), totals=None)) == {"on this page": "1"}


def test_what_was_counted_together_is_marked(make_report: Build, make_finding: Find) -> None:
    report = make_report(make_finding())
    mixed = replace(report, sorts=(replace(report.sorts[0], exact=False),))
    assert "with ~" in not_exact(mixed)[0]


def test_what_is_known_of_the_run(make_report: Build) -> None:
    found = dict(facts(make_report(), Clock(3600)))
    assert found["command"] == "whydrop --dport 5000"
    assert found["kernel"] == "Linux 6.12.1 x86_64"
    assert found["began"] == "2026-11-20 21:15:00 +01:00"
    assert found["watched for"] == "1 min 0 s"
    assert "page made by" not in found
    other = make_report(
        seconds=None,
        asked="",
        source=None,
        made_by="--dport 53",
        payload=True,
        anonymized=True,
        view="trace",
    )
    found = dict(facts(other, Clock(0)))
    assert found["watched for"] == "not known"
    assert found["page made by"] == "whydrop --dport 53"
    assert found["packets"] == "with payload"
    assert found["addresses"].startswith("replaced")
    assert found["command was"] == "trace"
    assert not {"command", "recording"} & set(found)
