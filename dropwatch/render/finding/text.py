"""The live text: each finding in a few lines, the same again as a count, and at the end a table of all."""

from collections.abc import Hashable, Iterable

from dropwatch.aggregate.sort import sort_of
from dropwatch.model.drop import Finding, Totals
from dropwatch.model.resent import Lost
from dropwatch.render import resent
from dropwatch.render.clock import time_words
from dropwatch.render.finding import full_page, packet_words, phrases, short_page
from dropwatch.render.finding.repeats import Repeats, Told
from dropwatch.render.finding.toll import Toll
from dropwatch.render.layout import Layout

_ERASE = "\r\x1b[K"
_MOST_SENT_AGAIN = 1024


class TextRenderer:
    """Findings for people. Times are local; `now` is any clock in seconds that only goes forward.

    `verbose` 1 has all evidence and fixes, 2 the kernel's stack as well, as `stack` has. `each`: nothing is counted.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        stack: bool = False,
        verbose: int = 0,
        each: bool = False,
        own_netns: int | None = None,
    ) -> None:
        self._layout = layout
        self._stack = stack or verbose > 1
        self._verbose = verbose > 0
        self._each = each
        self._own_netns = own_netns
        self._repeats = Repeats()
        self._toll = Toll(own_netns)
        self._sent_again: set[Hashable] = set()
        self._status = ""
        self._told_counts = False  # since the last finding

    def finding(self, finding: Finding, now: float) -> str:
        """The finding, or nothing when the same was told already: tick() counts it."""
        self._toll.count(finding)
        if self._each:
            return self._written(self._page(finding))
        key = (sort_of(finding), finding.drop.event.stack if self._stack else None)
        if self._repeats.again(key, finding.count, now):
            return ""
        forgotten = list(self._repeats.remember(key, self._what(finding), now))
        self._repeats.again(key, finding.count - 1, now)
        counted = [*forgotten, *self._repeats.due(now, everything=self._layout.in_place)]
        lines = [line for told in counted for line in self._count(told)]
        gap = [""] if lines or self._told_counts else []
        self._told_counts = False
        return self._written([*lines, *gap, *self._page(finding)])

    def tick(self, now: float) -> str:
        """The counts of bursts that are over; on a terminal the count so far, in place. To be called often."""
        if self._layout.in_place:
            return self._in_place()
        text = self._written(line for told in self._repeats.due(now) for line in self._count(told))
        self._told_counts = self._told_counts or bool(text)
        return text

    def sent_again(self, lost: Lost, now: float) -> str:
        """A line for the first connection between two addresses to a port, of each cause."""
        key = lost.saddr, lost.daddr, min(lost.sport, lost.dport), lost.cause_id, lost.function, lost.died
        if key in self._sent_again or len(self._sent_again) >= _MOST_SENT_AGAIN:
            return ""
        self._sent_again.add(key)
        self._told_counts = True
        return self._written(resent.later(lost, self._layout))

    def end(self, totals: Totals, now: float) -> str:
        """The counts that are still open, and the table. The closing statement is closing.py's, on standard error."""
        due = self._repeats.due(now, everything=True)
        counts = [line for told in due for line in self._count(told)]
        table = list(self._toll.lines(self._layout))
        gap = [""] if counts or self._told_counts else []  # behind a finding there is one already
        return self._written([*counts, *((*gap, *table, "") if table else ())])

    def headline(self, finding: Finding) -> list[str]:
        """When, which packet, where; who sent it where there is room, or where everything is asked for."""
        layout, drop = self._layout, finding.drop
        time = time_words(drop.time, layout.times)
        parts = (
            packet_words.said(drop),
            packet_words.particulars(drop.packet, everything=self._verbose),
            phrases.interface(drop, self._own_netns),
        )
        lines = layout.parts(parts, f"{time} " if time else "", "  ")
        if drop.process is not None:
            sent = layout.parts((*parts, f"of {drop.process.comm}"), f"{time} " if time else "", "  ")
            lines = sent if len(sent) == len(lines) else lines
        lines[0] = layout.paint(time, "dim") + layout.paint(lines[0].removeprefix(time), "bold")
        return lines

    def verdict(self, finding: Finding, head: int = 2) -> list[str]:
        """What stands under the headline, which has `head` lines; the stack where it was asked for."""
        layout = self._layout
        body = (
            full_page.verdict(finding, layout) if self._verbose else short_page.verdict(finding, layout, head)
        )
        return [*body, *(full_page.stack(finding, layout) if self._stack else ())]

    def _page(self, finding: Finding) -> list[str]:
        head = self.headline(finding)
        return [*head, *self.verdict(finding, len(head)), ""]

    def _what(self, finding: Finding) -> str:
        return f"{packet_words.flow_words(finding.drop)}  [{finding.cause_id}]"

    def _count(self, told: Told) -> list[str]:
        return self._layout.paragraph(_again(told), "  ", "      ")

    def _in_place(self) -> str:
        """The count of what came again last, with the others in short, on a line that is written again."""
        told = self._repeats.open()
        if not told:
            return ""
        others = len(told) - 1
        rest = f" (and {others} more)" if others else ""
        (status, *_) = self._layout.block("  ", _again(told[0]), tail=rest, most=1)
        if status == self._status:
            return ""
        self._status = status
        return f"{_ERASE}{status}"

    def _written(self, lines: Iterable[str]) -> str:
        text = "\n".join(lines)
        if not text:
            return ""
        erased, self._status = (_ERASE if self._status else ""), ""
        return f"{erased}{text}\n"


def _again(told: Told) -> str:
    long = f" in {told.elapsed:.1f} s" if told.elapsed >= 0.05 else ""
    return f"... {told.again:,} more{long}: {told.what}"
