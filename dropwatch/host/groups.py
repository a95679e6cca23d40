"""Which multicast groups an interface has joined, whoever of its host wants them."""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from dropwatch.host.netns.enter import entered
from dropwatch.model.drop import Address

# /proc/net is the namespace of the process; this thread may be in another.
_NET = Path("/proc/thread-self/net")
_MOST_BYTES = 4 << 20


def read_groups(netns_inode: int, ifindex: int) -> tuple[Address, ...]:
    """Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        listings = [_read(_NET / name) for name in ("igmp", "igmp6")]
    return (*_of_igmp(listings[0], ifindex), *_of_igmp6(listings[1], ifindex))


def _read(path: Path) -> bytes:
    """A kernel may be without one of the families."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except FileNotFoundError:
        return b""


def _of_igmp(listing: bytes, ifindex: int) -> Iterator[IPv4Address]:
    """A line for each interface that begins with its index, and below it one for each group, indented."""
    index = 0
    for line in listing.splitlines()[1:]:
        words = line.split()
        if not line[:1].isspace():
            index = int(words[0])
        elif index == ifindex:
            yield IPv4Address(struct.pack("=I", int(words[0], 16)))


def _of_igmp6(listing: bytes, ifindex: int) -> Iterator[IPv6Address]:
    """A line for each group: index, interface, group, ..."""
    for line in listing.splitlines():
        words = line.split()
        if int(words[0]) == ifindex:
            yield IPv6Address(bytes.fromhex(words[2].decode()))
