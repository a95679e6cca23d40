"""IPv6 on an interface: its own addresses, and what it accepts of others."""

from ipaddress import IPv6Address
from pathlib import Path

from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import raw_name

# What is below /proc/sys/net, and /proc/thread-self/net, is that of the namespace which the reading thread is in.
_SYSCTLS = Path("/proc/sys/net/ipv6/conf")
_ADDRESSES = Path("/proc/thread-self/net/if_inet6")
_MOST_BYTES = 4 << 20
_TENTATIVE = 0x40  # IFA_F_TENTATIVE, linux/if_addr.h


@dataclass(frozen=True, slots=True)
class Ipv6Interface:
    """Sysctls by their names in net.ipv6.conf.DEV; `addresses` of the whole namespace, `tentative` are among them."""

    forwarding: int
    accept_ra: int
    accept_redirects: int
    drop_unsolicited_na: int
    addresses: frozenset[IPv6Address]
    tentative: frozenset[IPv6Address]


def read_ipv6(netns_inode: int, interface: str) -> Ipv6Interface:
    """Raises OSError when the namespace or the interface is gone."""
    with entered(netns_inode):
        directory = _SYSCTLS / raw_name(interface).decode(errors="surrogateescape")
        forwarding, accept_ra, accept_redirects, drop_unsolicited_na = (
            int((directory / name).read_text())
            for name in ("forwarding", "accept_ra", "accept_redirects", "drop_unsolicited_na")
        )
        with _ADDRESSES.open("rb") as file:
            rows = [line.split() for line in file.read(_MOST_BYTES).splitlines()]
    flags = {IPv6Address(bytes.fromhex(row[0].decode())): int(row[4], 16) for row in rows if len(row) > 4}
    tentative = frozenset(address for address, bits in flags.items() if bits & _TENTATIVE)
    return Ipv6Interface(
        forwarding, accept_ra, accept_redirects, drop_unsolicited_na, frozenset(flags), tentative
    )
