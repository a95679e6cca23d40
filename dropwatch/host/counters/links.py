"""Asks rtnetlink what every device and every qdisc of this network namespace has lost."""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

# include/uapi/linux/netlink.h, rtnetlink.h, if_link.h, pkt_sched.h and gen_stats.h
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_QDISC = struct.Struct("=BxxxiIII")  # struct tcmsg: family, index, handle, parent, info
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_NUMBER = struct.Struct("=i")
_NETLINK_ROUTE = 0
_NLM_F_REQUEST, _NLM_F_DUMP = 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_RTM_GETLINK, _RTM_NEWLINK = 18, 16
_RTM_GETQDISC, _RTM_NEWQDISC = 38, 36
_IFLA_IFNAME, _IFLA_STATS64 = 3, 23
_TCA_KIND, _TCA_STATS2, _TCA_STATS_QUEUE = 1, 7, 3
_DROPS = struct.Struct("=8xI")  # struct gnet_stats_queue: qlen, backlog, drops, ...
_TYPE_MASK = 0x3FFF
_TC_H_ROOT, _TC_H_INGRESS = 0xFFFFFFFF, 0xFFFFFFF1
_TIMEOUT_S = 5.0
_ANSWER_BYTES = 1 << 17
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


def devices() -> list[Device]:
    """All of this thread's namespace. Raises OSError."""
    question = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return [device_of(answer) for answer in _dump(_RTM_GETLINK, question, _RTM_NEWLINK)]


def qdiscs() -> list[Qdisc]:
    """All of this thread's namespace. Raises OSError."""
    question = _QDISC.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return [qdisc_of(answer) for answer in _dump(_RTM_GETQDISC, question, _RTM_NEWQDISC)]


def device_of(message: bytes) -> Device:
    """From the body of an RTM_NEWLINK message."""
    found = dict(_attributes(message[_LINK.size :]))
    raw = found.get(_IFLA_STATS64, b"")
    numbers = struct.unpack(f"={len(raw) // 8}Q", raw[: len(raw) // 8 * 8])
    name = _text(found.get(_IFLA_IFNAME, b""))
    return Device(_LINK.unpack_from(message)[2], name, dict(zip(_STATISTICS, numbers, strict=False)))


def qdisc_of(message: bytes) -> Qdisc:
    """From the body of an RTM_NEWQDISC message."""
    _, index, handle, parent, _ = _QDISC.unpack_from(message)
    found = dict(_attributes(message[_QDISC.size :]))
    queue = dict(_attributes(found.get(_TCA_STATS2, b""))).get(_TCA_STATS_QUEUE, b"")
    drops = _DROPS.unpack_from(queue)[0] if len(queue) >= _DROPS.size else 0
    kind = _text(found.get(_TCA_KIND, b"?"))
    return Qdisc(index, f"{kind} {_handle(handle)} {_place(parent)}", drops)


def _place(parent: int) -> str:
    if parent == _TC_H_INGRESS:  # clsact has the same
        return "ingress"
    return "root" if parent == _TC_H_ROOT else f"parent {_handle(parent)}"


def _handle(number: int) -> str:
    """As tc prints it: `8001:` for a qdisc, `1:10` for a class."""
    minor = number & 0xFFFF
    return f"{number >> 16:x}:{minor:x}" if minor else f"{number >> 16:x}:"


def _dump(request: int, body: bytes, wanted: int) -> Iterator[bytes]:
    header = _HEADER.pack(_HEADER.size + len(body), request, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.sendto(header + body, (0, 0))
        while True:
            for kind, message in messages(connection.recv(_ANSWER_BYTES)):
                if kind == _NLMSG_DONE:
                    return
                if kind == wanted:
                    yield message


def messages(answer: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each message in a piece of an answer. Raises OSError for an error, and where it makes none."""
    start = 0
    try:
        while start + _HEADER.size <= len(answer):
            length, kind, _, _, _ = _HEADER.unpack_from(answer, start)
            if kind == _NLMSG_ERROR:
                number = -_NUMBER.unpack_from(answer, start + _HEADER.size)[0]
                raise OSError(number, os.strerror(number))
            if length < _HEADER.size:
                raise ValueError("a message without a header")
            yield kind, answer[start + _HEADER.size : start + length]
            start += (length + 3) & ~3
    except (struct.error, ValueError) as error:
        raise OSError(errno.EBADMSG, "the kernel's answer about devices cannot be read") from error


def _attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start + _ATTRIBUTE.size <= len(raw):
        length, kind = _ATTRIBUTE.unpack_from(raw, start)
        yield kind & _TYPE_MASK, raw[start + _ATTRIBUTE.size : start + length]
        start += (max(length, _ATTRIBUTE.size) + 3) & ~3


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode(errors="replace")
