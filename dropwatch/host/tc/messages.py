"""Asks rtnetlink for what traffic control has on one device (linux/pkt_sched.h, linux/rtnetlink.h)."""

import socket
import struct
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from dropwatch.host import netlink
from dropwatch.names.foreign import foreign

KIND, OPTIONS, STATS2 = 1, 2, 7
"""TCA_*: of every message."""
BASIC_STATS, QUEUE_STATS = 1, 3
"""TCA_STATS_*"""
_INVISIBLE = 10  # TCA_DUMP_INVISIBLE: qdiscs that came by themselves
_TCMSG = struct.Struct("=BxxxiIII")  # struct tcmsg: family, ifindex, handle, parent, info
_QUEUE = struct.Struct("=IIIII")  # struct gnet_stats_queue: qlen, backlog, drops, requeues, overlimits
_U32 = struct.Struct("=I")

Found = TypeVar("Found")


class Message(NamedTuple):
    """One qdisc, class or filter, as the kernel tells of it."""

    ifindex: int
    handle: int
    parent: int
    info: int
    attributes: dict[int, bytes]

    @property
    def kind(self) -> str:
        return foreign(self.attributes.get(KIND, b"").partition(b"\0")[0])

    @property
    def options(self) -> bytes:
        return self.attributes.get(OPTIONS, b"")


class QueueStats(NamedTuple):
    qlen: int = 0
    backlog: int = 0  # bytes
    drops: int = 0
    requeues: int = 0
    overlimits: int = 0


def dump(
    request: int, answer: int, ifindex: int, read: Callable[[Message], Found | None], parent: int = 0
) -> tuple[Found, ...]:
    """What `read` makes of each message about this device, without None. Raises OSError."""
    body = _TCMSG.pack(socket.AF_UNSPEC, ifindex, 0, parent, 0)
    if not parent:
        body += netlink.attribute(_INVISIBLE, b"")

    def each(data: memoryview) -> Found | None:
        _, index, handle, above, info = _TCMSG.unpack_from(data)
        message = Message(index, handle, above, info, netlink.attributes(data[_TCMSG.size :]))
        return read(message) if index == ifindex else None

    found = netlink.dump(netlink.ROUTE, request, body, answer, each)
    return tuple(one for one in found if one is not None)


def queue_stats(attributes: dict[int, bytes], nest: int = STATS2) -> QueueStats:
    """Zeros where there are none."""
    data = netlink.attributes(attributes.get(nest, b"")).get(QUEUE_STATS, b"")
    return QueueStats(*_QUEUE.unpack_from(data)) if len(data) >= _QUEUE.size else QueueStats()


def number(attributes: dict[int, bytes], kind: int) -> int | None:
    """A number of 32 bits."""
    data = attributes.get(kind, b"")
    return int(_U32.unpack_from(data)[0]) if len(data) >= _U32.size else None
