"""When configuration was changed last: the typed mirror of the times of bpf/changes.c."""

import ctypes
import mmap
from ctypes import c_uint64

from dropwatch.model.change import Change

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


def last_change(times: bytes | mmap.mmap, kind: Change, inode: int) -> int:
    """The monotonic time of the last change of a kind in a namespace, 0: none was seen."""

    def at(place: int) -> int:
        index = place % CHANGE_PLACES * CHANGE_KINDS + KINDS.index(kind)
        return c_uint64.from_buffer_copy(times, index * ctypes.sizeof(c_uint64)).value

    return max(at(inode), at(0))  # place 0: of all namespaces
