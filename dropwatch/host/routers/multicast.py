"""Multicast routing: the interfaces that take part in it, and the entries of a group."""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address
from dropwatch.names.foreign import foreign

# /proc/net is the namespace of the process; this thread may be in another.
_NET = Path("/proc/thread-self/net")
_FILES = {4: ("ip_mr_vif", "ip_mr_cache"), 6: ("ip6_mr_vif", "ip6_mr_cache")}
_MOST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """Of a source, or of all (`0.0.0.0`, `::`). Interfaces are numbers of multicast routing; `parent` is the one that
    packets come in through, -1: no program has said yet. `outputs` are the others, each with its TTL threshold.
    """

    origin: Address
    parent: int
    outputs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class MulticastRoutes:
    """`interfaces` are the numbers and names of those that take part, of the default table."""

    interfaces: tuple[tuple[int, str], ...]
    entries: tuple[Entry, ...]


def read_multicast_routes(netns_inode: int, group: Address) -> MulticastRoutes | None:
    """None where the kernel has no multicast routing. Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        try:
            interfaces, entries = (_read(_NET / name) for name in _FILES[group.version])
        except FileNotFoundError:
            return None
    return MulticastRoutes(tuple(interfaces_of(interfaces)), tuple(entries_of(entries, group)))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES)


def interfaces_of(listing: bytes) -> Iterator[tuple[int, str]]:
    """A line for each below the first: number, name, ..."""
    for line in listing.splitlines()[1:]:
        words = line.split()
        yield int(words[0]), foreign(words[1])


def entries_of(listing: bytes, group: Address) -> Iterator[Entry]:
    """A line for each below the first: group, source, number, three counts, and each output with its threshold.

    Addresses of IPv4 are numbers as this machine has them in memory.
    """
    wanted = _written(group)
    for line in listing.splitlines()[1:]:
        words = line.decode("ascii").split()
        if words[0].lower() == wanted:
            outputs = (word.partition(":") for word in " ".join(words[6:]).replace(": ", ":").split())
            yield Entry(
                _address(words[1], group.version),
                int(words[2]),
                tuple((int(number), int(threshold)) for number, _, threshold in outputs),
            )


def _written(address: Address) -> str:
    if address.version == 6:
        return address.exploded
    return f"{struct.unpack('=I', address.packed)[0]:08x}"


def _address(word: str, version: int) -> Address:
    if version == 6:
        return IPv6Address(word)
    found = ip_address(struct.pack("=I", int(word, 16)))
    assert isinstance(found, IPv4Address)
    return found
