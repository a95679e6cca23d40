"""The table after a run: what died, how often, and of what, the most first."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import field

from dropwatch.aggregate.sort import Sort, did_it, toll_of
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Finding
from dropwatch.render.finding import objects, packet_words, phrases
from dropwatch.render.layout import Layout

_MOST_ROWS = 20
_MOST_REMEMBERED = 4096
_MOST_FLOWS = 64
_LEAST_FOR_FLOWS = 36
_PACKETS = "packets"


@dataclass(slots=True)
class _Row:
    """Packets of one cause and object, and whose they were."""

    cause: str
    by: str
    packets: int = 0
    flows: Counter[str] = field(default_factory=Counter)


class Toll:
    """Counts findings as they are told."""

    def __init__(self, own_netns: int | None) -> None:
        self._own_netns = own_netns
        self._rows: dict[Sort, _Row] = {}
        self._others = 0

    def count(self, finding: Finding) -> None:
        """One finding, with all that it stands for."""
        key = toll_of(finding)
        row = self._rows.get(key)
        if row is None and len(self._rows) >= _MOST_REMEMBERED:
            self._others += finding.count
            return
        if row is None:
            by = objects.with_owner(finding) if did_it(finding) else ""
            row = self._rows[key] = _Row(finding.cause_id, by)
        row.packets += finding.count
        flow = self._flow(finding)
        row.flows[flow if flow in row.flows or len(row.flows) < _MOST_FLOWS else ""] += finding.count

    def lines(self, layout: Layout) -> Iterator[str]:
        """Nothing where it would say no more than the finding did."""
        if len(self._rows) < 2:
            return
        rows = sorted(self._rows.values(), key=lambda row: -row.packets)
        shown = rows[:_MOST_ROWS]
        rest = sum(row.packets for row in rows[_MOST_ROWS:]) + self._others
        numbers = max(len(_PACKETS), len(f"{max(rows[0].packets, rest):,}"))
        room = " " * (numbers + 4)
        causes = max(len(row.cause) for row in shown)
        widest = max(len(word) for row in shown for word in _flows(row).split())
        beside = len(room) + causes + 2 + max(widest, _LEAST_FOR_FLOWS) <= layout.columns
        causes = causes if beside else 0
        yield f"  {_PACKETS:>{numbers}}  {'cause':<{causes}}  what died, and by what"
        for row in shown:
            head = f"  {row.packets:>{numbers},}  {row.cause:<{causes}}"
            if beside:
                yield from layout.paragraph(_flows(row), f"{head}  ")
            else:
                yield head
                yield from layout.paragraph(_flows(row), room)
            if row.by:
                yield from layout.paragraph(row.by, room, f"{room}  ")
        if rest:
            sorts = "" if self._others else f" of {len(rows) - _MOST_ROWS} other sorts"
            yield f"  {rest:>{numbers},}  others{sorts}"

    def _flow(self, finding: Finding) -> str:
        netns = phrases.netns(finding.drop, self._own_netns)
        return ", ".join(word for word in (packet_words.flow_words(finding.drop), netns) if word)


def _flows(row: _Row) -> str:
    """The most frequent, and how many the others are."""
    flow, packets = row.flows.most_common(1)[0]
    more = len(row.flows) - 1
    which = "another flow" if more == 1 else f"{more} other flows"
    others = f"; {row.packets - packets:,} of {which}" if more else ""
    return f"{flow or 'many flows'}{others}"
