"""The macvlan and ipvlan interfaces that stand on another one, as far as they are in its namespace."""

from dropwatch.host.links import about, links_with_flags, name_of
from dropwatch.host.netlink import number
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass

# linux/if_link.h
_MAC, _LINK, _LINK_NETNSID = 1, 5, 37  # IFLA_*
_MODE, _QUEUE = 1, 8  # IFLA_MACVLAN_MODE, _BC_QUEUE_LEN_USED
_KINDS = ("macvlan", "macvtap", "ipvlan", "ipvtap")
_SOURCE = 16  # MACVLAN_MODE_SOURCE
_UP = 1  # IFF_UP


@dataclass(frozen=True, slots=True)
class Stacked:
    """`kind` is the word of `ip link`. `by_source`: it gets copies by the sender's address (mode source).

    `queue` is how many broadcasts wait at most for all of macvlan on this parent; 0 where the kernel does not say.
    """

    name: str
    kind: str
    up: bool
    mac: str
    by_source: bool = False
    queue: int = 0


def read_stacked(netns_inode: int, parent: int) -> tuple[Stacked, ...]:
    """Those on the interface of this index. Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        found = links_with_flags(lambda _, flags, link: stacked_of(parent, flags, link))
    return tuple(each for each in found if each is not None)


def stacked_of(parent: int, flags: int, link: dict[int, bytes]) -> Stacked | None:
    """None for what stands on another interface, or is of another kind."""
    its = about(link)
    kind = its.kind
    if kind not in _KINDS or _LINK_NETNSID in link or number(link.get(_LINK)) != parent:
        return None
    mode = number(its.data.get(_MODE))
    return Stacked(
        name_of(link),
        kind,
        bool(flags & _UP),
        link.get(_MAC, b"").hex(":"),
        kind.startswith("macv") and mode == _SOURCE,
        number(its.data.get(_QUEUE)) if kind.startswith("macv") else 0,
    )
