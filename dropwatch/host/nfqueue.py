"""Which programs listen to the packet queues (NFQUEUE) of a network namespace."""

import time
from pathlib import Path

from dropwatch.host.holders import read_holders
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Process

_PROC = Path("/proc")
# /proc/net is the namespace of the process; this thread may be in another.
_QUEUES = _PROC / "thread-self/net/netfilter/nfnetlink_queue"
_SOCKETS = _PROC / "thread-self/net/netlink"
_NETLINK_NETFILTER = "12"  # include/uapi/linux/netlink.h


@dataclass(frozen=True, slots=True)
class Queue:
    """One bound queue, read at the monotonic time `read_at_ns`.

    `portid` is the netlink address of the listener, `process` who holds that socket, None when nobody was found.
    `waiting` packets have no verdict yet; `dropped_full` were refused because the queue was full,
    `dropped_unsent` because the listener's socket took no more. Both count from the binding on.
    """

    number: int
    portid: int
    waiting: int
    dropped_full: int
    dropped_unsent: int
    process: Process | None
    read_at_ns: int


def read_queues(netns_inode: int) -> tuple[Queue, ...]:
    """All bound queues: none also where nfnetlink_queue is not loaded.

    Raises OSError when the namespace is gone or may not be entered.
    """
    with entered(netns_inode):
        read_at = time.monotonic_ns()
        rows = _rows(_QUEUES)
        sockets = _rows(_SOCKETS)[1:]
    inodes = {row[2]: int(row[9]) for row in sockets if len(row) > 9 and row[1] == _NETLINK_NETFILTER}
    # seq_show of net/netfilter/nfnetlink_queue.c: number, port id, waiting, copy mode, copy range, dropped by the
    # queue, dropped on the way to the user, last packet id, 1
    found = [[int(word) for word in row] for row in rows if len(row) >= 8]
    holders = read_holders({inodes[str(row[1])] for row in found if str(row[1]) in inodes})
    return tuple(
        Queue(row[0], row[1], row[2], row[5], row[6], holders.get(inodes.get(str(row[1]), -1)), read_at)
        for row in found
    )


def _rows(path: Path) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []
