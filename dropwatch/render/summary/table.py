"""A summary as a table of 80 columns, for pipes and for terminals that cannot do more."""

from collections.abc import Iterator

from tabulate import MIN_PADDING, tabulate

from dropwatch.model.summary import Summary, SummaryRow
from dropwatch.names.foreign import printable
from dropwatch.render.layout import Layout
from dropwatch.render.summary import phrases

_WIDTH = 80
_HEADS = ("per s", "total", "why", "by, where")
_CAUSE_WIDTH = 24
_GAPS = 3 * 2  # between four columns
_MOST_ROWS = 30
_MOST_FLOWS = 3
_MOST_OUTSIDE = 6


class SummaryTable:
    """Summaries for people. `own_netns` is the namespace that needs no name."""

    def __init__(self, layout: Layout, own_netns: int | None) -> None:
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
        heads = [
            " " * (len(head) + MIN_PADDING) for head in _HEADS
        ]  # as wide as tabulate makes them at least
        wide = sum(max(map(len, column)) for column in zip(heads[:2], *numbers, strict=True))
        causes = min(_CAUSE_WIDTH, max(len(_cause(row)) for row in shown))
        room = _WIDTH - _GAPS - wide - max(causes, len(heads[2]))
        rows = [(*pair, _cause(row), self._by(row)) for pair, row in zip(numbers, shown, strict=True)]
        yield from tabulate(
            rows,
            _HEADS,
            tablefmt="simple",
            disable_numparse=True,
            colalign=("right", "right", "left", "left"),
            maxcolwidths=[None, None, causes, room],
        ).splitlines()
        if len(summary.rows) > len(shown):
            rest = summary.rows[len(shown) :]
            packets = phrases.number(sum(row.packets for row in rest))
            yield f"... and {len(rest)} more rows with {packets} packets"

    def _by(self, row: SummaryRow) -> str:
        parts = (phrases.what_did_it(row), phrases.where(row, self._own_netns), row.note or "")
        return "\n".join(printable(part) for part in parts if part)

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


def _cause(row: SummaryRow) -> str:
    """A dot or a hyphen is where it may be broken."""
    text = phrases.cause(row)
    if row.also:
        text += f", also {', '.join(row.also)}"
    return printable(text)
