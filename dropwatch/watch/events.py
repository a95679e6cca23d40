"""What of the findings becomes an event, how often, and what an event says."""

import time
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from dropwatch.aggregate.sort import whose
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Finding
from dropwatch.names.cause_address import cause_url
from dropwatch.names.foreign import printable
from dropwatch.render.finding.choice import differences, first_fix, fix_parts, headline, proof, proof_text
from dropwatch.render.finding.objects import label, with_owner
from dropwatch.render.finding.packet_words import flow_words
from dropwatch.watch.sorts import MANY_FLOWS, ONE_CAUSE, ONE_FLOW, Key, Sorts

_AGAIN_SECONDS = 60.0  # between two events of one sort
_LONGEST = 400  # characters of a text
_LONGEST_STORY = 1000
_MOST_EVIDENCE = 16
_COUNTED = {ONE_FLOW: "flow", MANY_FLOWS: "flows", ONE_CAUSE: "cause"}
_WHOSE = {ONE_FLOW: "", MANY_FLOWS: " of many flows", ONE_CAUSE: " of this cause"}

Clock = Callable[[], float]
Facts = dict[str, str | int | list[str]]


class Notice(NamedTuple):
    """A finding that is told, and how many packets of its sort died since the event before. `level` says what was
    counted as one: see schema.py. `made` is seconds since 1970, as the drop's time.
    """

    finding: Finding
    packets: int
    level: int
    made: float

    @property
    def is_harmless(self) -> bool:
        return self.finding.cause_id.startswith("benign.")


@dataclass(slots=True)
class _Since:
    """What has come of a sort since it was told at `told`: the latest finding of it, and how many packets."""

    told: float
    finding: Finding
    count: int = 0


class Rate:
    """The first finding of each sort is an event at once; what comes after it is one a minute at most.

    A sort that was silent for a minute is forgotten, so that there are no more than Sorts knows.
    """

    def __init__(self, own_netns: int, clock: Clock = time.monotonic, wall: Clock = time.time) -> None:
        self._sorts, self._clock, self._wall = Sorts(own_netns), clock, wall
        self._since: dict[Key, _Since] = {}  # in the order in which they were told

    def add(self, finding: Finding) -> Notice | None:
        """The event that it is, if it is one now."""
        key = self._sorts.key_of(finding)
        since = self._since.get(key)
        if since is None:
            self._since[key] = _Since(self._clock(), finding)
            return Notice(finding, finding.count, key.level, self._wall())
        since.finding, since.count = finding, since.count + finding.count
        return None

    def due(self, *, everything: bool = False) -> list[Notice]:
        """What came since, of those that were told a minute ago; of all of them at the end."""
        found, now = [], self._clock()
        for key, since in list(self._since.items()) if everything else self._old(now):
            del self._since[key]
            if since.count:
                found.append(Notice(since.finding, since.count, key.level, self._wall()))
                self._since[key] = _Since(now, since.finding)
        return found

    def _old(self, now: float) -> list[tuple[Key, _Since]]:
        found = []
        for key, since in self._since.items():
            if now - since.told < _AGAIN_SECONDS:
                break
            found.append((key, since))
        return found


def story(notice: Notice) -> str:
    """The finding on one line: which flow, what happened to it, by what, and what settles that."""
    finding = notice.finding
    settled = proof(finding)
    by = "" if finding.culprit is None else f"{label(finding.culprit)} {with_owner(finding)}"
    seen = differences(finding) or ("" if settled is None else proof_text(settled, finding))
    many = "" if notice.packets == 1 else f"{notice.packets} packets{_WHOSE[notice.level]}"
    parts = [part for part in (headline(finding), by, seen, many) if part]
    return _text(f"{flow_words(finding.drop)}: {'; '.join(parts)}", _LONGEST_STORY)


def facts(notice: Notice) -> Facts:
    """What an event says, by names; what is not known is left out. Texts are printable, on one line and not long."""
    finding, drop, packet = notice.finding, notice.finding.drop, notice.finding.drop.packet
    culprit, owner, frame = finding.culprit, whose(finding), drop.where.frame
    fix = first_fix(finding)
    known = {
        "cause": finding.cause_id,
        "title": finding.title,
        "url": cause_url(finding.cause_id),
        "confidence": finding.confidence,
        "count": notice.packets,
        "counted": _COUNTED[notice.level],
        "family": None if packet.family is None else f"ipv{packet.family}",
        "proto": packet.proto,
        "saddr": packet.saddr,
        "daddr": packet.daddr,
        "sport": packet.sport,
        "dport": packet.dport,
        "interface": drop.iface and drop.iface.name,
        "netns": drop.netns and drop.netns.name,
        "netns_inode": drop.netns and drop.netns.inode,
        "direction": drop.where.direction,
        "layer": drop.where.layer,
        "function": frame.function,
        "module": frame.module,
        "reason": drop.reason,
        "object": culprit and with_owner(finding),
        "object_kind": culprit and culprit.kind,
        "object_relation": culprit and label(culprit),
        "pid": owner and owner.pid,
        "comm": owner and owner.comm,
        "unit": owner and owner.unit,
        "container": owner and owner.container,
        "container_name": owner and owner.container_name,
        "pod": owner and owner.pod,
        "pod_name": owner and owner.pod_name,
        "pod_namespace": owner and owner.pod_namespace,
        "fix": fix and ": ".join(part for part in fix_parts(fix) if part),
    }
    found: Facts = {
        name: value if isinstance(value, int) else _text(str(value))
        for name, value in known.items()
        if value is not None
    }
    evidence = [_text(f"{one.source}: {one.text}") for one in islice(finding.evidence, _MOST_EVIDENCE)]
    return found | ({"evidence": evidence} if evidence else {})


def _text(text: str, longest: int = _LONGEST) -> str:
    text = printable(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
