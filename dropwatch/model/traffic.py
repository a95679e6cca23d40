"""What arrived in a network namespace during a run, as far as the kernel counts it."""

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Netns, Process


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who has a local port. `arrived` are segments of the connections that are open now, None where nobody counts.

    `connections` are how many those are, `waiting` the bytes that nobody has read yet.
    """

    proto: str
    port: int
    process: Process | None
    sockets: int
    connections: int = 0
    arrived: int | None = None
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Traffic:
    """`rises` is by how much each counter of the protocols rose; by the kernel's names (`IpInReceives`).

    `endpoints` are those of the ports that were asked for; a port that none has is in `unclaimed`, with its protocol.
    `silencing` are sysctls that are set and have the kernel reply to no echo request, which it frees as consumed.
    """

    netns: Netns
    rises: dict[str, int]
    endpoints: tuple[Endpoint, ...] = ()
    unclaimed: tuple[tuple[str, int], ...] = ()
    silencing: tuple[str, ...] = ()
