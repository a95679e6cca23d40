"""bpf(2), perf_event_open(2) and pidfd_getfd(2), which the C library has no functions for.

The numbers are UAPI: linux/bpf.h, linux/perf_event.h and the architectures' unistd.h.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from functools import cache
from typing import Any

_NUMBERS = {  # machine: bpf(2), perf_event_open(2)
    "x86_64": (321, 298),
    "aarch64": (280, 241),
    "riscv64": (280, 241),
    "loongarch64": (280, 241),
    "ppc64le": (361, 319),
    "s390x": (351, 331),
}
_PIDFD_GETFD = 438  # the same on all machines
_OBJ_GET_INFO_BY_FD = 15
_PERF_FLAG_FD_CLOEXEC = 8
_ATTR_BYTES = 120  # union bpf_attr and struct perf_event_attr as far as they are used here; the rest is zeros


def are_known() -> bool:
    """Whether this machine's numbers of the calls are known; without them each raises ENOSYS."""
    return sys.maxsize > 2**32 and platform.machine() in _NUMBERS


def bpf(command: int, attr: bytes) -> int:
    """A descriptor, or what the command returns. `attr` is the command's part of union bpf_attr. Raises OSError."""
    return _call(0, ctypes.c_int(command), ctypes.create_string_buffer(attr, _ATTR_BYTES), _ATTR_BYTES)


def bpf_answer(command: int, attr: bytes) -> bytes:
    """The same; what the kernel has written into union bpf_attr."""
    buffer = ctypes.create_string_buffer(attr, _ATTR_BYTES)
    _call(0, ctypes.c_int(command), buffer, _ATTR_BYTES)
    return buffer.raw


def object_info(descriptor: int, length: int) -> bytes:
    """The begin of struct bpf_map_info or bpf_prog_info; what the kernel does not know is zeros. Raises OSError."""
    info = ctypes.create_string_buffer(length)
    bpf(_OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", descriptor, length, ctypes.addressof(info)))
    return info.raw


def perf_event_open(attr: bytes, cpu: int) -> int:
    """A descriptor of an event of all processes on one CPU. Raises OSError."""
    own_size = attr[:4] + _ATTR_BYTES.to_bytes(4, sys.byteorder) + attr[8:]
    buffer = ctypes.create_string_buffer(own_size, _ATTR_BYTES)
    return _call(1, buffer, -1, cpu, -1, _PERF_FLAG_FD_CLOEXEC)


def pidfd_getfd(process: int, descriptor: int) -> int:
    """A copy of the descriptor of a process, of which there is a pidfd. Raises OSError; before 5.6 ENOSYS."""
    arguments = (ctypes.c_long(value) for value in (_PIDFD_GETFD, process, descriptor, 0))
    return _checked(int(_libc().syscall(*arguments)))


def option_length(descriptor: int, level: int, option: int) -> int:
    """What getsockopt(2) says the length of an option is when there is no room for it. Raises OSError."""
    length = ctypes.c_uint(0)
    _checked(int(_libc().getsockopt(descriptor, level, option, None, ctypes.byref(length))))
    return length.value


def lift_memlock() -> bool:
    """Before 5.11 BPF memory counts as locked memory, of which little is allowed. False: may not be lifted."""
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        return False
    return True


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _call(which: int, *arguments: Any) -> int:
    if not are_known():
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    number = _NUMBERS[platform.machine()][which]
    native = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(int(_libc().syscall(ctypes.c_long(number), *native)))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
