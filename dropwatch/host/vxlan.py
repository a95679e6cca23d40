"""VXLAN interfaces: which network identifier each has, and whether it is up."""

import sys

from dropwatch.host.links import links_with_flags
from dropwatch.host.netlink import attributes, text
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

_IFNAME, _LINKINFO, _KIND, _DATA, _ID = 3, 18, 1, 2, 1  # IFLA_*, IFLA_INFO_*, IFLA_VXLAN_ID (linux/if_link.h)
_UP = 1  # IFF_UP


@dataclass(frozen=True, slots=True)
class Vxlan:
    name: str
    vni: int
    up: bool


def read_vxlans(netns_inode: int) -> tuple[Vxlan, ...]:
    """Raises OSError when the namespace is gone or does not answer."""
    with entered(netns_inode):
        return tuple(each for each in links_with_flags(vxlan_of) if each is not None)


def vxlan_of(index: int, flags: int, link: dict[int, bytes]) -> Vxlan | None:
    """None for an interface of another kind."""
    about = attributes(link.get(_LINKINFO, b""))
    if text(about.get(_KIND, b"")) != "vxlan":
        return None
    vni = int.from_bytes(attributes(about.get(_DATA, b"")).get(_ID, b""), sys.byteorder)
    return Vxlan(foreign(link.get(_IFNAME, b"").partition(b"\0")[0]), vni, bool(flags & _UP))
