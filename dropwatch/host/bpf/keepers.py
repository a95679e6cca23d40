"""Who keeps a BPF program: files in a file system of BPF, and processes with a descriptor of it or of its link."""

import ctypes
import errno
import os
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dropwatch.host.open_files import open_files
from dropwatch.kernel import system_calls
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Process
from dropwatch.names.foreign import foreign

_PROC = Path("/proc")
_MOUNTS = Path("/proc/self/mountinfo")
_OBJ_GET = 7  # BPF_OBJ_GET
_READ_ONLY = 1 << 3  # BPF_F_RDONLY
_KEPT = frozenset({"anon_inode:bpf-prog", "anon_inode:bpf_link", "anon_inode:bpf-link"})
_LONGEST_S = 2.0


@dataclass(frozen=True, slots=True)
class Keepers:
    """`pinned` are paths, as `foreign` spells them."""

    pinned: tuple[str, ...] = ()
    processes: tuple[Process, ...] = ()


def read_keepers(program: int) -> Keepers:
    """Raises OSError (ETIMEDOUT) where there is too much to look through."""
    until = time.monotonic() + _LONGEST_S
    return Keepers(tuple(_pinned(program, until)), tuple(_processes(program, until)))


def program_of(about: bytes) -> int | None:
    """From the fdinfo of a program or of a link to one."""
    for line in about.splitlines():
        key, _, value = line.partition(b":")
        if key == b"prog_id":
            return int(value)
    return None


def bpf_mounts(mountinfo: bytes) -> tuple[bytes, ...]:
    """Where file systems of BPF are."""
    lines = (line.partition(b" - ") for line in mountinfo.splitlines())
    return tuple(_unescaped(before.split(b" ")[4]) for before, _, after in lines if after.startswith(b"bpf "))


def _unescaped(path: bytes) -> bytes:
    """The kernel writes blanks and the like as octal numbers."""
    for code in (b"040", b"011", b"012", b"134"):
        path = path.replace(b"\\" + code, bytes((int(code, 8),)))
    return path


def _pinned(program: int, until: float) -> Iterator[str]:
    for mount in bpf_mounts(_MOUNTS.read_bytes()):
        for directory, _, names in os.walk(mount):
            for name in names:
                _in_time(until)
                path = directory + b"/" + name
                if _pins(path) == program:
                    yield foreign(path)


def _pins(path: bytes) -> int | None:
    """The number of the program, or of the link's; None: it is a map, or has gone."""
    try:
        descriptor = _opened(path)
    except OSError:
        return None
    try:
        return program_of((_PROC / "self" / "fdinfo" / str(descriptor)).read_bytes())
    finally:
        os.close(descriptor)


def _opened(path: bytes) -> int:
    """A descriptor of what is pinned there, which changes nothing of it."""
    text = ctypes.create_string_buffer(path)
    return system_calls.bpf(_OBJ_GET, struct.pack("=QII", ctypes.addressof(text), 0, _READ_ONLY))


def _processes(program: int, until: float) -> Iterator[Process]:
    own = os.getpid()
    for process in _PROC.iterdir():
        if process.name.isdecimal() and int(process.name) != own and _has(process, program, until):
            yield Process(int(process.name), _comm(process))


def _has(process: Path, program: int, until: float) -> bool:
    for number, target in open_files(process):
        _in_time(until)
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):  # closed meanwhile, or ended
            if target in _KEPT and program_of((process / "fdinfo" / number).read_bytes()) == program:
                return True
    return False


def _comm(process: Path) -> str | None:
    try:
        return foreign((process / "comm").read_bytes().removesuffix(b"\n"))
    except OSError:
        return None


def _in_time(until: float) -> None:
    if time.monotonic() > until:
        raise OSError(errno.ETIMEDOUT, "too many files are open or pinned to look through")
