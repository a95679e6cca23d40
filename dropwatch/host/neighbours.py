"""The neighbour tables: an entry, how full a table is, and whose entries are in it."""

import errno
import socket
import struct
import sys
from collections import Counter
from contextlib import suppress

from dropwatch.host import netlink
from dropwatch.host.netns.enter import entered
from dropwatch.host.netns.files import every
from dropwatch.host.netns.netns import netns_name
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address
from dropwatch.names.foreign import foreign

# linux/neighbour.h, linux/rtnetlink.h
_ENTRY = struct.Struct("=BxxxiHBB")  # struct ndmsg: family, ifindex, state, flags, type
_TABLE = struct.Struct("=Bxxx")  # struct ndtmsg
_NEWNEIGH, _GETNEIGH, _NEWTABLE, _GETTABLE = 28, 30, 64, 66  # RTM_*
_DST, _LLADDR, _CACHEINFO, _PROBES = 1, 2, 3, 4  # NDA_*
_THRESH1, _CONFIG, _PARMS, _STATS = 2, 5, 6, 7  # NDTA_*
_IFINDEX, _APP, _UNICAST, _MULTICAST, _QUEUE_BYTES = 1, 9, 10, 11, 16  # NDTPA_*
_COUNT = struct.Struct("=HHI")  # struct ndt_config: key_len, entry_size, entries
_FULLS_AT = 80  # ndts_table_fulls in struct ndt_stats
_TICKS = 100  # USER_HZ
_STATES = (
    *((0x01, "INCOMPLETE"), (0x02, "REACHABLE"), (0x04, "STALE"), (0x08, "DELAY"), (0x10, "PROBE")),
    *((0x20, "FAILED"), (0x40, "NOARP"), (0x80, "PERMANENT")),
)
_NO_STATE, _UNANSWERED = "NONE", 0x21  # INCOMPLETE, FAILED
_NAMESPACES = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """`confirmed` and `used` are seconds before it was read; `probes` how often it was asked since."""

    state: str
    lladdr: str | None = None
    confirmed: int = 0
    used: int = 0
    probes: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """That of IPv4 or IPv6, of all namespaces together; the settings of the interface are None where it has none.

    `thresholds` are gc_thresh1 to 3. `fulls` is how often an entry was refused because it was full.
    """

    entries: int
    thresholds: tuple[int, int, int]
    fulls: int
    queue_bytes: int | None = None
    multicast: int | None = None
    app: int | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """How many entries an interface has, and how many of them have no answer. `netns` is a name, or a number."""

    netns: str
    interface: str
    entries: int
    unanswered: int


def read_entry(netns_inode: int, ifindex: int, address: Address) -> Entry | None:
    """None where there is no such entry. Raises OSError when the namespace is gone or the kernel does not tell."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    body = _ENTRY.pack(family, ifindex, 0, 0, 0) + netlink.attribute(_DST, address.packed)
    with entered(netns_inode):
        try:
            return netlink.get(netlink.ROUTE, _GETNEIGH, body, _NEWNEIGH, entry_of)
        except netlink.Refused as refused:
            if refused.errno == errno.ENOENT:
                return None
            raise


def entry_of(message: memoryview | bytes) -> Entry:
    """From the body of an RTM_NEWNEIGH message. Raises struct.error."""
    _, _, state, _, _ = _ENTRY.unpack_from(message)
    found = netlink.attributes(message[_ENTRY.size :])
    confirmed, used, _, _ = struct.unpack_from("=IIII", found.get(_CACHEINFO, bytes(16)))
    return Entry(
        "|".join(name for bit, name in _STATES if state & bit) or _NO_STATE,
        found[_LLADDR].hex(":") if _LLADDR in found else None,
        confirmed // _TICKS,
        used // _TICKS,
        int(struct.unpack("=I", found[_PROBES])[0]) if _PROBES in found else 0,
    )


def read_table(netns_inode: int, ifindex: int, version: int) -> Table | None:
    """With what is set on the interface of this index. Raises OSError when the namespace is gone."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with entered(netns_inode):
        parts = netlink.dump(
            netlink.ROUTE,
            _GETTABLE,
            _TABLE.pack(family),
            _NEWTABLE,
            lambda message: (message[0], _part(message)),
        )
    return table_of([part for of, part in parts if of == family], ifindex)


def _part(message: memoryview) -> dict[int, bytes]:
    return netlink.attributes(message[_TABLE.size :])


def table_of(parts: list[dict[int, bytes]], ifindex: int) -> Table | None:
    """The first part is the table's, each other one an interface's. Raises struct.error or LookupError."""
    whole = next((part for part in parts if _CONFIG in part), None)
    if whole is None:
        return None
    first, second, third = (int.from_bytes(whole[_THRESH1 + at], sys.byteorder) for at in range(3))
    here = next(
        (
            set_to
            for part in parts
            if _u32(set_to := netlink.attributes(part.get(_PARMS, b"")), _IFINDEX) == ifindex
        ),
        {},
    )
    return Table(
        _COUNT.unpack_from(whole[_CONFIG])[2],
        (first, second, third),
        int(struct.unpack_from("=Q", whole[_STATS], _FULLS_AT)[0]),
        _u32(here, _QUEUE_BYTES),
        _u32(here, _MULTICAST),
        _u32(here, _APP),
    )


def _u32(found: dict[int, bytes], kind: int) -> int | None:
    return int(struct.unpack("=I", found[kind])[0]) if kind in found else None


def read_holders(version: int) -> tuple[Holder, ...]:
    """The interfaces of all namespaces by how many entries they have, the most first.

    No more than so many namespaces are looked into, those with a name first; one that cannot be read has none.
    """
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    found: list[Holder] = []
    for inode in list(every())[:_NAMESPACES]:
        with suppress(OSError):
            found += _holders(inode, family)
    return tuple(sorted(found, key=lambda one: -one.entries))


def _holders(inode: int, family: int) -> tuple[Holder, ...]:
    with entered(inode):
        heads = netlink.dump(
            netlink.ROUTE, _GETNEIGH, _ENTRY.pack(family, 0, 0, 0, 0), _NEWNEIGH, _ENTRY.unpack_from
        )
        names = {index: foreign(name) for index, name in socket.if_nameindex()} if heads else {}
    return holders_of(heads, names, netns_name(inode) or str(inode))


def holders_of(entries: list[tuple[int, ...]], names: dict[int, str], netns: str) -> tuple[Holder, ...]:
    """From the heads of the entries of a namespace."""
    every_one = Counter(index for _, index, _, _, _ in entries)
    silent = Counter(index for _, index, state, _, _ in entries if state & _UNANSWERED)
    return tuple(
        Holder(netns, names.get(index, f"interface {index}"), count, silent[index])
        for index, count in every_one.most_common()
    )
