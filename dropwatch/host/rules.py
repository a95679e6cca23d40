"""The rules of `ip rule`, in their order, and the routes that refuse: what sends a packet to a table or nowhere."""

import socket
import struct
import sys
from ipaddress import IPv4Network, IPv6Network, ip_network

from dropwatch.host import netlink
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address
from dropwatch.names import protocols
from dropwatch.names.foreign import foreign

Network = IPv4Network | IPv6Network
# struct fib_rule_hdr and struct rtmsg: family, dst_len, src_len, tos, table, 2 others, action or type, flags
_HEADER = struct.Struct("=BBBBBBBBI")
_NEWROUTE, _GETROUTE, _NEWRULE, _GETRULE = 24, 26, 32, 34  # RTM_*
# linux/fib_rules.h: FRA_*
_TO, _FROM, _IIF, _PRIORITY, _MARK, _TABLE, _MASK, _OIF, _L3MDEV, _UIDS, _PROTO, _SPORTS, _DPORTS = (
    *(1, 2, 3, 6, 10, 15, 16, 17, 19, 20, 22, 23, 24),
)
_SUPPRESS = 14  # FRA_SUPPRESS_PREFIXLEN: a route with a prefix no longer than this does not count
_ACTIONS = {1: "lookup", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}  # FR_ACT_*
_TYPES = {6: "blackhole", 7: "unreachable", 8: "prohibit"}  # RTN_*
_INVERT = 2  # FIB_RULE_INVERT
_ROUTE_DST, _ROUTE_TABLE = 1, 15  # RTA_*
_TABLES = {253: "default", 254: "main", 255: "local"}
_PAIR, _PORTS = struct.Struct("=II"), struct.Struct("=HH")


@dataclass(frozen=True, slots=True)
class Rule:
    """Of a selector that it does not have None, or "". `uids`, `sports`, `dports` are the first and the last."""

    priority: int
    action: str
    table: int | None
    inverted: bool = False
    to: str | None = None
    source: str | None = None
    iif: str = ""
    oif: str = ""
    mark: int | None = None
    mask: int = 0xFFFFFFFF
    l3mdev: bool = False
    uids: tuple[int, int] | None = None
    proto: int | None = None
    sports: tuple[int, int] | None = None
    dports: tuple[int, int] | None = None
    tos: int = 0
    suppresses: bool = False

    @property
    def text(self) -> str:
        """As `ip rule` shows it."""
        words = [f"{self.priority}:", *(["not"] if self.inverted else []), f"from {self.source or 'all'}"]
        words += [f"to {self.to}"] if self.to else []
        words += [f"tos {self.tos:#x}"] if self.tos else []
        if self.mark is not None:
            words.append(f"fwmark {self.mark:#x}" + (f"/{self.mask:#x}" if self.mask != 0xFFFFFFFF else ""))
        words += [f"iif {self.iif}"] if self.iif else []
        words += [f"oif {self.oif}"] if self.oif else []
        words += [f"uidrange {self.uids[0]}-{self.uids[1]}"] if self.uids else []
        words += [f"ipproto {protocols.name(self.proto)}"] if self.proto is not None else []
        words += [f"{name} {_range(found)}" for name, found in self._ports() if found]
        if self.action != "lookup":
            return " ".join([*words, self.action])
        return " ".join([*words, f"lookup {'[l3mdev-table]' if self.l3mdev else table_name(self.table)}"])

    def _ports(self) -> tuple[tuple[str, tuple[int, int] | None], ...]:
        return ("sport", self.sports), ("dport", self.dports)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A route that refuses: `prohibit 10.77.0.9/32` in its table."""

    type: str
    destination: str
    table: int


@dataclass(frozen=True, slots=True)
class Rules:
    rules: tuple[Rule, ...]
    refusals: tuple[Refusal, ...]


def table_name(table: int | None) -> str:
    return _TABLES.get(table or 0, str(table))


def read_rules(netns_inode: int, version: int) -> Rules:
    """Of IPv4 or IPv6. Raises OSError when the namespace is gone, or the kernel has no such rules."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with entered(netns_inode):
        body = _HEADER.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        rules = netlink.dump(netlink.ROUTE, _GETRULE, body, _NEWRULE, rule_of)
        refusals: list[Refusal | None] = []
        for number in _TYPES:
            wanted = _HEADER.pack(family, 0, 0, 0, 0, 0, 0, number, 0)
            refusals += netlink.dump(netlink.ROUTE, _GETROUTE, wanted, _NEWROUTE, refusal_of)
    found = dict.fromkeys(one for one in refusals if one is not None)
    return Rules(tuple(sorted(rules, key=lambda one: one.priority)), tuple(found))


def read_refusing_rules(netns_inode: int, family: int) -> tuple[str, ...]:
    """The actions of those of a family (4, 6) that refuse what they match. Raises OSError where it is gone."""
    number = socket.AF_INET if family == 4 else socket.AF_INET6
    with entered(netns_inode):
        wanted = _HEADER.pack(number, 0, 0, 0, 0, 0, 0, 0, 0)
        found = netlink.dump(netlink.ROUTE, _GETRULE, wanted, _NEWRULE, action_of)
    return tuple(action for action in found if action is not None)


def action_of(message: memoryview | bytes) -> str | None:
    """From the body of an RTM_NEWRULE message; None for a rule that refuses nothing. Raises struct.error."""
    return _TYPES.get(_HEADER.unpack_from(message)[7])


def rule_of(message: memoryview | bytes) -> Rule:
    """From the body of an RTM_NEWRULE message. Raises struct.error or ValueError."""
    family, to_length, from_length, tos, short_table, _, _, action, flags = _HEADER.unpack_from(message)
    found = netlink.attributes(message[_HEADER.size :])
    table = _u32(found, _TABLE)
    return Rule(
        _u32(found, _PRIORITY) or 0,
        _ACTIONS.get(action, str(action)),
        table if table is not None else short_table,
        bool(flags & _INVERT),
        _prefix(family, found.get(_TO), to_length),
        _prefix(family, found.get(_FROM), from_length),
        _name(found.get(_IIF)),
        _name(found.get(_OIF)),
        _u32(found, _MARK),
        0xFFFFFFFF if (mask := _u32(found, _MASK)) is None else mask,
        bool(found.get(_L3MDEV, b"\0")[0]),
        _PAIR.unpack(found[_UIDS]) if _UIDS in found else None,
        found[_PROTO][0] if _PROTO in found else None,
        _PORTS.unpack(found[_SPORTS]) if _SPORTS in found else None,
        _PORTS.unpack(found[_DPORTS]) if _DPORTS in found else None,
        tos,
        (_u32(found, _SUPPRESS) or 0xFFFFFFFF) != 0xFFFFFFFF,
    )


def refusal_of(message: memoryview | bytes) -> Refusal | None:
    """From the body of an RTM_NEWROUTE message; None of a route of another type."""
    family, length, _, _, short_table, _, _, kind, _ = _HEADER.unpack_from(message)
    if kind not in _TYPES:
        return None
    found = netlink.attributes(message[_HEADER.size :])
    table = _u32(found, _ROUTE_TABLE)
    everything = "0.0.0.0/0" if family == socket.AF_INET else "::/0"
    destination = _prefix(family, found.get(_ROUTE_DST), length) or everything
    return Refusal(_TYPES[kind], destination, table if table is not None else short_table)


def covers(destination: str, address: Address) -> bool:
    return address in ip_network(destination)


def _prefix(family: int, address: bytes | None, length: int) -> str | None:
    if address is None:
        return None
    return f"{socket.inet_ntop(family, address)}/{length}"


def _u32(found: dict[int, bytes], kind: int) -> int | None:
    return int.from_bytes(found[kind], sys.byteorder) if kind in found else None


def _name(value: bytes | None) -> str:
    return foreign((value or b"").partition(b"\0")[0])


def _range(ports: tuple[int, int]) -> str:
    return str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"
