"""MPLS in a namespace: whether an interface takes it, how many labels there may be, and whether one has a route."""

import socket
import struct
from pathlib import Path

from dropwatch.host import netlink
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass

_SYSCTLS = Path("/proc/sys/net/mpls")  # those of the namespace which the reading thread is in
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, dst_len, 5 others, type, flags
_NEWROUTE, _GETROUTE, _DST = 24, 26, 1  # RTM_*, RTA_DST
_AF_MPLS, _LABEL_BITS = 28, 20
_BOTTOM = 0x100
_FIRST_OF_ROUTES = 16  # what is below is reserved (RFC 3032), and the kernel tells no routes for it
_EXPLICIT_NULL = (0, 2)


@dataclass(frozen=True, slots=True)
class Mpls:
    """`name` is that of the interface as the sysctl has it, `input` its setting: None where it has no MPLS.

    `labels` is net.mpls.platform_labels: routes are for labels below it. `routed`: there is one for the label.
    """

    name: str
    input: int | None
    labels: int
    routed: bool


def read_mpls(netns_inode: int, ifindex: int, label: int) -> Mpls | None:
    """None without MPLS, and where the interface is gone. Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        labels = _number(_SYSCTLS / "platform_labels")
        if labels is None:
            return None
        try:
            name = socket.if_indextoname(ifindex)
        except OSError:
            return None
        return Mpls(name, _number(_SYSCTLS / "conf" / name / "input"), labels, _is_routed(label, labels))


def _is_routed(label: int, labels: int) -> bool:
    if label < _FIRST_OF_ROUTES:
        return label in _EXPLICIT_NULL and label < labels
    try:
        return netlink.get(netlink.ROUTE, _GETROUTE, question(label), _NEWROUTE, lambda message: True)
    except netlink.Refused:
        return False


def question(label: int) -> bytes:
    """The body of an RTM_GETROUTE message."""
    body = _ROUTE.pack(_AF_MPLS, _LABEL_BITS, 0, 0, 0, 0, 0, 0, 0)
    return body + netlink.attribute(_DST, struct.pack("!I", label << 12 | _BOTTOM))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return None
