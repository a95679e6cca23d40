"""When configuration was changed last: the typed mirror of the times of bpf/changes.c."""

import ctypes
import mmap
import struct
from ctypes import c_uint64

from dropwatch.model.change import Change
from dropwatch.model.drop import Address

KINDS: tuple[Change, ...] = (
    "namespace",
    "links",
    "routes",
    "policies",
    "SAs",
    "sysctls",
    "tc",
    "SA updates",
    "programs",
    "departures",
)  # enum change
CHANGE_PLACES, CHANGE_KINDS = 4096, 10
CHANGES_BYTES = CHANGE_PLACES * CHANGE_KINDS * ctypes.sizeof(c_uint64)
DEPARTURES_BYTES = CHANGE_PLACES * ctypes.sizeof(c_uint64)
_MAPPED = bytes(10) + b"\xff\xff"  # addresses of IPv4 among those of IPv6


def last_change(times: bytes | mmap.mmap, kind: Change, inode: int) -> int:
    """The monotonic time of the last change of a kind in a namespace, 0: none was seen."""

    def at(place: int) -> int:
        index = place % CHANGE_PLACES * CHANGE_KINDS + KINDS.index(kind)
        return c_uint64.from_buffer_copy(times, index * ctypes.sizeof(c_uint64)).value

    return max(at(inode), at(0))  # place 0: of all namespaces


def last_departure(times: bytes | mmap.mmap, inode: int, what: Address | int) -> int:
    """The monotonic time when an address or group, or the interface of this number, went there; 0: it was not seen to.

    Another may share its place, and counts as well: it is one only where something went from this namespace.
    """
    if isinstance(what, int):
        words = (0, 0, 0, what)
    else:
        words = struct.unpack("=4I", what.packed if what.version == 6 else _MAPPED + what.packed)
    total = inode
    for word in words:
        total = (total ^ word) * 0x9E3779B1 & 0xFFFFFFFF
    return c_uint64.from_buffer_copy(times, (total >> 20) * ctypes.sizeof(c_uint64)).value
