"""Asks rtnetlink what every device and every qdisc of this network namespace has lost."""

import socket
import struct
from dataclasses import field

from dropwatch.host import netlink
from dropwatch.host.links import links
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

# linux/rtnetlink.h, if_link.h, pkt_sched.h and gen_stats.h
_QDISC = struct.Struct("=BxxxiIII")  # struct tcmsg: family, index, handle, parent, info
_GETQDISC, _NEWQDISC = 38, 36  # RTM_*
_IFNAME, _STATS64 = 3, 23  # IFLA_*
_KIND, _STATS2, _STATS_QUEUE = 1, 7, 3  # TCA_*
_DROPS = struct.Struct("=8xI")  # struct gnet_stats_queue: qlen, backlog, drops, ...
_TC_H_ROOT, _TC_H_INGRESS = 0xFFFFFFFF, 0xFFFFFFF1
# struct rtnl_link_stats64: later kernels have more at its end
_STATISTICS = (
    *(
        "rx_packets",
        "tx_packets",
        "rx_bytes",
        "tx_bytes",
        "rx_errors",
        "tx_errors",
        "rx_dropped",
        "tx_dropped",
    ),
    *("multicast", "collisions", "rx_length_errors", "rx_over_errors", "rx_crc_errors", "rx_frame_errors"),
    *("rx_fifo_errors", "rx_missed_errors", "tx_aborted_errors", "tx_carrier_errors", "tx_fifo_errors"),
    *("tx_heartbeat_errors", "tx_window_errors", "rx_compressed", "tx_compressed", "rx_nohandler"),
)


@dataclass(frozen=True, slots=True)
class Device:
    """An interface and its struct rtnl_link_stats64, by the names that the kernel gives the fields."""

    index: int
    name: str
    statistics: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Qdisc:
    """A queueing discipline: the index of its device, what it is called (`fq_codel 8001: root`), what it dropped."""

    index: int
    name: str
    drops: int


def read_devices() -> list[Device]:
    """All of this thread's namespace. Raises OSError."""
    return links(device_of)


def read_qdiscs() -> list[Qdisc]:
    """All of this thread's namespace. Raises OSError."""
    question = _QDISC.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return netlink.dump(netlink.ROUTE, _GETQDISC, question, _NEWQDISC, qdisc_of)


def device_of(index: int, found: dict[int, bytes]) -> Device:
    """From the attributes of a link."""
    raw = found.get(_STATS64, b"")
    numbers = struct.unpack(f"={len(raw) // 8}Q", raw[: len(raw) // 8 * 8])
    return Device(index, _text(found.get(_IFNAME, b"")), dict(zip(_STATISTICS, numbers, strict=False)))


def qdisc_of(message: memoryview | bytes) -> Qdisc:
    """From the body of an RTM_NEWQDISC message."""
    _, index, handle, parent, _ = _QDISC.unpack_from(message)
    found = netlink.attributes(message[_QDISC.size :])
    queue = netlink.attributes(found.get(_STATS2, b"")).get(_STATS_QUEUE, b"")
    drops = _DROPS.unpack_from(queue)[0] if len(queue) >= _DROPS.size else 0
    return Qdisc(index, f"{_text(found.get(_KIND, b'?'))} {_handle(handle)} {_place(parent)}", drops)


def _place(parent: int) -> str:
    if parent == _TC_H_INGRESS:  # clsact has the same
        return "ingress"
    return "root" if parent == _TC_H_ROOT else f"parent {_handle(parent)}"


def _handle(number: int) -> str:
    """As tc prints it: `8001:` for a qdisc, `1:10` for a class."""
    minor = number & 0xFFFF
    return f"{number >> 16:x}:{minor:x}" if minor else f"{number >> 16:x}:"


def _text(raw: bytes) -> str:
    return foreign(raw.rstrip(b"\0"))
