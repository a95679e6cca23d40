"""Reads the tables of ip_tables, ip6_tables and arp_tables as the kernel holds them.

Everything here speaks of the namespace that this thread is in. Layouts are those of x_tables.h, ip_tables.h,
ip6_tables.h and arp_tables.h in include/uapi/linux; offsets are bytes from the start of a table's entries.
"""

import ctypes
import errno
import os
import socket
import struct
from dataclasses import field
from pathlib import Path
from typing import ClassVar

from dropwatch.model.dataclass import dataclass
from dropwatch.model.netfilter import XtFamily
from dropwatch.names.foreign import foreign

DROP = "DROP"
RETURN = "RETURN"
# A standard target holds -verdict - 1 (x_tables.h: XT_RETURN is -NF_REPEAT - 1), and jumps from 0 on.
_VERDICTS = (DROP, "ACCEPT", "STOLEN", "QUEUE", RETURN)
_PROC_NET = Path("/proc/thread-self/net")  # /proc/net is that of the process's first thread
_TABLE_NAME_BYTES = 32
_MOST_BYTES = 512 << 20  # net/netfilter/x_tables.c: XT_MAX_TABLE_SIZE
_TRIES = 5
_ERROR = "ERROR"

_Name = ctypes.c_uint8 * 16
_Address6 = ctypes.c_uint32 * 4
_INTERFACES = [("iniface", _Name), ("outiface", _Name), ("iniface_mask", _Name), ("outiface_mask", _Name)]


class IptIp(ctypes.Structure):
    _fields_: ClassVar = [
        *((name, ctypes.c_uint32) for name in ("src", "dst", "smsk", "dmsk")),
        *_INTERFACES,
        ("proto", ctypes.c_uint16),
        ("flags", ctypes.c_uint8),
        ("invflags", ctypes.c_uint8),
    ]


class Ip6tIp6(ctypes.Structure):
    _fields_: ClassVar = [
        *((name, _Address6) for name in ("src", "dst", "smsk", "dmsk")),
        *_INTERFACES,
        ("proto", ctypes.c_uint16),
        *((name, ctypes.c_uint8) for name in ("tos", "flags", "invflags")),
    ]


class ArptArp(ctypes.Structure):
    _fields_: ClassVar = [
        *((name, ctypes.c_uint32) for name in ("src", "dst", "smsk", "dmsk")),
        ("arhln", ctypes.c_uint8 * 2),
        ("devaddr", ctypes.c_uint8 * 64),
        ("ops", ctypes.c_uint16 * 6),
        *_INTERFACES,
        ("flags", ctypes.c_uint8),
        ("invflags", ctypes.c_uint16),
    ]


def _entry(
    header: type[ctypes.Structure], *more: tuple[str, type[ctypes.c_uint32]]
) -> type[ctypes.Structure]:
    class Entry(ctypes.Structure):
        _fields_: ClassVar = [
            ("header", header),
            *more,
            ("target_offset", ctypes.c_uint16),
            ("next_offset", ctypes.c_uint16),
            ("comefrom", ctypes.c_uint32),
            ("counters", ctypes.c_uint64 * 2),
        ]

    return Entry


class Layout:
    """How a family lays out its entries, and how it is asked."""

    def __init__(self, header: type[ctypes.Structure], entry: type[ctypes.Structure]) -> None:
        self.header = header
        self.header_size = ctypes.sizeof(header)
        self.size = ctypes.sizeof(entry)
        self.offsets_at: int = entry.target_offset.offset
        self.comefrom_at: int = entry.comefrom.offset


IPT = Layout(IptIp, _entry(IptIp, ("nfcache", ctypes.c_uint32)))
IP6T = Layout(Ip6tIp6, _entry(Ip6tIp6, ("nfcache", ctypes.c_uint32)))
ARPT = Layout(ArptArp, _entry(ArptArp))
LAYOUTS: dict[XtFamily, Layout] = {"ip": IPT, "ip6": IP6T, "arp": ARPT}
_GOTO: dict[XtFamily, int] = {"ip": 0x02, "ip6": 0x04, "arp": 0}  # IPT_F_GOTO, IP6T_F_GOTO
_INET_HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_HOOKS: dict[XtFamily, tuple[str, ...]] = {
    "ip": _INET_HOOKS,
    "ip6": _INET_HOOKS,
    "arp": ("INPUT", "OUTPUT", "FORWARD"),
}
# Domain, level and the option of *_SO_GET_INFO; *_SO_GET_ENTRIES is the next one.
_SOCKETS: dict[XtFamily, tuple[int, int, int]] = {
    "ip": (socket.AF_INET, socket.IPPROTO_IP, 64),
    "ip6": (socket.AF_INET6, socket.IPPROTO_IPV6, 64),
    "arp": (socket.AF_INET, socket.IPPROTO_IP, 96),
}


@dataclass(frozen=True, slots=True)
class XtEntry:
    """One entry. `verdict` is that of a standard target which is no jump, else None. `jump` is where a jump lands."""

    offset: int
    end: int
    target_at: int
    target: str
    verdict: str | None
    jump: int | None
    goto: bool


@dataclass(slots=True, eq=False)
class XtChain:
    """`rules` are the offsets in order; `tail` is the policy of a base chain, the return of another."""

    name: str
    hook: int | None
    rules: list[int] = field(default_factory=list)
    tail: int = -1


@dataclass(frozen=True, slots=True)
class XtTable:
    """A table; counters, and the marks of the kernel's own check, are zero in `blob`.

    `chain_of` has the chain of every rule and tail, `heads` the chain that a jump to an offset enters.
    """

    family: XtFamily
    name: str
    blob: bytes
    entries: dict[int, XtEntry]
    chains: tuple[XtChain, ...]
    chain_of: dict[int, XtChain]
    heads: dict[int, XtChain]

    def base(self, hook: int) -> XtChain | None:
        return next((chain for chain in self.chains if chain.hook == hook), None)

    def number(self, offset: int) -> int:
        """What --line-numbers has for a rule."""
        return self.chain_of[offset].rules.index(offset) + 1

    def bytes_of(self, offset: int) -> bytes:
        return self.blob[offset : self.entries[offset].end]


def hook_chain(family: XtFamily, hook: int) -> str | None:
    """The name of the base chain of a hook, `INPUT`."""
    names = _HOOKS[family]
    return names[hook] if 0 <= hook < len(names) else None


def table_names(family: XtFamily) -> tuple[str, ...]:
    """The tables that exist. The kernel would create others, or load their modules, if they were asked for."""
    try:
        text = (_PROC_NET / f"{family}_tables_names").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return ()
    return tuple(text.split())


def read_table(family: XtFamily, name: str) -> XtTable | None:
    """None when there is no such table. Raises OSError when the kernel does not give it."""
    if name not in table_names(family):
        return None
    domain, level, option = _SOCKETS[family]
    with socket.socket(domain, socket.SOCK_RAW, socket.IPPROTO_RAW) as asking:
        for _ in range(_TRIES):
            try:
                return _read(asking.fileno(), family, name, level, option)
            except BlockingIOError:  # EAGAIN: its size changed between the two questions
                continue
            except FileNotFoundError:
                return None
    raise OSError(errno.EAGAIN, f"the table {name} changes too fast to be read")


def get_option(descriptor: int, level: int, option: int, buffer: bytearray) -> None:
    """getsockopt(2) in place; that of Python stops at 1,024 bytes. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    size = ctypes.c_uint32(len(buffer))
    memory = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    if libc.getsockopt(descriptor, level, option, memory, ctypes.byref(size)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _read(descriptor: int, family: XtFamily, name: str, level: int, option: int) -> XtTable:
    # struct ipt_getinfo: name, valid_hooks, hook_entry[], underflow[], num_entries, size
    hooks = len(_HOOKS[family])
    form = f"={_TABLE_NAME_BYTES}s{1 + 2 * hooks + 2}I"
    info = bytearray(struct.calcsize(form))
    struct.pack_into(f"={_TABLE_NAME_BYTES}s", info, 0, name.encode())
    get_option(descriptor, level, option, info)
    _, valid, *numbers, _, size = struct.unpack(form, info)
    if size > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"the table {name} has {size} bytes")
    # struct ipt_get_entries: name, size, then entries, aligned as their 64-bit counters
    start = -(-(_TABLE_NAME_BYTES + 4) // 8) * 8
    answer = bytearray(start + size)
    struct.pack_into(f"={_TABLE_NAME_BYTES}sI", answer, 0, name.encode(), size)
    get_option(descriptor, level, option + 1, answer)
    starts = {hook: (numbers[hook], numbers[hooks + hook]) for hook in range(hooks) if valid & 1 << hook}
    return parse(family, name, answer[start:], starts)


def parse(family: XtFamily, name: str, blob: bytearray, hooks: dict[int, tuple[int, int]]) -> XtTable:
    """`hooks` has first entry and policy of each. Counters in `blob` become zero. Raises OSError for nonsense."""
    try:
        return _parse(family, name, blob, hooks)
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise OSError(errno.EBADMSG, f"the table {name} cannot be understood: {error}") from error


def _parse(family: XtFamily, name: str, blob: bytearray, hooks: dict[int, tuple[int, int]]) -> XtTable:
    layout, goto = LAYOUTS[family], _GOTO[family]
    flags_at = getattr(layout.header, "flags").offset  # noqa: B009 (ctypes fields are unknown to mypy)
    entries: dict[int, XtEntry] = {}
    offset = 0
    while offset < len(blob):
        target_offset, next_offset = struct.unpack_from("=HH", blob, offset + layout.offsets_at)
        if not layout.size <= target_offset < next_offset <= len(blob) - offset:
            raise ValueError(f"offsets at {offset}")
        blob[offset + layout.comefrom_at : offset + layout.size] = bytes(layout.size - layout.comefrom_at)
        at, end = offset + target_offset, offset + next_offset
        target = extension_name(blob[at : at + EXTENSION_HEADER])
        verdict, jump = None, None
        if not target:
            (value,) = struct.unpack_from("=i", blob, at + EXTENSION_HEADER)
            verdict = _VERDICTS[-value - 1] if value < 0 else None
            jump = (
                value if value >= 0 and value != end else None
            )  # a rule without a target goes to the next one
        entries[offset] = XtEntry(
            offset, end, at, target, verdict, jump, bool(blob[offset + flags_at] & goto)
        )
        offset = end
    chains = _chains(family, blob, entries, hooks)
    chain_of = {offset: chain for chain in chains for offset in (*chain.rules, chain.tail)}
    heads = {(chain.rules or [chain.tail])[0]: chain for chain in chains}
    return XtTable(family, name, bytes(blob), entries, chains, chain_of, heads)


def _chains(
    family: XtFamily, blob: bytearray, entries: dict[int, XtEntry], hooks: dict[int, tuple[int, int]]
) -> tuple[XtChain, ...]:
    """Base chains begin where a hook does, others with an ERROR target that holds the name; one more ends it all."""
    base = {first: hook for hook, (first, _) in hooks.items()}
    policies = {policy: hook for hook, (_, policy) in hooks.items()}
    chains: list[XtChain] = []
    chain: XtChain | None = None
    for offset, entry in entries.items():
        is_head = entry.target == _ERROR
        if (is_head or offset in base) and chain is not None:
            _close(chain)
            chain = None
        if is_head:
            if entry.end == len(blob):
                break
            chain = XtChain(c_string(blob[entry.target_at + EXTENSION_HEADER : entry.end]), None)
            chains.append(chain)
            continue
        if offset in base:
            chain = XtChain(_HOOKS[family][base[offset]], base[offset])
            chains.append(chain)
        if chain is None:
            raise ValueError(f"no chain at {offset}")
        chain.rules.append(offset)
        if offset in policies:
            if chain.hook != policies[offset]:
                raise ValueError(f"the policy at {offset}")
            _close(chain)
            chain = None
    if chain is not None:
        _close(chain)
    return tuple(chains)


def _close(chain: XtChain) -> None:
    chain.tail = chain.rules.pop()


# struct xt_entry_match and xt_entry_target: u16 size, name[29], u8 revision, then data
EXTENSION_HEADER = 32
REVISION_AT = 31


def extension_name(extension: bytes | bytearray) -> str:
    return c_string(extension[2:REVISION_AT])


def matches(table: XtTable, offset: int) -> dict[str, bytes]:
    """The data of each match of a rule, by name: the last one where a name comes twice."""
    found = {}
    at, end = offset + LAYOUTS[table.family].size, table.entries[offset].target_at
    while at + EXTENSION_HEADER <= end:
        (size,) = struct.unpack_from("=H", table.blob, at)
        if size < EXTENSION_HEADER:
            break
        found[extension_name(table.blob[at : at + EXTENSION_HEADER])] = table.blob[
            at + EXTENSION_HEADER : at + size
        ]
        at += size
    return found


def c_string(raw: bytes | bytearray) -> str:
    return foreign(bytes(raw).split(b"\0", 1)[0])
