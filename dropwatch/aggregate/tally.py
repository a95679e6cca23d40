"""Counts by the kernel and judgements of a few samples become the rows of a summary; nothing is split by guess."""

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import field, replace

from dropwatch.model.culprits import Culprit
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Confidence, Drop, Event, Finding, Frame
from dropwatch.model.summary import Summary, SummaryRow

_MINUTE_SECONDS = 60.0
_NO_MATCH = "packets that do not fit the filter"
_NO_SAMPLE = "no sample of it has come: not known why, nor whether it fits the whole filter"
_SURENESS: tuple[Confidence, ...] = ("unknown", "likely", "certain")
_UNKNOWN = "unknown"
_LISTED = 3
_PORTS = 4
_SHORTEST_SECONDS = 0.001  # two clocks that are read one after the other
_NOWHERE = Frame(None, 0, None, 0)


@dataclass(slots=True)
class _Opinion:
    """What samples had in common: the last one's finding, None where they did not fit the filter."""

    finding: Finding | None
    weight: int = 0
    confidence: Confidence = "certain"


@dataclass(slots=True)
class _Sort:
    """What the kernel counts as one: its packets, those of the last summary, and what its samples had."""

    packets: int = 0
    told: int = 0
    opinions: dict[Hashable, _Opinion] = field(default_factory=dict)
    samples: Counter[int] = field(default_factory=Counter)  # by CPU
    first: float | None = None
    last: float = 0.0
    history: deque[tuple[int, int]] = field(default_factory=deque)  # number of the summary, new packets
    ports: dict[str, None] = field(default_factory=dict)  # of samples, the first few


class Tally:
    """Takes samples as they come, and the kernel's counts for each summary.

    `drop_of` makes of a row what is known without a sample; `held_back` says of a cause that it is harmless and not
    asked for. `interval` is in seconds, as every time here.
    """

    def __init__(
        self, drop_of: Callable[[bytes], Drop], held_back: Callable[[str], bool], interval: float, now: float
    ) -> None:
        self._drop_of = drop_of
        self._held_back = held_back
        self._slots = max(1, round(_MINUTE_SECONDS / interval))
        self._sorts: dict[Hashable, _Sort] = {}
        self._number = 0
        self._since = now

    def sample(self, event: Event, finding: Finding | None) -> None:
        """One packet that was looked at; None did not fit the filter. Without a row it is also counted here."""
        place = _place_key(finding.drop) if finding is not None else None
        key: Hashable = event.row or (event.source, _opinion_key(finding), place)
        sort = self._sorts.setdefault(key, _Sort())
        if not event.row:
            sort.packets += 1
        sort.samples[event.cpu] += 1
        opinion = sort.opinions.setdefault(_opinion_key(finding), _Opinion(finding))
        # The n-th sample of a CPU is its packet number 2^(n-1): it stands for those since the one before.
        opinion.weight += 1 << max(0, sort.samples[event.cpu] - 2)
        if finding is not None:
            opinion.finding = finding
            packet = finding.drop.packet
            if packet.dport is not None and len(sort.ports) < _PORTS:
                sort.ports[f"{packet.proto} {packet.dport}"] = None
            opinion.confidence = _less_sure(opinion.confidence, finding.confidence)
            time = finding.drop.time
            sort.first = time if sort.first is None else min(sort.first, time)
            sort.last = max(sort.last, time)

    def summary(
        self, counts: Mapping[bytes, int], now: float, seconds: float, *, complete: bool = False
    ) -> Summary:
        """What has died up to `now`, by the kernel's counts of that moment, `seconds` after the last ones."""
        self._number += 1
        for row, packets in counts.items():
            self._sorts.setdefault(row, _Sort()).packets = packets
        seconds = max(seconds, _SHORTEST_SECONDS)
        rows: dict[Hashable, SummaryRow] = {}
        suppressed: Counter[str] = Counter()
        not_matched = 0
        for key, sort in self._sorts.items():
            new = self._pass(sort, now)
            if not sort.packets:  # its sample was faster than its count
                continue
            findings = [one.finding for one in _heaviest_first(sort) if one.finding is not None]
            if sort.opinions and not findings:
                not_matched += sort.packets
            elif findings and len(findings) == len(sort.opinions) and self._all_held_back(findings):
                causes = dict.fromkeys(finding.cause_id for finding in findings)
                suppressed[" or ".join(causes)] += sort.packets
            else:
                row_of = self._row(key, sort, new, seconds, now)
                before = rows.get(row_of.key)
                rows[row_of.key] = row_of if before is None else _added(before, row_of)
        return Summary(
            time=now,
            seconds=seconds,
            since=self._since,
            rows=tuple(sorted(rows.values(), key=lambda row: (-row.new, -row.packets, row.key))),
            counted=sum(sort.packets for sort in self._sorts.values()),
            suppressed=dict(suppressed),
            not_matched=not_matched,
            complete=complete,
        )

    def _pass(self, sort: _Sort, now: float) -> int:
        """How many came since the last summary, noted in the history."""
        new, sort.told = sort.packets - sort.told, sort.packets
        if new:
            sort.history.append((self._number, new))
            sort.first = now if sort.first is None else sort.first
            sort.last = max(sort.last, now)
        while sort.history and sort.history[0][0] <= self._number - self._slots:
            sort.history.popleft()
        return new

    def _all_held_back(self, findings: Iterable[Finding]) -> bool:
        return all(self._held_back(finding.cause_id) for finding in findings)

    def _row(self, key: Hashable, sort: _Sort, new: int, seconds: float, now: float) -> SummaryRow:
        opinions = _heaviest_first(sort)
        main = next((one for one in opinions if one.finding is not None), None)
        counted = SummaryRow(
            key="",
            cause_id=_UNKNOWN,
            title="not looked at yet",
            confidence="unknown",
            where=_NOWHERE,
            reason=None,
            culprit=None,
            iface=None,
            netns=None,
            packets=sort.packets,
            new=new,
            rate=new / seconds,
            first=now if sort.first is None else sort.first,
            last=sort.last,
            samples=sum(sort.samples.values()),
            history=self._history(sort),
            ports=tuple(sort.ports),
        )
        if main is None or main.finding is None:
            row = _placed(counted, self._drop_of(key if isinstance(key, bytes) else b""))
            return _named(replace(row, note=_NO_SAMPLE))
        return _named(_judged(counted, main.finding, opinions))

    def _history(self, sort: _Sort) -> tuple[int, ...]:
        found = dict(sort.history)
        return tuple(found.get(n, 0) for n in range(self._number - self._slots + 1, self._number + 1))


def _judged(row: SummaryRow, finding: Finding, opinions: list[_Opinion]) -> SummaryRow:
    """With what its samples had: `finding` is of those that stand for most packets."""
    same = [one for one in opinions if one.finding is not None and one.finding.cause_id == finding.cause_id]
    also = list(dict.fromkeys(_cause(one) for one in opinions if one not in same))
    culprits = {_culprit_key(one.finding.culprit): one.finding.culprit for one in same if one.finding}
    confidence = min((one.confidence for one in same), key=_SURENESS.index)
    notes = []
    if len(culprits) > 1:
        texts = [culprit.text if culprit else "none known" for culprit in culprits.values()]
        more = f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
        notes.append(f"samples differ in what did it: {'; '.join(texts[:_LISTED])}{more}")
    places = dict.fromkeys(one.finding.drop.where.frame.function for one in same if one.finding)
    if len(places) > 1:
        notes.append(f"samples died in {', '.join(place or '?' for place in places)}")
    if also:
        notes.append(
            f"mixed: mostly {finding.cause_id}, also {', '.join(also)}; how many of each is not known"
        )
    return replace(
        _placed(row, finding.drop),
        cause_id=finding.cause_id,
        title=f"mostly: {finding.title}" if also else finding.title,
        confidence=_less_sure(confidence, "likely") if also else confidence,
        culprit=None if len(culprits) > 1 else finding.culprit,
        also=tuple(also),
        note="; ".join(notes) or None,
        finding=finding,
    )


def _placed(row: SummaryRow, drop: Drop) -> SummaryRow:
    return replace(row, where=drop.where.frame, reason=drop.reason, iface=drop.iface, netns=drop.netns)


def _named(row: SummaryRow) -> SummaryRow:
    """Rows with the same key are one for the reader."""
    where = (row.where.function, row.where.offset, row.where.module)
    if row.where.function is None:
        where = (None, row.where.address, None)
    parts = (
        row.cause_id,
        where,
        row.reason,
        _culprit_key(row.culprit),
        row.iface,
        row.netns,
        row.also,
        row.note,
    )
    return replace(row, key=repr(parts))


def _added(one: SummaryRow, other: SummaryRow) -> SummaryRow:
    """Two rows with the same key."""
    late = other if other.last > one.last else one
    return replace(
        late,
        confidence=_less_sure(one.confidence, other.confidence),
        packets=one.packets + other.packets,
        new=one.new + other.new,
        rate=one.rate + other.rate,
        first=min(one.first, other.first),
        last=late.last,
        samples=one.samples + other.samples,
        ports=tuple(dict.fromkeys(one.ports + other.ports))[:_PORTS],
        history=tuple(a + b for a, b in zip(one.history, other.history, strict=True)),
    )


def _heaviest_first(sort: _Sort) -> list[_Opinion]:
    return sorted(sort.opinions.values(), key=lambda one: -one.weight)


def _opinion_key(finding: Finding | None) -> Hashable:
    if finding is None:
        return None
    return finding.cause_id, _culprit_key(finding.culprit), finding.drop.where.frame


def _place_key(drop: Drop) -> Hashable:
    return drop.reason, drop.iface, drop.netns


def _culprit_key(culprit: Culprit | None) -> tuple[str, str] | None:
    return None if culprit is None else (culprit.kind, culprit.text)


def _cause(opinion: _Opinion) -> str:
    return opinion.finding.cause_id if opinion.finding is not None else _NO_MATCH


def _less_sure(one: Confidence, other: Confidence) -> Confidence:
    return min(one, other, key=_SURENESS.index)
