"""What died in a window, as text and as JSON."""

from collections.abc import Iterator
from datetime import datetime

from dropwatch.aggregate.sort import did_it
from dropwatch.aggregate.things import folded
from dropwatch.model.kept import Died, Window
from dropwatch.render.finding import packet_words, phrases, sort_words
from dropwatch.render.finding.json import drop_line
from dropwatch.render.finding.text import TextRenderer
from dropwatch.render.layout import Layout
from dropwatch.render.lines import last as lines
from dropwatch.render.lines.made import time_text
from dropwatch.render.lines.write import line
from dropwatch.render.summary.phrases import duration, sparkline

BARS = 30  # of a row, at most
_ROOM = " " * 4
_SURENESS = {"certain": "", "likely": ", probably", "unknown": ""}
_A_DAY = 86400


class WindowView:
    """A window as a whole: lines of `json`, or `most` things at most with one finding of each at a higher verbosity."""

    def __init__(self, layout: Layout, *, json: bool, verbosity: int, most: int | None) -> None:
        self._layout, self._json, self._verbosity, self._most = layout, json, verbosity, most

    def window(self, window: Window) -> str:
        """A row of it is what a person would call one thing."""
        found = folded(window)
        if self._json:
            return "".join(last_json(found))
        return last_text(found, self._layout, verbosity=self._verbosity, most=self._most)


def last_text(found: Window, layout: Layout, *, verbosity: int = 0, most: int | None = None) -> str:
    """The window, then each thing with its counts; with -v one of its findings in full."""
    text = TextRenderer(layout, verbose=verbosity, each=True, own_netns=found.own_netns)
    written = [*layout.paragraph(_head(found), "", "  "), ""]
    shown = found.rows if most is None else found.rows[:most]
    for row in shown:
        written += [*_row(row, found, layout), ""]
        if verbosity:
            head = text.headline(row.finding)
            written += [*(f"{_ROOM}{one}" for one in (*head, *text.verdict(row.finding, len(head)))), ""]
    if len(shown) < len(found.rows):
        rest = found.rows[len(shown) :]
        written += [f"and {sum(row.packets for row in rest):,} packets of {len(rest)} more", ""]
    return "\n".join(written[:-1]) + "\n"


def notes_text(found: Window, layout: Layout) -> str:
    """What is to be known of these numbers, for standard error."""
    return "".join(f"{one}\n" for note in notes(found) for one in layout.paragraph(note, "whydrop: ", "  "))


def last_json(found: Window) -> Iterator[str]:
    """A line for each thing, then the window."""
    for row in found.rows:
        yield line(
            lines.Died(
                packets=row.packets,
                first=time_text(row.first),
                last=time_text(row.last),
                flows=row.flows or None,
                mixed=row.mixed,
                minutes=tuple(
                    lines.Minute(time=time_text(minute * 60.0), packets=packets)
                    for minute, packets in row.minutes
                ),
                finding=drop_line(row.finding),
            )
        )
    yield line(
        lines.Window(
            store=found.source,
            host=found.host,
            since=time_text(found.since),
            until=time_text(found.until),
            packets=found.packets,
            undecided=found.undecided,
            watched=tuple(
                lines.Stretch(since=time_text(begin), until=time_text(end)) for begin, end in found.watched
            ),
            seconds=found.seconds,
            killed=found.killed,
            events_lost=found.lost,
            unstored=found.unstored,
            kept_since=None if found.kept_since is None else time_text(found.kept_since),
        )
    )


def _head(found: Window) -> str:
    when = f"{_date(found.since)} to {_date(found.until)}"
    host = f" on {found.host}" if found.host else ""
    if not found.rows:
        return f"{when}{host}: no dropped packet that fits was seen"
    packets = f"{found.packets:,} dropped packet{'' if found.packets == 1 else 's'}"
    return f"{when}{host}: {packets}"


def _row(row: Died, found: Window, layout: Layout) -> Iterator[str]:
    finding = row.finding
    count = f"{row.packets:,} packet{'' if row.packets == 1 else 's'}"
    if found.until - found.since > _A_DAY:
        when = f"{_date(row.first)} to {_date(row.last)}"
    else:
        when = f"{_clock(row.first)} to {_clock(row.last)}"
    yield layout.paint(f"{count}, {when if row.packets > 1 else when.partition(' to ')[0]}", "bold")
    if row.packets > 1:
        yield f"{_ROOM}|{_bars(row, found)}|"
    sure = "" if row.mixed else _SURENESS[finding.confidence]
    yield from layout.paragraph(f"{finding.title} [{finding.cause_id}{sure}]", _ROOM)
    if row.mixed:
        yield from layout.paragraph("of more sorts than are told apart; one of them:", _ROOM)
    place = phrases.interface(finding.drop, found.own_netns)
    yield from layout.parts((_flow(row), place), _ROOM, f"{_ROOM}  ")
    if finding.culprit is not None and not row.mixed:
        kind = sort_words.kind(finding.culprit) if did_it(finding) else "nearest: "
        words = f"{kind.removesuffix(': ')}: {finding.culprit.text}"
        yield from layout.paragraph(words, _ROOM, f"{_ROOM}  ")
    owner = finding.owner or finding.drop.process
    if owner is not None and not row.mixed:
        yield from layout.paragraph(f"of {phrases.process(owner)}", _ROOM, f"{_ROOM}  ")


def _flow(row: Died) -> str:
    flow = packet_words.flow_words(row.finding.drop)
    if row.flows == 1:
        return flow
    others = f"{row.flows - 1} more" if row.flows else "many more"
    return f"{flow} and {others}"


def _bars(row: Died, found: Window) -> str:
    """The whole window from left to right, a minute or more a bar."""
    begin, end = int(found.since // 60), max(int(found.since // 60) + 1, -int(-found.until // 60))
    each = -(-(end - begin) // BARS)
    history = [0] * -(-(end - begin) // each)
    blank = -(end - begin) % each  # the last bar ends where the window does
    for minute, packets in row.minutes:
        if begin <= minute < end:
            history[(minute - begin + blank) // each] += packets
    return sparkline(history, len(history))


def notes(found: Window) -> Iterator[str]:
    """In sentences."""
    whole = found.until - found.since
    if not found.watched:
        yield f"nobody watched in this time, as far as {found.source} knows"
    elif found.seconds < whole - 1:
        yield f"watched for {duration(found.seconds)} of {duration(whole)} only: {_stretches(found)}"
    if found.killed:
        yield (
            "a recorder was killed or lost its power: what it saw in its last second is missing, and how many events "
            "could not be delivered to it"
        )
    if found.lost:
        yield f"{found.lost:,} events could not be delivered in the runs of this time"
    if found.unstored:
        yield f"{found.unstored:,} packets were counted and could not be stored"
    if found.undecided:
        yield (
            f"{found.undecided:,} packets more may fit or not: of too many sorts, so that only sums were kept"
        )
    if found.kept_since is not None and found.kept_since > found.since:
        yield f"what was before {_date(found.kept_since)} has been deleted: it was too old, or too much"


def _stretches(found: Window) -> str:
    shown = [f"{_date(begin)} to {_date(end)}" for begin, end in found.watched[:3]]
    more = len(found.watched) - len(shown)
    return ", ".join([*shown, *([f"and {more} more"] if more else [])])


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%H:%M:%S}"


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
