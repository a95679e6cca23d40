"""A summary as a table of 80 columns, for pipes and for terminals that cannot do more."""

from collections.abc import Iterator

from dropwatch.model.summary import Summary, SummaryRow
from dropwatch.render.layout import Layout
from dropwatch.render.summary import phrases

_WIDTH = 80
_HEADS = ("per s", "total", "what")
_MOST_ROWS = 30
_MOST_FLOWS = 3
_MOST_OUTSIDE = 6


class SummaryTable:
    """Summaries for people. `own_netns` is the namespace that needs no name.

    The kernel's function and reason stand there where the cause is unknown, else only in a `verbose` one.
    """

    def __init__(self, layout: Layout, own_netns: int | None, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._layout = Layout(_WIDTH, layout.colour)
        self._own_netns = own_netns

    def summary(self, summary: Summary) -> str:
        head = f"{phrases.clock(summary.time)}  "
        text = phrases.headline(summary)
        if not summary.rows and (first := next(iter(phrases.beside(summary.outside)[0]), None)) is not None:
            text += f"; {phrases.outside(first, self._own_netns)}"
        lines = [
            *self._layout.paragraph(text, head),
            *self._table(summary),
            *self._flows(summary),
            *self._beside(summary),
            "",
        ]
        return "\n".join(lines) + "\n"

    def _table(self, summary: Summary) -> Iterator[str]:
        shown = summary.rows[:_MOST_ROWS]
        if not shown:
            return
        numbers = [(phrases.rate(row.rate), phrases.number(row.packets)) for row in shown]
        widths = [max(map(len, column)) for column in zip(_HEADS[:2], *numbers, strict=True)]
        yield self._layout.paint(self._numbers(_HEADS[:2], widths) + _HEADS[2], "bold")
        for row, pair in zip(shown, numbers, strict=True):
            yield from self._row(row, self._numbers(pair, widths))
        if len(summary.rows) > len(shown):
            rest = summary.rows[len(shown) :]
            packets = phrases.number(sum(row.packets for row in rest))
            yield f"... and {len(rest)} more rows with {packets} packets"

    def _row(self, row: SummaryRow, numbers: str) -> Iterator[str]:
        """What happened, then where it did, its cause's id, and what there is to note."""
        room = " " * len(numbers)
        yield from self._layout.paragraph(phrases.what(row), numbers, room)
        in_full = self._verbose or row.cause_id == "unknown"
        where = (phrases.where if in_full else phrases.interface)(row, self._own_netns)
        for text in (f"[{phrases.cause(row)}] {where}", row.note or ""):
            for line in self._layout.paragraph(text, f"{room}  ", f"{room}  ") if text else ():
                yield self._layout.paint(line, "dim")

    def _numbers(self, numbers: tuple[str, ...], widths: list[int]) -> str:
        return "".join(f"{number:>{width}}  " for number, width in zip(numbers, widths, strict=True))

    def _flows(self, summary: Summary) -> Iterator[str]:
        label = "flows: "
        for flow in summary.flows[:_MOST_FLOWS]:
            text = f"{phrases.number(flow.packets)} {phrases.flow(flow)}"
            yield from self._layout.paragraph(text, label, " " * len(label))
            label = " " * len(label)

    def _beside(self, summary: Summary) -> Iterator[str]:
        hidden, others = phrases.beside(summary.outside)
        for label, found in (("not seen dying: ", hidden), ("other counters: ", others)):
            for one in found[:_MOST_OUTSIDE]:
                yield from self._layout.paragraph(
                    phrases.outside(one, self._own_netns), label, " " * len(label)
                )
            if len(found) > _MOST_OUTSIDE:
                yield f"{' ' * len(label)}and {len(found) - _MOST_OUTSIDE} more (--json has all)"
