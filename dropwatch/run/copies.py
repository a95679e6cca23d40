"""Copies for a full AF_PACKET socket: in a flood there is one for each packet, and none of them is a lost packet."""

from collections.abc import Hashable, Iterator
from dataclasses import replace

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Finding

_WINDOW_NS = 1_000_000_000
_MOST_SORTS = 1024


@dataclass(slots=True)
class _Told:
    """A sort of which one was told at `since_ns`. `last` and `count` are those that came since then."""

    since_ns: int
    last: Finding | None = None
    count: int = 0


class Copies:
    """Of equal ones the first is told, and what comes in the second after it as one finding with a count."""

    def __init__(self) -> None:
        self._told: dict[Hashable, _Told] = {}

    def keeps(self, finding: Finding) -> bool:
        """Whether due() will tell it."""
        if finding.cause_id != "socket.packet-buffer-full":
            return False
        key = _sort(finding)
        told = self._told.get(key)
        if told is not None:
            told.last = finding
            told.count += finding.count
            return True
        if len(self._told) < _MOST_SORTS:
            self._told[key] = _Told(finding.drop.event.monotonic_ns)
        return False

    def due(self, now_ns: int | None) -> Iterator[Finding]:
        """At this time of the packets' clock; None: all there is."""
        for key, told in list(self._told.items()):
            if now_ns is not None and now_ns - told.since_ns < _WINDOW_NS:
                continue
            if told.last is None:
                del self._told[key]
                continue
            yield replace(told.last, count=told.count)
            self._told[key] = _Told(told.last.drop.event.monotonic_ns)


def _sort(finding: Finding) -> Hashable:
    drop, packet = finding.drop, finding.drop.packet
    return (
        drop.event.location,
        drop.event.netns,
        drop.event.ifindex,
        (packet.family, packet.proto, packet.saddr, packet.sport, packet.daddr, packet.dport),
    )
