"""Who is asked for what an Event does not say: names for its numbers, its time, and what is configured on the host."""

import time
from collections.abc import Callable

from dropwatch.host.host import Host
from dropwatch.host.interfaces import InterfaceNames
from dropwatch.host.netns.netns import NetnsNames
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.kernel.reasons import ReasonNames
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Frame


@dataclass(frozen=True, slots=True)
class Answers:
    """This host, a recording, or a test; what is asked through a recorder's Answers is noted.

    `frame` resolves a kernel address, as before while `modules` gives the same; `reason` a drop-reason number. `netns`
    is the name of a namespace's inode, `interface` that of an index in it. `time_of` is the time since 1970, in
    seconds, at a monotonic time in ns.
    """

    frame: Callable[[int], Frame]
    reason: Callable[[int | None], str | None]
    netns: Callable[[int], str | None]
    interface: Callable[[int, int], str | None]
    time_of: Callable[[int], float]
    host: Host
    modules: Callable[[], int] = lambda: 0


def live_answers(symbols: Kallsyms, reasons: ReasonNames, host: Host) -> Answers:
    """Of this machine, now. A name that cannot be read is one of the host's blind spots."""
    namespaces = NetnsNames()
    interfaces = InterfaceNames(changed=lambda inode: host.seen.last_change("links", inode))
    return Answers(
        symbols.frame,
        reasons,
        lambda inode: host.tried("the name", inode, lambda: namespaces.name(inode)),
        lambda inode, index: host.tried("interfaces", inode, lambda: interfaces.name(inode, index)),
        wall_time,
        host,
        lambda: symbols.readings,
    )


def wall_time(monotonic_ns: int) -> float:
    """Seconds since 1970, by what this machine's clocks say now."""
    return time.time() - (time.monotonic_ns() - monotonic_ns) / 1e9
