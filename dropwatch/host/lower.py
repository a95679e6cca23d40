"""What an interface without carrier stands on or is connected to: the device below it, the other end of its pair."""

import sys

from dropwatch.host.links import links_with_flags
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

# linux/if_link.h, linux/if.h
_IFNAME, _LINK, _LINK_NETNSID = 3, 5, 37  # IFLA_*
_UP, _LOWER_UP = 0x1, 0x10000  # IFF_*

Links = dict[int, tuple[int, dict[int, bytes]]]


@dataclass(frozen=True, slots=True)
class Lower:
    """`name` is None where it is in another network namespace."""

    name: str | None


def read_lower(netns_inode: int, ifindex: int) -> Lower | None:
    """None where nothing below is down. Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        found = dict(links_with_flags(lambda index, flags, link: (index, (flags, link))))
    return lower_of(ifindex, found)


def lower_of(ifindex: int, found: Links) -> Lower | None:
    """From the flags and attributes of all links, by index."""
    flags, link = found.get(ifindex, (0, {}))
    below = int.from_bytes(link.get(_LINK, b""), sys.byteorder)
    if not flags & _UP or flags & _LOWER_UP or below in (0, ifindex):
        return None
    if _LINK_NETNSID in link:
        return Lower(None)
    its_flags, its = found.get(below, (_UP, {}))
    return None if its_flags & _UP else Lower(foreign(its[_IFNAME].partition(b"\0")[0]))
