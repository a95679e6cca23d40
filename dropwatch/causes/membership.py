"""Whether the group that a packet was for is joined here."""

from dropwatch.host.host import Host
from dropwatch.model.drop import Drop


def is_joined(drop: Drop, host: Host) -> bool | None:
    """By the interface that it came in through, right after the drop. None: not read."""
    joined = host.groups(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)
    return drop.packet.daddr in joined if joined is not None else None
