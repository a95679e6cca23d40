"""What IPv4 is set to on an interface, beside what is set for all of them."""

import struct
from pathlib import Path

from dropwatch.host import netlink
from dropwatch.host.links import links
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass

_ALL = Path("/proc/sys/net/ipv4/conf/all")  # that of the namespace which the reading thread is in
_AF_SPEC, _AF_INET, _CONF = 26, 2, 1  # IFLA_AF_SPEC, its part for IPv4, IFLA_INET_CONF
# IPV4_DEVCONF_* of linux/ip.h: places in the array, from 1
_NUMBERS = {
    "forwarding": 1,
    "rp_filter": 8,
    "accept_source_route": 9,
    "accept_local": 23,
    "route_localnet": 26,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """Of the interface, and of all."""

    here: int
    all: int


@dataclass(frozen=True, slots=True)
class Ipv4Interface:
    """The settings below net.ipv4.conf that decide whether a packet is taken."""

    forwarding: Setting
    rp_filter: Setting
    accept_source_route: Setting
    accept_local: Setting
    route_localnet: Setting


def read_ipv4(netns_inode: int, ifindex: int) -> Ipv4Interface | None:
    """None where the interface is gone or has no IPv4. Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        every = dict(links(lambda index, link: (index, settings_of(link))))
        found = every.get(ifindex)
        if found is None:
            return None
        return Ipv4Interface(
            **{name: Setting(found[name], int((_ALL / name).read_text())) for name in _NUMBERS}
        )


def settings_of(link: dict[int, bytes]) -> dict[str, int] | None:
    """From the attributes of a link: by the names of sysctl(8). None where it has no IPv4."""
    about = netlink.attributes(netlink.attributes(link.get(_AF_SPEC, b"")).get(_AF_INET, b""))
    values = about.get(_CONF, b"")
    known = struct.unpack(f"={len(values) // 4}I", values[: len(values) // 4 * 4])
    if len(known) < max(_NUMBERS.values()):
        return None
    return {name: known[number - 1] for name, number in _NUMBERS.items()}
