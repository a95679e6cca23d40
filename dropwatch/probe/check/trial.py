"""Tries the smallest BPF programs and probes on the running kernel, and takes them away again.

Asks the system calls directly: it must work where bcc and libbpf are missing. The numbers are UAPI:
linux/bpf.h, linux/perf_event.h and the architectures' unistd.h.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

_CALLS = {  # machine: bpf(2), perf_event_open(2)
    "x86_64": (321, 298),
    "aarch64": (280, 241),
    "riscv64": (280, 241),
    "loongarch64": (280, 241),
    "ppc64le": (361, 319),
    "s390x": (351, 331),
}
_MAP_CREATE, _PROG_LOAD, _RAW_TRACEPOINT_OPEN = 0, 5, 17
_MAP_TYPE_RINGBUF = 27
_PROG_TYPE_RAW_TRACEPOINT = 17
_FUNC_PROBE_READ_KERNEL = 113
_PERF_FLAG_FD_CLOEXEC = 8
_ATTR_BYTES = 72  # union bpf_attr as far as used here, and PERF_ATTR_SIZE_VER1
_LOG_BYTES = 16384
_KPROBE_PMU = Path("/sys/bus/event_source/devices/kprobe/type")


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
    return _KPROBE_PMU.exists()


def kprobe(function: str) -> Outcome:
    """Put a kprobe on the entry of a kernel function for a moment. ENODEV where the kernel has no kprobes."""
    try:
        pmu = int(_KPROBE_PMU.read_text())
    except (OSError, ValueError):
        return Outcome(errno.ENODEV)
    name = ctypes.create_string_buffer(function.encode())
    # struct perf_event_attr: type, size, config, sample period, three masks, wakeup, bp_type, config1, config2
    attr = struct.pack("=IIQQQQQIIQQ", pmu, _ATTR_BYTES, 0, 1, 0, 0, 0, 1, 0, ctypes.addressof(name), 0)
    fd, error = _call(1, ctypes.create_string_buffer(attr, _ATTR_BYTES), -1, 0, -1, _PERF_FLAG_FD_CLOEXEC)
    _close(fd)
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
    if error == errno.EPERM and _lift_memlock():
        fd, error = _bpf(_PROG_LOAD, attr)
    told = [
        line for line in log.value.decode(errors="replace").splitlines() if not line.startswith("processed")
    ]
    return fd, Outcome(error, told[-1] if told else "")


def _lift_memlock() -> bool:
    """Before 5.11 BPF memory counts as locked memory, of which little is allowed."""
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        return False
    return True


def _bpf(command: int, attr: bytes) -> tuple[int, int | None]:
    return _call(0, command, ctypes.create_string_buffer(attr, _ATTR_BYTES), _ATTR_BYTES)


def _call(which: int, *arguments: object) -> tuple[int, int | None]:
    """(descriptor, 0), (-1, errno), or (-1, None) where the number of the system call is unknown."""
    calls = _CALLS.get(platform.machine()) if sys.maxsize > 2**32 else None
    if calls is None:
        return -1, None
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    native = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    fd = libc.syscall(ctypes.c_long(calls[which]), *native)
    return (fd, 0) if fd >= 0 else (-1, ctypes.get_errno())


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
