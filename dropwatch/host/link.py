"""One network interface: what `ip link show` says of it."""

import socket
import sys

from dropwatch.host import netlink
from dropwatch.host.links import GETLINK, LINK, NEWLINK, about
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign, raw_name

# linux/if_link.h, linux/if.h
_ADDRESS, _IFNAME, _MTU, _OPERSTATE = 1, 3, 4, 16  # IFLA_*
_UP, _LOWER_UP = 0x1, 0x10000  # IFF_*
# As ip shows them: IF_OPER_* of linux/if.h
_STATES = ("UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP")


@dataclass(frozen=True, slots=True)
class Link:
    """`up` is what `ip link set up` does, `runs`: it has a carrier as well. `state` as ip shows it (RFC 2863).

    `kind` is the word of `ip link` (`tun`, `veth`), `mac` its hardware address; both may be empty.
    """

    name: str
    mtu: int
    state: str
    up: bool
    runs: bool
    kind: str = ""
    mac: str = ""


def read_link(netns_inode: int, which: int | str) -> Link | None:
    """By its index or name; None where there is no such interface. Raises OSError when the namespace is gone."""
    wanted = LINK.pack(socket.AF_UNSPEC, 0, which if isinstance(which, int) else 0, 0, 0)
    if isinstance(which, str):
        wanted += netlink.attribute(_IFNAME, raw_name(which) + b"\0")
    with entered(netns_inode):
        try:
            return netlink.get(netlink.ROUTE, GETLINK, wanted, NEWLINK, link_of)
        except netlink.Refused:  # ENODEV
            return None


def link_of(message: memoryview | bytes) -> Link:
    """From the body of an RTM_NEWLINK message. Raises struct.error or KeyError for one that cannot be read."""
    _, _, _, flags, _ = LINK.unpack_from(message)
    found = netlink.attributes(message[LINK.size :])
    state = found.get(_OPERSTATE, b"\0")[0]
    return Link(
        foreign(found[_IFNAME].partition(b"\0")[0]),
        int.from_bytes(found[_MTU], sys.byteorder),
        _STATES[state] if state < len(_STATES) else str(state),
        bool(flags & _UP),
        flags & (_UP | _LOWER_UP) == _UP | _LOWER_UP,
        about(found).kind,
        found.get(_ADDRESS, b"").hex(":"),
    )
