"""IPv6 on an interface: its own addresses, and what it accepts of others."""

import os
import socket
from ipaddress import IPv6Address
from pathlib import Path
from typing import NamedTuple

from dropwatch.host.links import links_with_flags
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import raw_name

# What is below /proc/sys/net, and /proc/thread-self/net, is that of the namespace which the reading thread is in.
_SYSCTLS = Path("/proc/sys/net/ipv6/conf")
_ADDRESSES = Path("/proc/thread-self/net/if_inet6")
_MOST_BYTES = 4 << 20
_TENTATIVE = 0x40  # IFA_F_TENTATIVE, linux/if_addr.h
_NO_LINK = 0x08 | 0x80  # IFF_LOOPBACK, IFF_NOARP, linux/if.h


@dataclass(frozen=True, slots=True)
class Ipv6Interface:
    """Sysctls by their names in net.ipv6.conf.DEV; `addresses` of the whole namespace, `tentative` are among them.

    `own` are those of this interface, None in a recording that does not tell; `aside` those of interfaces that have no
    link where somebody could ask for them (loopback, NOARP).
    """

    forwarding: int
    accept_ra: int
    accept_redirects: int
    drop_unsolicited_na: int
    addresses: frozenset[IPv6Address]
    tentative: frozenset[IPv6Address]
    own: frozenset[IPv6Address] | None = None
    aside: frozenset[IPv6Address] = frozenset()
    accept_ra_defrtr: int = 1
    accept_ra_pinfo: int = 1


def read_ipv6(netns_inode: int, interface: str) -> Ipv6Interface:
    """Raises OSError when the namespace or the interface is gone."""
    with entered(netns_inode):
        directory = _SYSCTLS / raw_name(interface).decode(errors="surrogateescape")
        forwarding, accept_ra, accept_redirects, drop_unsolicited_na, accept_ra_defrtr, accept_ra_pinfo = (
            int((directory / name).read_text())
            for name in (
                *("forwarding", "accept_ra", "accept_redirects", "drop_unsolicited_na"),
                *("accept_ra_defrtr", "accept_ra_pinfo"),
            )
        )
        with _ADDRESSES.open("rb") as file:
            rows = [_row(line) for line in file.read(_MOST_BYTES).splitlines()]
        without_link = set(links_with_flags(lambda index, flags, _: index if flags & _NO_LINK else 0))
        index = socket.if_nametoindex(os.fsdecode(raw_name(interface)))
    return Ipv6Interface(
        forwarding,
        accept_ra,
        accept_redirects,
        drop_unsolicited_na,
        addresses=frozenset(row.address for row in rows),
        tentative=frozenset(row.address for row in rows if row.flags & _TENTATIVE),
        own=frozenset(row.address for row in rows if row.ifindex == index),
        accept_ra_defrtr=accept_ra_defrtr,
        accept_ra_pinfo=accept_ra_pinfo,
        aside=frozenset(row.address for row in rows if row.ifindex in without_link and not row.scope),
    )


class _Row(NamedTuple):
    address: IPv6Address
    ifindex: int
    scope: int  # 0: global
    flags: int


def _row(line: bytes) -> _Row:
    """Address, index of the interface, length of the prefix, scope, flags, all in hexadecimal; then the name."""
    address, ifindex, _, scope, flags = line.decode(errors="replace").split(maxsplit=5)[:5]
    return _Row(IPv6Address(bytes.fromhex(address)), int(ifindex, 16), int(scope, 16), int(flags, 16))
