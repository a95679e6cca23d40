"""The full screen of a summary as lines: what stands where, without a terminal."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from dropwatch.model.summary import Outside, Summary, SummaryRow
from dropwatch.names.foreign import printable
from dropwatch.render.finding.text import TextRenderer
from dropwatch.render.layout import Layout
from dropwatch.render.summary import phrases
from dropwatch.render.summary.keys import Look

Style = Literal["plain", "bold", "dim", "selected", "heading", "certain", "likely"]
_HEAD_LINES, _PANEL_LINES, _BESIDE_LINES, _KEY_LINES = 4, 5, 2, 1
_FEWEST_ROWS = 3
_WIDE = 132  # columns in which the place stands beside
_SPARK = 10
_LEAST_FOR_SPARKS = 72  # columns; with fewer two rules would look alike
_KEYS = {
    "rows": "Up/Down Enter:explain s:sort /:filter o:other counters p:pause ?:help q:leave",
    "row": "Esc:back  Up/Down:scroll  p:pause  ?:help  q:leave",
    "beside": "Esc:back  Up/Down:scroll  p:pause  ?:help  q:leave",
    "help": "Esc:back  Up/Down:scroll  q:leave",
}
_HELP = (
    ("Each row is one sort of drops: the same cause, place, reason and object.", ""),
    ("per s", "packets a second, since the last summary"),
    ("total", "packets since the start, counted in the kernel: exact"),
    ("1 minute", "the last minute; the highest bar is the most of this row"),
    ("what", "the rule that drops them, else what happened; ... after ports: not all packets were looked at"),
    ("", "the cause is that of the packets that were looked at: the 1st, 2nd, 4th, ..."),
    ("", "red: certain; yellow: probably; dim: none of it came since the last summary"),
    ("below", "the row that is selected, in full; then what died where whydrop cannot see it"),
    ("Keys", ""),
    ("Up, Down, k, j", "select a row; also Page up, Page down, Home, End"),
    ("Enter", "the row's explanation: evidence, what to do, the kernel's stack"),
    ("s, r", "sort by rate, total, since, why; the other way round"),
    ("/", "only rows that contain a text; Esc shows all again"),
    ("o", "counters of NIC, queues and protocols, and the flows that lost most"),
    ("p, Space", "pause; it goes on counting"),
    ("?", "this page; any of Esc, Enter, ? leads back"),
    ("q", "leave"),
)
_TYPING_KEYS = "type what the rows must contain  Enter:done  Esc:no filter"


class Line(NamedTuple):
    text: str
    style: Style = "plain"


class SummaryPage:
    """Lays summaries out; with `blocks` the terminal knows the characters of sparklines."""

    def __init__(self, own_netns: int | None, *, blocks: bool = True) -> None:
        self._own_netns = own_netns
        self._blocks = blocks

    def lines(self, summary: Summary | None, look: Look, width: int, height: int) -> list[Line]:
        """At most `height` lines of at most `width` columns, the keys in the last one."""
        keys = _TYPING_KEYS if look.typing else _KEYS[look.page]
        room = max(0, height - _KEY_LINES)
        if summary is None:
            body = [Line("whydrop summary", "bold"), Line("counting ...")]
        elif look.page == "rows":
            body = self._rows_page(summary, look, width, room)
        else:
            whole = list(self._page(summary, look, width))
            look.scroll = max(0, min(look.scroll, len(whole) - room))
            body = whole[look.scroll :]
        body = [*body[:room], *[Line("")] * (room - len(body)), Line(keys, "dim")]
        return [Line(fitted(line.text, width), line.style) for line in body[:height]]

    def _page(self, summary: Summary, look: Look, width: int) -> Iterator[Line]:
        if look.page == "help":
            return _help(width)
        return self._row(summary, look, width) if look.page == "row" else self._beside(summary, width)

    def _rows_page(self, summary: Summary, look: Look, width: int, room: int) -> list[Line]:
        rows = look.rows(summary.rows)
        beside = [] if room < 12 else self._beside_in_short(summary, width)
        panel = [] if room < 16 else self._panel(rows[look.at(rows)] if rows else None, width)
        body = max(_FEWEST_ROWS, room - _HEAD_LINES - len(panel) - len(beside))
        at = look.at(rows)
        first = max(0, min(at - body // 2, len(rows) - body))
        table = [
            self._line(row, width, selected=first + n == at)
            for n, row in enumerate(rows[first : first + body])
        ]
        if not rows:
            table = [Line("  no row contains that" if summary.rows else "  nothing has died here yet", "dim")]
        padding = [Line("")] * (body - len(table))
        return [*self._head(summary, look, len(rows), width), *table, *padding, *panel, *beside]

    def _head(self, summary: Summary, look: Look, shown: int, width: int) -> list[Line]:
        total = sum(row.packets for row in summary.rows)
        elapsed = phrases.duration(summary.time - summary.since)
        per_second = phrases.rate(sum(row.rate for row in summary.rows))
        left = f"{phrases.number(total)} dropped, {per_second}/s"
        right = f"{'PAUSED  ' if look.paused else ''}{phrases.clock(summary.time)}"
        history = [sum(column) for column in zip(*(row.history for row in summary.rows), strict=False)]
        spark = phrases.sparkline(history, min(60, max(10, width - 20)), blocks=self._blocks)
        order = f"sorted by {look.order}{', backwards' if look.backwards else ''}"
        choice = f"{shown} of {len(summary.rows)} rows, {order}"
        if look.text or look.typing:
            choice += f", with {look.text!r}" + ("_" if look.typing else "")
        harmless = sum(summary.suppressed.values())
        if harmless:
            choice += f"; {phrases.number(harmless)} harmless not shown"
        minute = f"{'1 minute':>{_SPARK}}  " if width >= _LEAST_FOR_SPARKS else ""
        heading = f"{'per s':>7} {'total':>11}  {minute}what"
        since = f"since {phrases.clock(summary.since)} ({elapsed})"
        return [
            Line(_ends(f"{left}  {since}", right, width), "bold"),
            Line(f"last minute {spark}"),
            Line(choice, "dim"),
            Line(heading.ljust(width), "heading"),
        ]

    def _line(self, row: SummaryRow, width: int, *, selected: bool) -> Line:
        spark = ""
        if width >= _LEAST_FOR_SPARKS:
            spark = f"{phrases.sparkline(row.history, _SPARK, blocks=self._blocks)}  "
        text = f"{phrases.rate(row.rate):>7} {phrases.number(row.packets):>11}  {spark}{phrases.what(row)}"
        if width >= _WIDE:
            text += f"  {phrases.where(row, self._own_netns)}"
        if selected:
            return Line(fitted(printable(text), width).ljust(width), "selected")
        return Line(printable(text), _style(row))

    def _panel(self, row: SummaryRow | None, width: int) -> list[Line]:
        """The selected row in words."""
        lines = [Line("-" * width, "dim")]
        if row is not None:
            since = f"since {phrases.clock(row.first)}, {phrases.number(row.samples)} looked at"
            beside = f"[{phrases.cause(row)}] {phrases.where(row, self._own_netns)}"
            what = Layout(width).paragraph(phrases.what(row))
            lines += map(
                Line, (*what[: _PANEL_LINES - 3], beside, "; ".join(filter(None, (since, row.note))))
            )
        return [*lines, *[Line("")] * _PANEL_LINES][:_PANEL_LINES]

    def _beside_in_short(self, summary: Summary, width: int) -> list[Line]:
        """What no row holds; where there is none, what other counters say."""
        hidden, others = phrases.beside(summary.outside)
        shown = (hidden or others)[:_BESIDE_LINES]
        lines = [Line("-" * width, "dim")] if shown else []
        for one in shown:
            label = "not seen dying: " if hidden else "counters: "
            lines.append(
                Line(printable(label + phrases.outside(one, self._own_netns)), "bold" if hidden else "dim")
            )
        return lines

    def _row(self, summary: Summary, look: Look, width: int) -> Iterator[Line]:
        """One row's explanation: what its last sample had, in full."""
        row = next((row for row in summary.rows if row.key == look.selected), None)
        if row is None:
            yield Line("this row is gone: what was known of it has changed", "dim")
            return
        layout = Layout(width)
        head = f"{phrases.number(row.packets)} packets, {phrases.rate(row.rate)}/s, since {phrases.clock(row.first)}"
        yield Line(head, "bold")
        yield Line(f"last minute {phrases.sparkline(row.history, min(60, width - 14), blocks=self._blocks)}")
        for text in layout.paragraph(row.note or ""):
            yield Line(text, "likely")
        if row.finding is None:
            yield from map(Line, layout.paragraph(phrases.where(row, self._own_netns)))
            return
        looked = "1 packet was" if row.samples == 1 else f"{phrases.number(row.samples)} packets were"
        yield Line(f"{looked} looked at; this is the last of them:", "dim")
        yield Line("")
        page = TextRenderer(layout, verbose=2, own_netns=self._own_netns)
        yield from map(Line, page.finding(row.finding, 0.0).splitlines())

    def _beside(self, summary: Summary, width: int) -> Iterator[Line]:
        layout = Layout(width)
        hidden, others = phrases.beside(summary.outside)
        yield from self._section("lost where whydrop cannot see it die", hidden, layout)
        yield from self._section("other counters; what they count may be in the rows as well", others, layout)
        yield Line("flows that lost most, the harmless included", "bold")
        for flow in summary.flows:
            yield from map(
                Line, layout.paragraph(f"{phrases.number(flow.packets)} {phrases.flow(flow)}", "  ", "    ")
            )

    def _section(self, heading: str, found: Sequence[Outside], layout: Layout) -> Iterator[Line]:
        yield Line(heading, "bold")
        for one in found:
            yield from map(Line, layout.paragraph(phrases.outside(one, self._own_netns), "  ", "    "))
        if not found:
            yield Line("  none has risen", "dim")
        yield Line("")


def _help(width: int) -> Iterator[Line]:
    layout = Layout(width)
    for name, text in _HELP:
        if not text:
            yield from (Line(line, "bold") for line in layout.paragraph(name))
        else:
            lead = f"  {name:<14}  "
            yield from map(Line, layout.paragraph(text, lead, " " * len(lead)))


def _style(row: SummaryRow) -> Style:
    if not row.new:
        return "dim"
    return "certain" if row.confidence == "certain" else "likely" if row.confidence == "likely" else "plain"


def _ends(left: str, right: str, width: int) -> str:
    """Both in one line, the second one at its end; of the first what fits."""
    return f"{fitted(left, max(0, width - len(right) - 1)).ljust(max(0, width - len(right)))}{right}"


def fitted(text: str, width: int) -> str:
    """What fits into so many columns; the last is an ellipsis where something is missing."""
    if len(text) <= width and text.isascii():
        return text
    used = 0
    for at, character in enumerate(text):
        used += _columns(character)
        if used > width:
            return _cut(text[:at], width)
    return text


def _cut(text: str, width: int) -> str:
    while text and sum(map(_columns, text)) > width - 1:
        text = text[:-1]
    return f"{text}…" if width else ""


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
