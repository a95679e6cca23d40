"""What the recorder counts as one, folded to what a person would call one thing."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import replace

from dropwatch.aggregate.sort import did_it, lasting
from dropwatch.model.kept import Died, Window


def folded(found: Window) -> Window:
    """With a row for each thing, most packets first. What one object did is one, whomever it hit."""
    parts: dict[Hashable, list[Died]] = {}
    for row in found.rows:
        parts.setdefault(_thing(row), []).append(row)
    rows = sorted(map(_row, parts.values()), key=lambda row: (-row.packets, row.first))
    return replace(found, rows=tuple(rows))


def _thing(row: Died) -> Hashable:
    """Where no object did it, each flow is one."""
    finding = row.finding
    drop, packet, owner = finding.drop, finding.drop.packet, finding.owner or finding.drop.process
    if row.mixed:
        return finding.cause_id
    culprit = finding.culprit
    by: Hashable = lasting(culprit) if culprit is not None and did_it(finding) else None
    flow = (packet.proto, packet.saddr, packet.daddr, packet.dport) if by is None else None
    whose = (owner.comm, owner.unit, owner.container, owner.pod) if owner is not None else None
    netns = drop.netns.name or drop.netns.inode if drop.netns is not None else None
    of_any = not row.flows and by is None
    return finding.cause_id, by, None if of_any else flow, whose, drop.where.direction, netns, of_any


def _row(parts: list[Died]) -> Died:
    """The finding is that of most packets."""
    minutes: Counter[int] = Counter()
    for part in parts:
        minutes.update(dict(part.minutes))
    return Died(
        finding=max(parts, key=lambda part: part.packets).finding,
        packets=sum(part.packets for part in parts),
        first=min(part.first for part in parts),
        last=max(part.last for part in parts),
        minutes=tuple(sorted(minutes.items())),
        flows=sum(part.flows for part in parts) if all(part.flows for part in parts) else 0,
        mixed=any(part.mixed for part in parts),
    )
