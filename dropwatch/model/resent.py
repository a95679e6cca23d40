"""TCP segments that this host's sockets sent again, and whether what they repeat had died here."""

from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from dropwatch.model.address import KernelAddress
from dropwatch.model.dataclass import dataclass

Died = Literal["segment", "ack"]


@dataclass(frozen=True, slots=True)
class Death:
    """Of a segment, in ns of the monotonic clock; of several in a burst that of the first."""

    time_ns: int
    skb: KernelAddress
    location: KernelAddress


@dataclass(frozen=True, slots=True)
class ResentSegment:
    """One that is sent again after the one before (`segment`), or what acknowledged it (`ack`), died here.

    `segments` is how many the kernel counts it as. `failed`: it did not get away this time. `netns` is the socket's.
    """

    monotonic_ns: int
    saddr: IPv4Address | IPv6Address
    sport: int
    daddr: IPv4Address | IPv6Address
    dport: int
    netns: int
    seq: int
    segments: int
    failed: bool
    segment: Death | None
    ack: Death | None


@dataclass(frozen=True, slots=True)
class ResentCounts:
    """What the kernel counted, in segments: all that were `sent` again; of these `failed` to leave the host; `joined`
    were joined with a death, and of those `untold` found no room in the ring.

    Of those not joined: of the flows of `crowded` more died than is remembered, `before` were first sent before all was
    attached, and nobody knows when `undated` were sent before. In deaths: `passed_over` were not looked at,
    `forgotten` connections made room for others, and `carriers` may have carried or quoted a segment.
    """

    sent: int = 0
    failed: int = 0
    joined: int = 0
    untold: int = 0
    crowded: int = 0
    before: int = 0
    undated: int = 0
    passed_over: int = 0
    forgotten: int = 0
    carriers: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """Segments of one direction of a connection that were sent again because something died here, of one cause.

    `cause_id` is None where whydrop was not asked for that death; `function` is where it was. `death_ns` is that of the
    first of them, by which its finding is known, `resent_ns` when that was sent again.
    """

    saddr: IPv4Address | IPv6Address
    sport: int
    daddr: IPv4Address | IPv6Address
    dport: int
    netns: int
    netns_name: str | None
    died: Died
    cause_id: str | None
    function: str | None
    segments: int
    death_ns: int
    resent_ns: int


@dataclass(frozen=True, slots=True)
class Resent:
    """In segments: all that were sent again; `lost_here` because it or what acknowledged it died here. Of `unclear`
    nobody knows.

    `connections` are those of `lost_here`, the first with the most; of many only these. `not_watched` are sentences
    about what whydrop did not see in this run, `never_watched` about what it never sees.
    """

    segments: int
    failed: int
    lost_here: int
    unclear: int
    connections: tuple[Lost, ...]
    not_watched: tuple[str, ...]
    never_watched: tuple[str, ...]

    @property
    def not_lost_here(self) -> int:
        return self.segments - self.lost_here - self.unclear
