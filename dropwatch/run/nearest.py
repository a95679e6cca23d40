"""Collects the drops that nearly fit: those that the kernel kept, and those that were read and then refused."""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import replace

from dropwatch.enrich.answers import Answers
from dropwatch.match.near import difference
from dropwatch.model.drop import Drop, Finding, Interface, Netns
from dropwatch.model.filter import Filter
from dropwatch.model.near import NearDrop, NearDrops
from dropwatch.wire.near import RawNear

_MOST = 256


class Nearest:
    """Bounded: of very many sorts the first are kept, and the others counted."""

    def __init__(self) -> None:
        self._first: dict[Hashable, NearDrop] = {}
        self._counts: Counter[Hashable] = Counter()
        self._passed_over = 0

    def refused(self, drop: Drop) -> None:
        """It was read, and does not fit the filter."""
        self._note(_near(drop, None), drop.event.location, 1)

    def other_cause(self, finding: Finding) -> None:
        """It fits, but not the causes that were asked for."""
        self._note(_near(finding.drop, finding.cause_id), finding.cause_id, finding.count)

    def kept(self, found: Iterable[RawNear], passed_over: int, answers: Answers) -> None:
        """By the kernel."""
        self._passed_over += passed_over
        for raw in found:
            near = NearDrop(
                packets=raw.packets,
                packet=raw.packet,
                netns=Netns(raw.netns, answers.netns(raw.netns)) if raw.netns else None,
                iface=_interface(raw, answers),
                where=answers.frame(raw.location),
            )
            self._note(near, raw.location, raw.packets)

    def found(self, wanted: Filter) -> NearDrops:
        """In what each differs from this filter; the most first."""
        drops = []
        for key, count in self._counts.most_common():
            drop = replace(self._first[key], packets=count)
            drops.append(replace(drop, difference=difference(drop, wanted)))
        return NearDrops(tuple(drops), self._passed_over)

    def _note(self, near: NearDrop, what: Hashable, packets: int) -> None:
        packet = near.packet
        place = near.netns.inode if near.netns is not None else 0, near.iface
        key = what, place, packet.proto, packet.saddr, packet.daddr, packet.dport
        if key not in self._first:
            if len(self._first) >= _MOST:
                self._passed_over += packets
                return
            self._first[key] = near
        self._counts[key] += packets


def _near(drop: Drop, cause_id: str | None) -> NearDrop:
    return NearDrop(1, drop.packet, drop.netns, drop.iface, drop.where.frame, cause_id)


def _interface(raw: RawNear, answers: Answers) -> Interface | None:
    if not raw.ifindex:
        return None
    known = raw.ifname or (answers.interface(raw.netns, raw.ifindex) if raw.netns else None)
    return Interface(raw.ifindex, known)
