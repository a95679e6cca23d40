"""What two recordings differ in, as text and as JSON."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone

from dropwatch.aggregate.difference import exact
from dropwatch.model.difference import Change, Difference, What
from dropwatch.model.report import Folded, Report
from dropwatch.render.finding import phrases, sort_words
from dropwatch.render.finding.json import drop_line
from dropwatch.render.layout import Layout
from dropwatch.render.lines import difference as lines
from dropwatch.render.lines.made import time_text
from dropwatch.render.lines.write import line

_HEADS: dict[What, tuple[str, str]] = {
    "new": ("NEW", "red"),
    "gone": ("GONE", "cyan"),
    "more": ("MORE", "yellow"),
    "fewer": ("FEWER", "cyan"),
}
_ROOM = " " * 9
_SURENESS = {"certain": "", "likely": ", probably", "unknown": ""}


def difference_text(found: Difference, layout: Layout) -> str:
    """The two runs, then what is new, more, fewer and gone, then how many of each."""
    written = [*_side("A", found.before, layout), *_side("B", found.after, layout), ""]
    for change in found.changes:
        if change.what != "same":
            written += [*_change(change, found, layout), ""]
    return "\n".join([*written, *layout.paragraph(_closing(found))]) + "\n"


def notes_text(found: Difference, layout: Layout) -> str:
    """For standard error."""
    parts = (layout.paragraph(note, "whydrop: ", "  ") for note in found.notes)
    return "".join(f"{text}\n" for part in parts for text in part)


def difference_json(found: Difference) -> Iterator[str]:
    """A line for each sort, also for one that is as before; then the last one."""
    for change in found.changes:
        yield line(
            lines.Change(
                what=change.what,
                before=_count(change.before, found.before),
                after=_count(change.after, found.after),
                finding=drop_line(_told(change).finding),
            )
        )
    counts = _counts(found)
    yield line(
        lines.Difference(
            before=_compared(found.before),
            after=_compared(found.after),
            new=counts["new"],
            gone=counts["gone"],
            more=counts["more"],
            fewer=counts["fewer"],
            same=counts["same"],
            notes=found.notes,
        )
    )


def _side(name: str, report: Report, layout: Layout) -> list[str]:
    began = f"{datetime.fromtimestamp(report.began, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    watched = "" if report.seconds is None else f", {report.seconds:.1f} s"
    packets, sorts = _number(_packets(report), "dropped packet"), _number(len(report.sorts), "sort")
    kernel = f", Linux {report.kernel}" if report.kernel else ""
    text = f"{report.source}: {began}{watched}{kernel}: {packets} of {sorts}"
    return layout.labelled(name, text)


def _change(change: Change, found: Difference, layout: Layout) -> Iterator[str]:
    head, colour = _HEADS[change.what]
    one = _told(change)
    finding, culprit = one.finding, one.finding.culprit
    report = found.before if change.after is None else found.after
    yield from layout.labelled(head, _numbers(change, found), colour)
    sure = _SURENESS[finding.confidence]
    yield from layout.paragraph(f"{finding.title} [{finding.cause_id}{sure}]", _ROOM)
    example = "for example " if report.view == "summary" else ""
    place = phrases.interface(finding.drop, report.own_netns)
    yield from layout.parts((f"{example}{sort_words.flow(one)}", place), _ROOM, f"{_ROOM}  ")
    if culprit is not None:
        yield from layout.paragraph(f"{sort_words.kind(culprit)}: {culprit.text}", _ROOM, f"{_ROOM}  ")


def _numbers(change: Change, found: Difference) -> str:
    """`23 packets (0.38/s)`, `10 packets (0.17/s), then 23 (0.38/s)`; `at least` where some were lost."""
    sides = [
        _many(one, report)
        for one, report in ((change.before, found.before), (change.after, found.after))
        if one is not None
    ]
    if len(sides) == 1:
        (words, rate) = sides[0]
        return f"{words} {'packet' if words == '1' else 'packets'}{rate}"
    (before, rate_before), (after, rate_after) = sides
    return f"{before}{rate_before} before, {after}{rate_after} after"


def _many(one: Folded, report: Report) -> tuple[str, str]:
    least = "" if exact(report) else "at least "
    about = "" if one.exact else "about "
    rate = _per_second(one, report)
    return f"{about or least}{one.packets:,}", "" if rate is None else f" ({rate:.3g}/s)"


def _closing(found: Difference) -> str:
    counts = _counts(found)
    return (
        f"{counts['new']} new, {counts['gone']} gone, {counts['more']} more, {counts['fewer']} fewer, "
        f"{counts['same']} as before"
    )


def _counts(found: Difference) -> Counter[str]:
    return Counter(change.what for change in found.changes)


def _told(change: Change) -> Folded:
    told = change.after or change.before
    assert told is not None
    return told


def _count(one: Folded | None, report: Report) -> lines.Count | None:
    if one is None:
        return None
    return lines.Count(
        packets=one.packets,
        exact=one.exact and exact(report),
        per_second=_per_second(one, report),
        first=time_text(one.first),
        last=time_text(one.last),
    )


def _compared(report: Report) -> lines.Compared:
    lost = report.totals.lost if report.totals is not None else None
    return lines.Compared(
        file=report.source or "",
        program=report.program,
        kernel=report.kernel,
        began=time_text(report.began),
        seconds=report.seconds,
        packets=_packets(report),
        sorts=len(report.sorts),
        events_lost=None if lost is None else sum(lost.values()),
    )


def _per_second(one: Folded, report: Report) -> float | None:
    return one.packets / report.seconds if report.seconds else None


def _packets(report: Report) -> int:
    return sum(one.packets for one in report.sorts) + sum(report.apart.values())


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
