"""Tries the smallest BPF programs and probes on the running kernel, and takes them away again.

Asks the system calls directly: it must work where libbpf is missing. The numbers are UAPI: linux/bpf.h.
"""

import ctypes
import errno
import os
import resource
import struct
import sys
from collections.abc import Callable

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf, system_calls
from dropwatch.model.dataclass import dataclass
from dropwatch.probe.programs.load import Kind, load_program
from dropwatch.probe.programs.loader import KPROBE_PMU, open_kprobe

ENOTSUPP = 524  # include/linux/errno.h: the kernel's own; no BPF trampolines for this kind of program
_MAP_CREATE, _PROG_LOAD, _RAW_TRACEPOINT_OPEN = 0, 5, 17
_MAP_TYPE_RINGBUF = 27
_PROG_TYPE_RAW_TRACEPOINT = 17
_FUNC_PROBE_READ_KERNEL = 113
_LOG_BYTES = 16384


@dataclass(frozen=True, slots=True)
class Outcome:
    """`error` is an errno, 0 when it worked, None when it was not tried; `log` the verifier's last line."""

    error: int | None
    log: str = ""

    @property
    def worked(self) -> bool:
        return self.error == 0

    @property
    def refused(self) -> bool:
        """The kernel knows it and says that we may not."""
        return self.error in (errno.EPERM, errno.EACCES)

    @property
    def words(self) -> str:
        if self.error == ENOTSUPP:
            return "this kernel has none"
        return os.strerror(self.error) if self.error else ""


def program(*, reading: bool) -> Outcome:
    """Load a raw tracepoint program, one that reads kernel memory or one that does nothing."""
    fd, outcome = _load(reading=reading)
    _close(fd)
    return outcome


def raw_tracepoint(name: str) -> Outcome:
    """Load a program that does nothing and hang it on a raw tracepoint for a moment."""
    fd, outcome = _load(reading=False)
    if not outcome.worked:
        return outcome
    text = ctypes.create_string_buffer(name.encode())
    attached, error = _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QI", ctypes.addressof(text), fd))
    _close(attached)
    _close(fd)
    return Outcome(error)


def ring_buffer() -> Outcome:
    """Create a ring buffer of one page."""
    attr = struct.pack("=IIIII", _MAP_TYPE_RINGBUF, 0, 0, resource.getpagesize(), 0)
    fd, error = _bpf(_MAP_CREATE, attr)
    _close(fd)
    return Outcome(error)


def has_kprobes() -> bool:
    """Whether the kernel was built with them; to whom it gives them only kprobe() can tell."""
    return KPROBE_PMU.exists()


def kprobe(function: str) -> Outcome:
    """Put a kprobe on the entry of a kernel function for a moment. ENODEV where the kernel has no kprobes."""
    if not has_kprobes():
        return Outcome(errno.ENODEV)
    try:
        fd, error = _tried(lambda: open_kprobe(function))
    except ValueError:
        return Outcome(errno.ENODEV)
    _close(fd)
    return Outcome(error)


def trampoline(function: str) -> Outcome:
    """Run a BPF program at the return of a kernel function for a moment. ENOENT where BTF has no such function."""
    try:
        number = btf.vmlinux().function(function)
    except CannotRunHere as without:
        return Outcome(errno.ENOENT, without.message)
    if number is None:
        return Outcome(errno.ENOENT)
    program, error = _tried(lambda: load_program("whydrop_trial", Kind.TRACING, _RETURN_0, number))
    if error == 0:
        link, error = _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QI", 0, program))
        _close(link)
    _close(program)
    return Outcome(error)


def _instruction(code: int, dst: int = 0, src: int = 0, imm: int = 0) -> bytes:
    return struct.pack("=BBhi", code, dst | src << 4 if sys.byteorder == "little" else dst << 4 | src, 0, imm)


_RETURN_0 = _instruction(0xB7) + _instruction(0x95)
_READ = (
    _instruction(0xBF, dst=1, src=10)  # r1 = frame pointer
    + _instruction(0x07, dst=1, imm=-8)  # r1 -= 8
    + _instruction(0xB7, dst=2, imm=8)  # r2 = 8 bytes
    + _instruction(0xB7, dst=3)  # r3 = address 0: never run, only judged
    + _instruction(0x85, imm=_FUNC_PROBE_READ_KERNEL)
)


def _load(*, reading: bool) -> tuple[int, Outcome]:
    text = (_READ if reading else b"") + _RETURN_0
    code = ctypes.create_string_buffer(text, len(text))
    licence = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(_LOG_BYTES)
    attr = struct.pack(
        "=IIQQIIQ",
        _PROG_TYPE_RAW_TRACEPOINT,
        len(text) // 8,
        ctypes.addressof(code),
        ctypes.addressof(licence),
        1,
        _LOG_BYTES,
        ctypes.addressof(log),
    )
    fd, error = _bpf(_PROG_LOAD, attr)
    if error == errno.EPERM and system_calls.lift_memlock():
        fd, error = _bpf(_PROG_LOAD, attr)
    told = [
        line for line in log.value.decode(errors="replace").splitlines() if not line.startswith("processed")
    ]
    return fd, Outcome(error, told[-1] if told else "")


def _bpf(command: int, attr: bytes) -> tuple[int, int | None]:
    return _tried(lambda: system_calls.bpf(command, attr))


def _tried(call: Callable[[], int]) -> tuple[int, int | None]:
    """(descriptor, 0), (-1, errno), or (-1, None) where the number of the system call is unknown."""
    if not system_calls.are_known():
        return -1, None
    try:
        return call(), 0
    except OSError as error:
        return -1, error.errno


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
