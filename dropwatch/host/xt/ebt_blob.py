"""Reads a legacy ebtables table as the kernel holds it, in the namespace that this thread is in.

Layouts and numbers are those of include/uapi/linux/netfilter_bridge/ebtables.h.
"""

import ctypes
import errno
import socket
import struct
from dataclasses import field
from typing import ClassVar

from dropwatch.host.xt.blob import c_string, get_option
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

ACCEPT, DROP, CONTINUE, RETURN = "ACCEPT", "DROP", "CONTINUE", "RETURN"
_VERDICTS = (ACCEPT, DROP, CONTINUE, RETURN)  # EBT_ACCEPT is -1, and so on downwards
_VERDICT_BITS = 0x0F  # EBT_VERDICT_BITS
# The base chain of each hook, NF_BR_PRE_ROUTING first.
HOOK_CHAINS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING", "BROUTING")
_HOOKS = len(HOOK_CHAINS)  # NF_BR_NUMHOOKS
_GET_INFO, _GET_ENTRIES = 128, 129
_MOST_BYTES = 512 << 20
_TRIES = 5
# Where other targets keep their verdict in their data: ebt_nat.h, ebt_arpreply.h, ebt_redirect.h, ebt_mark_t.h.
_VERDICT_AT = {
    "snat": 8,
    "dnat": 8,
    "arpreply": 8,
    "redirect": 0,
    "mark": ctypes.sizeof(ctypes.c_ulong),
}


class EbtReplace(ctypes.Structure):
    _fields_: ClassVar = [
        ("name", ctypes.c_char * 32),
        ("valid_hooks", ctypes.c_uint),
        ("nentries", ctypes.c_uint),
        ("entries_size", ctypes.c_uint),
        ("hook_entry", ctypes.c_void_p * _HOOKS),
        ("num_counters", ctypes.c_uint),
        ("counters", ctypes.c_void_p),
        ("entries", ctypes.c_void_p),
    ]


class EbtEntries(ctypes.Structure):
    _fields_: ClassVar = [
        ("distinguisher", ctypes.c_uint),
        ("name", ctypes.c_char * 32),
        ("counter_offset", ctypes.c_uint),
        ("policy", ctypes.c_int),
        ("nentries", ctypes.c_uint),
        ("data", ctypes.c_uint64 * 0),
    ]


class EbtEntry(ctypes.Structure):
    _fields_: ClassVar = [
        ("bitmask", ctypes.c_uint),
        ("invflags", ctypes.c_uint),
        ("ethproto", ctypes.c_uint16),
        ("interfaces", ctypes.c_char * 64),
        ("addresses", ctypes.c_uint8 * 24),
        ("watchers_offset", ctypes.c_uint),
        ("target_offset", ctypes.c_uint),
        ("next_offset", ctypes.c_uint),
        ("elems", ctypes.c_uint64 * 0),
    ]


class EbtTarget(ctypes.Structure):
    _fields_: ClassVar = [
        ("name", ctypes.c_char * 31),
        ("revision", ctypes.c_uint8),
        ("size", ctypes.c_uint),
        ("data", ctypes.c_uint64 * 0),
    ]


@dataclass(frozen=True, slots=True)
class EbtRule:
    """`verdict` is what its target says, None for a jump and for a target that is not known. `jump` names a chain."""

    index: int
    target: str
    verdict: str | None
    jump: str | None


@dataclass(slots=True, eq=False)
class EbtChain:
    name: str
    hook: int | None
    policy: str
    rules: list[EbtRule] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EbtTable:
    """`blob` has no counters in it. Base chains come first."""

    name: str
    blob: bytes
    chains: tuple[EbtChain, ...]

    @property
    def entries(self) -> int:
        return sum(len(chain.rules) for chain in self.chains)

    def base(self, hook: int) -> EbtChain | None:
        return next((chain for chain in self.chains if chain.hook == hook), None)

    def chain(self, name: str) -> EbtChain:
        return next(chain for chain in self.chains if chain.name == name)


def read_ebt_table(name: str) -> EbtTable:
    """Raises OSError. Only for a table that is known to exist: the kernel makes one that is asked for."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as asking:
        for _ in range(_TRIES):
            replace = EbtReplace(name=name.encode())
            info = bytearray(replace)
            get_option(asking.fileno(), socket.IPPROTO_IP, _GET_INFO, info)
            found = EbtReplace.from_buffer_copy(info)
            size = found.entries_size
            if size > _MOST_BYTES:
                raise OSError(errno.EFBIG, f"the table {name} has {size} bytes")
            entries = (ctypes.c_char * max(size, 1))()
            replace.nentries, replace.entries_size = found.nentries, size
            replace.entries = ctypes.addressof(entries)
            # The kernel wants the size of everything it will write as the size of the option.
            question = bytearray(bytes(replace) + bytes(size))
            try:
                get_option(asking.fileno(), socket.IPPROTO_IP, _GET_ENTRIES, question)
            except OSError as error:
                if error.errno == errno.EINVAL:  # it was changed between the two questions
                    continue
                raise
            return parse(name, bytes(entries)[:size], found.valid_hooks)
    raise OSError(errno.EAGAIN, f"the table {name} changes too fast to be read")


def parse(name: str, blob: bytes, valid_hooks: int) -> EbtTable:
    """Raises OSError for nonsense."""
    try:
        return EbtTable(name, blob, tuple(_chains(blob, valid_hooks)))
    except (struct.error, ValueError, KeyError, IndexError) as error:
        raise OSError(errno.EBADMSG, f"the table {name} cannot be understood: {error}") from error


def _chains(blob: bytes, valid_hooks: int) -> list[EbtChain]:
    names = {offset: foreign(head.name) for offset, head in _walk(blob) if _is_head(head)}
    hooks = iter([hook for hook in range(_HOOKS) if valid_hooks & 1 << hook])
    chains: list[EbtChain] = []
    index = 0
    for offset, item in _walk(blob):
        if _is_head(item):
            policy = _VERDICTS[-item.policy - 1]
            chains.append(EbtChain(names[offset], next(hooks, None), policy))
            continue
        at = offset + item.target_offset
        target = EbtTarget.from_buffer_copy(blob, at)
        data = blob[at + ctypes.sizeof(EbtTarget) : offset + item.next_offset]
        chains[-1].rules.append(_rule(index, c_string(target.name), data, names))
        index += 1
    return chains


def _rule(index: int, target: str, data: bytes, names: dict[int, str]) -> EbtRule:
    if target == "standard":
        (value,) = struct.unpack_from("=i", data)
        if value >= 0:
            return EbtRule(index, target, None, names[value])
        return EbtRule(index, target, _VERDICTS[-value - 1], None)
    if target not in _VERDICT_AT:
        return EbtRule(index, target, None, None)
    (value,) = struct.unpack_from("=i", data, _VERDICT_AT[target])
    return EbtRule(index, target, _VERDICTS[-(value | ~_VERDICT_BITS) - 1], None)


def _walk(blob: bytes) -> list[tuple[int, ctypes.Structure]]:
    """EbtEntries and EbtEntry in their order."""
    found: list[tuple[int, ctypes.Structure]] = []
    offset = 0
    while offset < len(blob):
        (mask,) = struct.unpack_from("=I", blob, offset)
        item = (EbtEntry if mask else EbtEntries).from_buffer_copy(blob, offset)
        found.append((offset, item))
        step = item.next_offset if mask else ctypes.sizeof(EbtEntries)
        if step < ctypes.sizeof(EbtEntries):
            raise ValueError(f"offsets at {offset}")
        offset += step
    return found


def _is_head(item: ctypes.Structure) -> bool:
    return isinstance(item, EbtEntries)
