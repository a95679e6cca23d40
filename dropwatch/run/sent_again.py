"""Joins TCP segments that are sent again with findings of what had died: by packet, else by connection and place."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace

from dropwatch.model.drop import Address, Finding, Frame
from dropwatch.model.resent import Death, Died, Lost, Resent, ResentCounts, ResentSegment

_MOST_REMEMBERED = 1 << 13
_MOST_CONNECTIONS = 1 << 12
_MOST_TOLD = 100
_SAME_ADDRESS = 8  # deaths of packets that have had the same address, one after the other
_SAME_DEATH_NS = 2 * 10**8  # two programs see it one after the other
_NEVER_WATCHED = (
    "what died with other addresses than its socket has, translated in another namespace",
    "what a network card, its driver or XDP drops",
)
_Ends = tuple[Address, int, Address, int]
_HARMLESS = ("benign.", "tcp.old-data")  # it had arrived, or was a copy


class SentAgain:
    """Bounded: of very many connections the first are kept. `frame` names a place, `netns` a namespace.

    `told` is called with what the recording needs.
    """

    def __init__(
        self,
        frame: Callable[[int], Frame],
        netns: Callable[[int], str | None],
        told: Callable[[ResentSegment], None] = lambda segment: None,
    ) -> None:
        self._frame, self._netns, self._told = frame, netns, told
        self._causes: OrderedDict[Hashable, tuple[tuple[int, str], ...]] = OrderedDict()
        self._lost: dict[Hashable, Lost] = {}
        self._segments = self._unclear = 0

    def judged(self, finding: Finding) -> None:
        """A packet that died, harmless or not."""
        event, packet = finding.drop.event, finding.drop.packet
        if packet.proto != "tcp":
            return
        ends = packet.saddr, packet.sport, packet.daddr, packet.dport
        found = ((event.monotonic_ns, finding.cause_id),)
        for key in (
            (event.skb, event.location),
            (ends, event.location),
            (ends[::2], event.location),
        ):
            self._causes[key] = found + self._causes.get(key, ())[: _SAME_ADDRESS - 1]
            self._causes.move_to_end(key)
        while len(self._causes) > _MOST_REMEMBERED:
            self._causes.popitem(last=False)

    def take(self, segments: Iterable[ResentSegment]) -> Iterator[Lost]:
        """What was seen; the deaths before it have been judged. Yields connections that are new among the lost."""
        for segment in segments:
            self._told(segment)
            lost = self._joined(segment)
            if lost is not None:
                yield lost

    def found(self, counts: ResentCounts, not_watched: Iterable[str]) -> Resent:
        """At the end, with what the kernel counted."""
        most = sorted(self._lost.values(), key=lambda lost: (-lost.segments, lost.death_ns))
        return Resent(
            segments=counts.sent,
            failed=counts.failed,
            lost_here=self._segments,
            unclear=counts.crowded + counts.untold,
            connections=tuple(most[:_MOST_TOLD]),
            not_watched=tuple(not_watched),
            never_watched=_NEVER_WATCHED,
        )

    def _joined(self, segment: ResentSegment) -> Lost | None:
        found = self._died(segment)
        if found is None:
            return None
        died, death, known_ns, cause_id = found
        self._segments += segment.segments
        lost = Lost(
            saddr=segment.saddr,
            sport=segment.sport,
            daddr=segment.daddr,
            dport=segment.dport,
            netns=segment.netns,
            netns_name=self._netns(segment.netns) if segment.netns else None,
            died=died,
            cause_id=cause_id,
            function=self._frame(death.location).function,
            segments=segment.segments,
            death_ns=known_ns,
            resent_ns=segment.monotonic_ns,
        )
        key = lost.saddr, lost.sport, lost.daddr, lost.dport, lost.died, lost.cause_id, lost.function
        known = self._lost.get(key)
        if known is not None:
            self._lost[key] = replace(known, segments=known.segments + lost.segments)
            return None
        if len(self._lost) < _MOST_CONNECTIONS:
            self._lost[key] = lost
        return lost

    def _died(self, segment: ResentSegment) -> tuple[Died, Death, int, str | None] | None:
        """What of it was lost, when, and the cause. One that died because it had arrived before was not lost."""
        ends = segment.saddr, segment.sport, segment.daddr, segment.dport
        back = segment.daddr, segment.dport, segment.saddr, segment.sport
        sides: tuple[tuple[Died, Death | None, _Ends], ...] = (
            ("segment", segment.segment, ends),
            ("ack", segment.ack, back),
        )
        for died, death, of in sides:
            if death is None:
                continue
            known_ns, cause_id = self._finding(death, of)
            if not (cause_id or "").startswith(_HARMLESS):
                return died, death, known_ns, cause_id
        return None

    def _finding(self, death: Death, ends: _Ends) -> tuple[int, str | None]:
        """Time and cause of the packet that died; where the kernel has only counted it, as the like of it there has."""
        known = self._causes.get((death.skb, death.location), ())
        nearest = min(known, key=lambda at: abs(at[0] - death.time_ns), default=None)
        if nearest is not None and abs(nearest[0] - death.time_ns) < _SAME_DEATH_NS:
            return nearest
        for key in ((ends, death.location), (ends[::2], death.location)):
            if key in self._causes:
                return death.time_ns, self._causes[key][0][1]
        return death.time_ns, None


def not_watched(
    counts: ResentCounts, *, missed: int, dated: bool, refused_syns: bool, tcp_itself: bool
) -> Iterator[str]:
    """Sentences: why something may have died here all the same. `missed` are deaths that nobody looked at.

    `dated`: the times of the copies before are known. `refused_syns` and `tcp_itself` say that these deaths are seen.
    """
    if counts.before:
        yield f"{counts.before} were first sent before whydrop watched"
    if counts.undated and dated:
        yield f"of {counts.undated} nobody knows when they were sent before"
    if not dated and counts.sent:
        yield "when they were sent before is not known: it may have been before whydrop watched"
    if counts.crowded + counts.untold:
        yield f"of the connections of {counts.crowded + counts.untold} more segments died than could be compared"
    if counts.passed_over + missed:
        yield f"{counts.passed_over + missed} deaths came too fast to be compared"
    if counts.forgotten:
        yield f"{counts.forgotten} connections that lost segments were forgotten, for others"
    if counts.carriers:
        yield f"{counts.carriers} packets died that may have carried or quoted them (tunnel, IPsec, fragment, ICMP)"
    if not refused_syns:
        yield "SYNs that a listening socket refuses"
    if not tcp_itself:
        yield "segments that TCP itself discards: this kernel tells nobody"
