"""The findings of a whole run, folded by sort while it goes on: memory is bounded, every packet is counted."""

from collections import Counter
from collections.abc import Callable
from typing import get_args

from dropwatch.aggregate.sort import NO_FLOW, Sort, sort_of
from dropwatch.aggregate.timeline import Stretches
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Confidence, Finding
from dropwatch.model.kept import Window
from dropwatch.model.report import Folded, Timeline
from dropwatch.model.summary import Summary, SummaryRow

MOST_SORTS = 4096  # each takes some 10 KiB
_LATEST = float(1 << 35)  # seconds since 1970
_ANY_FLOW = "of more flows than the recorder tells apart: this is one of them"
_MIXED = "of more sorts than the recorder tells apart: only the cause is that of all"
_SUREST_FIRST: tuple[Confidence, ...] = get_args(Confidence)


@dataclass(slots=True)
class _Held:
    finding: Finding
    packets: int
    first: float
    last: float
    one_flow: bool
    exact: bool
    notes: dict[str, None]


class Folding:
    """Takes findings, or the summaries of a run that counts in the kernel, of which the last one holds.

    `key` says what is one sort. Beyond MOST_SORTS packets are only counted: `apart`, by why.
    """

    def __init__(self, key: Callable[[Finding], Sort] = sort_of) -> None:
        self._key = key
        self._held: dict[Sort, _Held] = {}
        self._stretches = Stretches()
        self.apart: Counter[str] = Counter()

    def add(self, finding: Finding) -> None:
        """A finding, with as many packets as it stands for."""
        time = finding.drop.time
        self._stretches.add(finding.cause_id, time, finding.count)
        self._hold(self._key(finding), finding, finding.count, time, time)

    def take(self, summary: Summary) -> None:
        """What was counted so far, instead of what was taken before."""
        self._held.clear()
        self.apart.clear()
        for row in summary.rows:
            if row.new:
                self._stretches.add(row.cause_id, summary.time, row.new)
            self._take_row(row)

    def take_window(self, window: Window) -> None:
        """What the recorder counted: of many flows, or of a cause, where more came than it tells apart."""
        for row in window.rows:
            for minute, packets in row.minutes:
                self._stretches.add(row.finding.cause_id, minute * 60.0, packets)
            sort = self._key(row.finding)
            if not row.flows:
                sort = sort._replace(flow=NO_FLOW)
            if row.mixed:
                sort = sort._replace(culprit=None, place=(), direction=None, iface=None, netns=None)
            held = self._hold(sort, row.finding, row.packets, _sane(row.first), _sane(row.last))
            if held is None or row.flows:
                continue
            held.one_flow = False
            held.exact = held.exact and not row.mixed
            held.notes[_MIXED if row.mixed else _ANY_FLOW] = None

    @property
    def sorts(self) -> dict[Sort, Folded]:
        """The sort with most packets first."""
        held = sorted(self._held.items(), key=lambda item: (-item[1].packets, item[1].first))
        return {sort: _folded(one) for sort, one in held}

    @property
    def timeline(self) -> Timeline:
        return self._stretches.timeline()

    def _take_row(self, row: SummaryRow) -> None:
        if row.finding is None:
            place = row.where.function or "an unknown place"
            self.apart[f"died in {place}, and none of them was looked at"] += row.packets
            return
        sort = self._key(row.finding)._replace(flow=NO_FLOW)
        held = self._hold(sort, row.finding, row.packets, _sane(row.first), _sane(row.last))
        if held is None:
            return
        held.one_flow = False  # a row counts packets of any flow
        held.exact = held.exact and not row.also
        if row.note:
            held.notes[row.note] = None

    def _hold(self, sort: Sort, finding: Finding, packets: int, first: float, last: float) -> _Held | None:
        held = self._held.get(sort)
        if held is None:
            if len(self._held) >= MOST_SORTS:
                self.apart[f"{finding.cause_id}, beyond the first {MOST_SORTS} sorts"] += packets
                return None
            held = self._held[sort] = _Held(finding, packets, first, last, True, True, {})
            return held
        held.packets += packets
        held.first, held.last = min(held.first, first), max(held.last, last)
        held.one_flow = held.one_flow and _ports(held.finding) == _ports(finding)
        if _SUREST_FIRST.index(finding.confidence) >= _SUREST_FIRST.index(held.finding.confidence):
            held.finding = finding
        return held


def _sane(time: float) -> float:
    """A recording may say anything; times of events were looked at when they were read."""
    return min(max(time, 0.0), _LATEST)


def _ports(finding: Finding) -> tuple[int | None, int | None]:
    return finding.drop.packet.sport, finding.drop.packet.dport


def _folded(held: _Held) -> Folded:
    note = "; ".join(held.notes) or None
    return Folded(held.finding, held.packets, held.first, held.last, held.one_flow, held.exact, note)
