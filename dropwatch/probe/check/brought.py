"""Whether the BTF of a file (--btf) is this kernel's: what is read by it must be as the kernel says in other ways."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from dropwatch.kernel import btf
from dropwatch.kernel.memory import Memory

DOUBT = "what is tried of it is right, but whether all of it is of exactly this kernel is not known"
_SELF = Path("/proc/thread-self")
# Of packets (net/core/skbuff.c), never shared with objects of another size.
_PACKETS = Path("/sys/kernel/slab/skbuff_head_cache/object_size")


def difference() -> str | None:
    """The first thing that is not so, in words; None: all is as the file says. As far as memory may be read here."""
    try:
        with Memory() as memory:
            return next(_differences(memory), None)
    except OSError:
        return None  # another fact says why


def _differences(memory: Memory) -> Iterator[str]:
    task = memory.current_task()
    proxy = memory.word(task + _offset("task_struct", "nsproxy"))
    net = memory.word(proxy + _offset("nsproxy", "net_ns")) + _offset("net", "ns", "inum")
    uts = memory.word(proxy + _offset("nsproxy", "uts_ns"))
    host = uts + _offset("uts_namespace", "name", "nodename")
    told = (
        ("name of this thread", _text(memory, task + _offset("task_struct", "comm")), _own_name()),
        ("network namespace", str(memory.half(net)), str((_SELF / "ns" / "net").stat().st_ino)),
        ("name of this host", _text(memory, host), socket.gethostname()[:8]),
        ("size of a struct sk_buff", str(btf.vmlinux().size("sk_buff")), _packet_size()),
    )
    for name, by_file, own in told:
        if own is not None and by_file != own:
            yield f"by this file the {name} is {by_file!r}, and it is {own!r}"


def _offset(struct_name: str, *path: str) -> int:
    """0 where the file does not have it: what is read there is something else."""
    return btf.vmlinux().offset(struct_name, path) or 0


def _text(memory: Memory, address: int) -> str:
    """Of eight bytes at most."""
    halves = (memory.half(address), memory.half(address + 4))
    raw = b"".join(half.to_bytes(4, sys.byteorder) for half in halves)
    return raw.partition(b"\0")[0].decode(errors="replace")


def _own_name() -> str:
    return (_SELF / "comm").read_bytes().rstrip(b"\n")[:8].decode(errors="replace")


def _packet_size() -> str | None:
    try:
        return _PACKETS.read_text().strip()
    except OSError:
        return None
