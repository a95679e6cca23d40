"""How full the connection tracking table of a network namespace is."""

import time
from pathlib import Path

from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass

# What is below /proc/sys/net is that of the namespace which the reading thread is in.
_SYSCTLS = Path("/proc/sys/net/netfilter")


@dataclass(frozen=True, slots=True)
class ConntrackTable:
    """`count` of `max` entries were in use at the monotonic time `read_at_ns`.

    `own_max` is the limit of the namespace that whydrop runs in: since Linux 6.15 the initial namespace's limit
    holds for all others as well, before that they all share one.
    """

    count: int
    max: int
    own_max: int | None
    read_at_ns: int


def read_table(netns_inode: int) -> ConntrackTable | None:
    """None where the namespace has no such sysctls. Raises OSError when it is gone or may not be entered."""
    own_max = _number("nf_conntrack_max")
    with entered(netns_inode):
        read_at = time.monotonic_ns()
        count, limit = _number("nf_conntrack_count"), _number("nf_conntrack_max")
    if count is None or limit is None:
        return None
    return ConntrackTable(count, limit, own_max, read_at)


def _number(name: str) -> int | None:
    """A sysctl; None where conntrack is not loaded, or this namespace is not shown its limits."""
    try:
        return int((_SYSCTLS / name).read_text())
    except (FileNotFoundError, ValueError):
        return None
