"""`whydrop last`: what the store has of a window, folded to what a person would call one thing."""

import math
import os
from collections import Counter
from collections.abc import Hashable
from dataclasses import field
from pathlib import Path

from dropwatch.aggregate.sort import did_it, lasting
from dropwatch.errors import WhydropError
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Finding
from dropwatch.model.kept import Kept, Last
from dropwatch.privilege.caller import is_own_process
from dropwatch.privilege.root import give_up
from dropwatch.render.last import last_json, last_text, notes_text
from dropwatch.render.layout import layout_for
from dropwatch.render.screen import Screen
from dropwatch.run.options import Options
from dropwatch.watch.fits import Fits
from dropwatch.watch.place import why_untrusted
from dropwatch.watch.read import Reader, Run
from dropwatch.watch.sorts import MANY_FLOWS, ONE_CAUSE, ONE_FLOW

_KILLED_AFTER_SECONDS = 120.0  # without a sign of life; one is given twice a minute


@dataclass(slots=True)
class _Sort:
    """What the store counts as one, in this window."""

    level: int
    packets: int = 0
    first: float = math.inf
    last: float = 0.0
    minutes: Counter[int] = field(default_factory=Counter)


def show_last(
    path: Path, begin: float, end: float, options: Options, fits: Fits, screen: Screen, now: float
) -> None:
    """A table, or lines of JSON. Raises WhydropError for a store that cannot be read."""
    reader = _open_as_nobody(path)
    try:
        found = gather(reader, str(path), begin, end, fits, now)
    finally:
        reader.close()
    layout = layout_for(screen.out, options.no_color, options.color, options.times)
    if options.json:
        for line in last_json(found):
            screen.show(line)
        return
    screen.show(last_text(found, layout, verbosity=options.verbosity, most=options.count))
    screen.say(notes_text(found, layout))


def _open_as_nobody(path: Path) -> Reader:
    """A store that others could have made is opened without root already, one of root's is read without."""
    if is_own_process() and os.geteuid() == 0:
        try:
            is_trusted = why_untrusted(path) is None
        except OSError:
            is_trusted = False
        if not is_trusted:
            give_up()
    reader = Reader(path)
    give_up()
    return reader


def gather(reader: Reader, source: str, begin: float, end: float, fits: Fits, now: float) -> Last:
    """In whole minutes: counts are."""
    since, until = math.floor(begin / 60), max(math.floor(begin / 60), math.ceil(end / 60) - 1)
    sorts: dict[int, _Sort] = {}
    for count in reader.counts(since, until):
        sort = sorts.setdefault(count.sort, _Sort(count.level))
        sort.packets += count.packets
        sort.first, sort.last = min(sort.first, count.first), max(sort.last, count.last)
        sort.minutes[count.minute] += count.packets
    rows: dict[Hashable, list[tuple[Finding, _Sort]]] = {}
    undecided = 0
    for number, sort in sorts.items():
        finding = reader.finding(number, min(sort.minutes) // 60, max(sort.minutes) // 60)
        if finding is None:
            raise WhydropError(
                f"{source} is damaged: a count has no finding", "whydrop watch begins a new one"
            )
        fit = fits.of(finding, sort.level)
        if fit is None:
            undecided += sort.packets
        elif fit:
            rows.setdefault(_thing(finding, sort.level), []).append((finding, sort))
    start, stop = since * 60.0, min((until + 1) * 60.0, max(now, since * 60.0))
    runs = [run for run in reader.runs() if run.seen >= start and run.began <= stop]
    latest = runs[-1] if runs else None
    return Last(
        source=source,
        host=latest.host if latest is not None else None,
        own_netns=latest.own_netns if latest is not None else None,
        since=start,
        until=stop,
        rows=tuple(sorted(map(_row, rows.values()), key=lambda row: (-row.packets, row.first))),
        watched=_stretches(runs, start, stop, now),
        killed=any(run.ended is None and now - run.seen > _KILLED_AFTER_SECONDS for run in runs[-1:])
        or any(run.ended is None for run in runs[:-1]),
        lost=_lost(runs),
        unstored=sum(run.unstored for run in runs),
        undecided=undecided,
        kept_since=reader.kept_since(),
    )


def _thing(finding: Finding, level: int) -> Hashable:
    """What one object did is one, whomever it hit; where none did it, each flow is."""
    drop, packet, owner = finding.drop, finding.drop.packet, finding.owner or finding.drop.process
    if level == ONE_CAUSE:
        return finding.cause_id
    culprit = finding.culprit
    by: Hashable = lasting(culprit) if culprit is not None and did_it(finding) else None
    flow = (packet.proto, packet.saddr, packet.daddr, packet.dport) if by is None else None
    whose = (owner.comm, owner.unit, owner.container, owner.pod) if owner is not None else None
    netns = drop.netns.name or drop.netns.inode if drop.netns is not None else None
    if level == MANY_FLOWS and by is None:
        flow = None
    return finding.cause_id, by, flow, whose, drop.where.direction, netns, level == MANY_FLOWS and by is None


def _row(parts: list[tuple[Finding, _Sort]]) -> Kept:
    """The finding is that of most packets."""
    minutes: Counter[int] = Counter()
    for _, sort in parts:
        minutes.update(sort.minutes)
    main, _ = max(parts, key=lambda part: part[1].packets)
    many = any(sort.level != ONE_FLOW for _, sort in parts)
    return Kept(
        finding=main,
        packets=sum(sort.packets for _, sort in parts),
        first=min(sort.first for _, sort in parts),
        last=max(sort.last for _, sort in parts),
        minutes=tuple(sorted(minutes.items())),
        flows=0 if many else len(parts),
        mixed=any(sort.level == ONE_CAUSE for _, sort in parts),
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
