"""What a store has of a stretch of time, sort by sort, and when somebody watched."""

import math
from collections import Counter
from dataclasses import field

from dropwatch.errors import WhydropError
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Finding
from dropwatch.model.kept import Died, Window
from dropwatch.watch.fits import Fits
from dropwatch.watch.read import Reader, Run
from dropwatch.watch.sorts import ONE_CAUSE, ONE_FLOW

_KILLED_AFTER_SECONDS = 120.0  # without a sign of life; one is given twice a minute


@dataclass(slots=True)
class _Sort:
    """What the store counts as one, in this window."""

    packets: int = 0
    first: float = math.inf
    last: float = 0.0
    last_minute: int = 0
    minutes: Counter[int] = field(default_factory=Counter)


def gather(
    reader: Reader,
    source: str,
    begin: float,
    end: float,
    fits: Fits,
    now: float,
    stretches: int | None = None,
) -> Window:
    """In whole minutes, as counts are; a row for each sort. In so many `stretches`, for who needs no minutes."""
    since, until = math.floor(begin / 60), max(math.floor(begin / 60), math.ceil(end / 60) - 1)
    each = 1 if stretches is None else -(-(until - since + 1) // stretches)
    sorts: dict[int, _Sort] = {}
    for count in reader.counts(since, until, each):
        sort = sorts.setdefault(count.sort, _Sort())
        sort.packets += count.packets
        sort.first, sort.last = min(sort.first, count.first), max(sort.last, count.last)
        sort.last_minute = max(sort.last_minute, count.last_minute)
        sort.minutes[count.minute] += count.packets
    rows: list[Died] = []
    levels, undecided = reader.levels(), 0
    for number, sort in sorts.items():
        level, last_hour = levels.get(number), sort.last_minute // 60
        finding = reader.finding(number, min(sort.minutes) // 60, last_hour)
        if finding is None or level is None:
            raise WhydropError(
                f"{source} is damaged: a count has no finding", "whydrop watch begins a new one"
            )
        fit = fits.of(finding, level)
        if fit is None:
            undecided += sort.packets
        elif fit:
            rows.append(_died(finding, level, sort))
    start, stop = since * 60.0, min((until + 1) * 60.0, max(now, since * 60.0))
    runs = [run for run in reader.runs() if run.seen >= start and run.began <= stop]
    latest = runs[-1] if runs else None
    return Window(
        source=source,
        host=latest.host if latest is not None else None,
        own_netns=latest.own_netns if latest is not None else None,
        since=start,
        until=stop,
        rows=tuple(sorted(rows, key=lambda row: (-row.packets, row.first))),
        watched=_stretches(runs, start, stop, now),
        killed=any(run.ended is None and now - run.seen > _KILLED_AFTER_SECONDS for run in runs[-1:])
        or any(run.ended is None for run in runs[:-1]),
        lost=_lost(runs),
        unstored=sum(run.unstored for run in runs),
        undecided=undecided,
        kept_since=reader.kept_since(),
    )


def _died(finding: Finding, level: int, sort: _Sort) -> Died:
    return Died(
        finding=finding,
        packets=sort.packets,
        first=sort.first,
        last=sort.last,
        minutes=tuple(sorted(sort.minutes.items())),
        flows=1 if level == ONE_FLOW else 0,
        mixed=level == ONE_CAUSE,
    )


def _stretches(runs: list[Run], start: float, stop: float, now: float) -> tuple[tuple[float, float], ...]:
    found: list[tuple[float, float]] = []
    for run in runs:
        alive = run.ended is None and now - run.seen <= _KILLED_AFTER_SECONDS and run is runs[-1]
        begin, end = max(run.began, start), min(now if alive else run.ended or run.seen, stop)
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        elif begin < end:
            found.append((begin, end))
    return tuple(found)


def _lost(runs: list[Run]) -> int | None:
    """Known once all of them are over."""
    lost = [run.lost for run in runs]
    return None if None in lost else sum(one for one in lost if one is not None)
