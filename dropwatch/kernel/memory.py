"""Reads words of the kernel's memory, with two small BPF programs that run when they are asked (BPF_PROG_TEST_RUN).

It takes what whydrop's own programs take, and no list of symbols. The numbers are UAPI: linux/bpf.h.
"""

import ctypes
import os
import struct
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from dropwatch.kernel import system_calls

if TYPE_CHECKING:
    from typing_extensions import Self


_MAP_CREATE, _PROG_LOAD, _TEST_RUN = 0, 5, 10
_PERCPU_ARRAY, _RAW_TRACEPOINT = 6, 17  # enum bpf_map_type, bpf_prog_type
_LOOKUP, _CURRENT_TASK, _READ_KERNEL = 1, 35, 113  # enum bpf_func_id
_MAP_FD = 1  # BPF_PSEUDO_MAP_FD
_ON_CPU = 1  # BPF_F_TEST_RUN_ON_CPU
_MAP, _VALUE = 0, 1


class Memory:
    """A context. What cannot be read is 0; OSError where the kernel does not run such programs."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._reading: int | None = None

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def current_task(self) -> int:
        """Address of this thread's struct task_struct."""
        return self.word(0)

    def word(self, address: int) -> int:
        """The eight bytes at an address."""
        if self._reading is None:
            self._reading = self._load(_READ)
        return _run(self._reading, address)

    def half(self, address: int) -> int:
        """The four bytes at an address."""
        word = self.word(address)
        return word & 0xFFFFFFFF if sys.byteorder == "little" else word >> 32

    def map(self, descriptor: int) -> int:
        """Address of the struct bpf_map of a map."""
        return _run(self._load(_of_map(descriptor)), _MAP)

    def value(self, descriptor: int, cpu: int) -> int:
        """Address of the first value of an array for each CPU, on that CPU."""
        return _run(self._load(_of_map(descriptor)), _VALUE, cpu)

    def per_cpu_array(self) -> int:
        """A map of one value, which goes with this context."""
        return self._keep(system_calls.bpf(_MAP_CREATE, struct.pack("=IIII", _PERCPU_ARRAY, 4, 8, 1)))

    def _load(self, code: bytes) -> int:
        text, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
        attr = struct.pack(
            "=IIQQ", _RAW_TRACEPOINT, len(code) // 8, ctypes.addressof(text), ctypes.addressof(licence)
        )
        return self._keep(system_calls.bpf(_PROG_LOAD, attr))

    def _keep(self, descriptor: int) -> int:
        self._open.callback(os.close, descriptor)
        return descriptor


def _run(program: int, argument: int, cpu: int | None = None) -> int:
    """It answers 32 bits at a time."""
    low, high = (_half(program, argument, shift, cpu) for shift in (0, 32))
    return high << 32 | low


def _half(program: int, argument: int, shift: int, cpu: int | None) -> int:
    """prog_fd, retval, sizes and places of data, repeat, duration, size and place of the context, flags, cpu"""
    context = ctypes.create_string_buffer(struct.pack("=QQ", argument, shift), 16)
    place = struct.pack("=IIQQ", 16, 0, ctypes.addressof(context), 0)
    where = struct.pack("=II", 0 if cpu is None else _ON_CPU, cpu or 0)
    attr = struct.pack("=I", program) + bytes(36) + place + where
    return int(struct.unpack_from("=I", system_calls.bpf_answer(_TEST_RUN, attr), 4)[0])


def _instruction(code: int, dst: int = 0, src: int = 0, offset: int = 0, number: int = 0) -> bytes:
    registers = dst | src << 4 if sys.byteorder == "little" else dst << 4 | src
    return struct.pack("=BBhi", code, registers, offset, number)


def _copy(dst: int, src: int) -> bytes:
    return _instruction(0xBF, dst, src)


def _number(dst: int, number: int) -> bytes:
    return _instruction(0xB7, dst, number=number)


def _stack(dst: int, offset: int) -> bytes:
    """dst = frame pointer + offset"""
    return _copy(dst, 10) + _instruction(0x07, dst, number=offset)


def _word_of(dst: int, src: int, offset: int) -> bytes:
    """dst = eight bytes at src + offset"""
    return _instruction(0x79, dst, src, offset)


def _store(offset: int, src: int) -> bytes:
    """eight bytes at frame pointer + offset = src"""
    return _instruction(0x7B, 10, src, offset)


def _call(function: int) -> bytes:
    return _instruction(0x85, number=function)


_ARGUMENT, _SHIFT = 0, 8  # in the context
# The shift is in r7, the argument in r8; the answer is in r0.
_BEGIN = _word_of(7, 1, _SHIFT) + _word_of(8, 1, _ARGUMENT)
_END = _instruction(0x7F, 0, 7) + _instruction(0x95)  # r0 >>= r7; exit
_READ_TO_R0 = _stack(1, -24) + _number(2, 8) + _call(_READ_KERNEL) + _word_of(0, 10, -24)
_FETCH = _copy(3, 8) + _READ_TO_R0
_READ = (
    _BEGIN
    + _instruction(0x55, 8, offset=2)  # argument != 0: past the next two
    + _call(_CURRENT_TASK)
    + _instruction(0x05, offset=len(_FETCH) // 8)
    + _FETCH
    + _END
)


def _of_map(descriptor: int) -> bytes:
    """A pointer becomes a number on the stack, where the reader finds it."""
    look = _instruction(0x62, 10, offset=-4) + _stack(2, -4) + _call(_LOOKUP)  # key 0
    keep = _store(-16, 0)
    tell = _stack(3, -16) + _READ_TO_R0
    none = len(keep + tell) // 8
    value = look + _instruction(0x15, 0, offset=none) + keep  # r0 == 0: no value
    return (
        _BEGIN
        + _instruction(0x18, 1, _MAP_FD, number=descriptor)
        + _instruction(0)
        + _store(-16, 1)
        + _instruction(0x15, 8, offset=len(value) // 8)  # argument == 0: the map itself
        + value
        + tell
        + _END
    )
