"""Ports of a bond or team: which of them takes frames. A bridge and its ports are in bridges.py."""

from dropwatch.host.links import about, links, master_of, name_of
from dropwatch.host.netlink import number
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass

# linux/if_link.h
_MODE, _ACTIVE = 1, 2  # IFLA_BOND_MODE, _ACTIVE_SLAVE
_STATE, _BACKUP = 1, 1  # IFLA_BOND_SLAVE_STATE; BOND_STATE_BACKUP of linux/if_bonding.h
_MODES = (  # BOND_MODE_* of linux/if_bonding.h, in ip's words
    *("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"),
)


@dataclass(frozen=True, slots=True)
class Port:
    """A port of `master`, which is of the `kind` bond or team. Of a bond also whether it is a backup, its
    mode, and the name of the port that is active.
    """

    master: str
    kind: str
    backup: bool | None = None
    mode: str | None = None
    active: str | None = None


def read_port(netns_inode: int, ifindex: int) -> Port | None:
    """None for an interface that is no such port. Raises OSError when the namespace is gone or does not answer."""
    with entered(netns_inode):
        found = dict(links(lambda index, link: (index, link)))
    return port_of(ifindex, found)


def port_of(ifindex: int, found: dict[int, dict[int, bytes]]) -> Port | None:
    """From the attributes of all links, by index."""
    link = found.get(ifindex, {})
    its = about(link)
    master = found.get(master_of(link), {})
    if its.port_of not in ("bond", "team") or not master:
        return None
    if its.port_of == "team":
        return Port(name_of(master), its.port_of)
    bond = about(master).data
    mode, active = number(bond.get(_MODE)), found.get(number(bond.get(_ACTIVE)))
    return Port(
        name_of(master),
        its.port_of,
        backup=number(its.port_data.get(_STATE)) == _BACKUP,
        mode=_MODES[mode] if mode < len(_MODES) else None,
        active=name_of(active) if active is not None else None,
    )
