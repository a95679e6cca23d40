"""What the page says of the run as a whole: its numbers, which add up, and what is known of it."""

from collections.abc import Iterator, Mapping

from dropwatch.model.report import Report
from dropwatch.render.page.clock import Clock, duration
from dropwatch.render.page.cut import cut

_MOST_LISTED = 50


def figures(report: Report) -> list[tuple[str, str, str]]:
    """Rows of a name, a number, and what it is made of. `told here` is the sum of what the page lists."""
    totals = report.totals
    told = sum(one.packets for one in report.sorts) + sum(report.apart.values())
    rows = [("on this page", f"{told:,}", f"{len(report.sorts):,} sorts" if report.sorts else "")]
    if totals is None:
        return rows
    if totals.seen_by is None:
        rows.insert(0, ("seen in all", "not known", "the recording has no end"))
    else:
        rows.insert(0, ("seen in all", f"{sum(totals.seen_by.values()):,}", _list(totals.seen_by)))
    if totals.matched != told:
        rows.insert(1, ("matched", f"{totals.matched:,}", ""))
    if totals.suppressed:
        harmless = sum(totals.suppressed.values())
        rows.append(("harmless, left out", f"{harmless:,}", _list(totals.suppressed)))
    if totals.lost:
        rows.append(("lost on the way", f"{sum(totals.lost.values()):,}", _list(totals.lost)))
    if totals.journeys is not None:
        followed = sum(totals.journeys.values())
        rows.append(("packets followed", f"{followed:,}", _list(totals.journeys)))
    return rows


def not_exact(report: Report) -> list[str]:
    """Why numbers may be too small, in sentences."""
    totals, found = report.totals, []
    if totals is not None and totals.lost and sum(totals.lost.values()):
        lost = sum(totals.lost.values())
        events = "1 event was" if lost == 1 else f"{lost:,} events were"
        found.append(f"{events} lost on the way to whydrop: the numbers below are at least so many.")
    if any(not one.exact for one in report.sorts):
        found.append(
            "A number with ~ is of packets that were counted together: not all need be of that sort."
        )
    return found


def facts(report: Report, clock: Clock) -> list[tuple[str, str]]:
    """What is to be known of the run and its host."""
    return [(name, cut(value)) for name, value in _facts(report, clock) if value]


def _facts(report: Report, clock: Clock) -> Iterator[tuple[str, str]]:
    yield "recording", report.source or ""
    yield "began", clock.full(report.began)
    yield "watched for", "not known" if report.seconds is None else duration(report.seconds)
    yield "kernel", f"Linux {report.kernel} {report.machine}".strip() if report.kernel else ""
    yield "whydrop", report.program
    yield "command", f"whydrop {report.asked}" if report.asked else ""
    yield "page made by", f"whydrop {report.made_by}" if report.made_by not in ("", report.asked) else ""
    yield "command was", "" if report.view in ("findings", "window") else report.view
    yield "packets", "with payload" if report.payload else "headers only, payload blanked"
    yield "addresses", "replaced by others, alike for alike" if report.anonymized else "as they were"
    yield "times", "local time of that host"


def _list(counts: Mapping[str, int]) -> str:
    """`kfree_skb 117, tcp_conn_request 3`, the largest first, without what counted nothing."""
    ordered = sorted(((name, count) for name, count in counts.items() if count), key=lambda item: -item[1])
    more = f", and {len(ordered) - _MOST_LISTED:,} more" if len(ordered) > _MOST_LISTED else ""
    return ", ".join(f"{name} {count:,}" for name, count in ordered[:_MOST_LISTED]) + more
