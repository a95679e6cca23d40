"""Ports of a bond, team or bridge, and which ethertypes a host handles: what decides over a frame that nobody takes."""

import sys
from collections.abc import Iterator
from pathlib import Path

from dropwatch.host.links import links
from dropwatch.host.netlink import attributes, text
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

# linux/if_link.h
_IFNAME, _MASTER, _LINKINFO = 3, 10, 18  # IFLA_*
_DATA, _PORT_KIND, _PORT_DATA = 2, 4, 5  # IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, _DATA
_MODE, _ACTIVE = 1, 2  # IFLA_BOND_MODE, _ACTIVE_SLAVE
_STATE, _BACKUP = 1, 1  # IFLA_BOND_SLAVE_STATE; BOND_STATE_BACKUP of linux/if_bonding.h
_MODES = (  # BOND_MODE_* of linux/if_bonding.h, in ip's words
    *("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"),
)
# /proc/net is the namespace of the process; this thread may be in another.
_HANDLERS = Path("/proc/thread-self/net/ptype")


@dataclass(frozen=True, slots=True)
class Port:
    """A port of `master`, which is of the `kind` bond, bridge or team. Of a bond also whether it is a backup, its
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
    about = attributes(link.get(_LINKINFO, b""))
    kind = text(about.get(_PORT_KIND, b""))
    master = found.get(_number(link.get(_MASTER)), {})
    if kind not in ("bond", "bridge", "team") or not master:
        return None
    name = _name(master)
    if kind != "bond":
        return Port(name, kind)
    bond = attributes(attributes(master.get(_LINKINFO, b"")).get(_DATA, b""))
    mode, active = _number(bond.get(_MODE)), found.get(_number(bond.get(_ACTIVE)))
    return Port(
        name,
        kind,
        backup=_number(attributes(about.get(_PORT_DATA, b"")).get(_STATE)) == _BACKUP,
        mode=_MODES[mode] if mode < len(_MODES) else None,
        active=_name(active) if active is not None else None,
    )


def read_ethertypes(netns_inode: int) -> tuple[int, ...]:
    """Those that are handled on every interface. Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        return tuple(_ethertypes(_HANDLERS.read_bytes()))


def _ethertypes(listing: bytes) -> Iterator[int]:
    """Type, device and function; a sniffer has ALL, or a device. A device's name may be no text, and have what text
    takes for a blank or an end of a line."""
    for line in listing.splitlines()[1:]:
        words = line.split()
        if len(words) == 2 and words[0] != b"ALL":
            yield int(words[0], 16)


def _number(value: bytes | None) -> int:
    return int.from_bytes(value or b"", sys.byteorder)


def _name(link: dict[int, bytes]) -> str:
    return foreign(link.get(_IFNAME, b"").partition(b"\0")[0])
