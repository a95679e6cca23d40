"""Loads compiled programs into the running kernel and attaches them. All of it is gone when its descriptors are closed.

The commands and layouts are UAPI: linux/bpf.h (union bpf_attr), linux/perf_event.h.
"""

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Collection, Iterator, Mapping
from enum import IntEnum
from fcntl import ioctl
from pathlib import Path
from typing import Any

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import system_calls
from dropwatch.kernel.cpus import an_online_cpu, possible_cpus
from dropwatch.probe.programs.compiled import Compiled, MapShape

KPROBE_PMU = Path("/sys/bus/event_source/devices/kprobe/type")
NO_KPROBES = "this kernel has no kprobes that perf events can make (CONFIG_KPROBE_EVENTS)"
_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY, _PROG_LOAD = range(6)
_RAW_TRACEPOINT_OPEN = 17
_PER_CPU_MAPS = (5, 6, 10)  # BPF_MAP_TYPE_PERCPU_HASH, _PERCPU_ARRAY, _LRU_PERCPU_HASH
_NAME_BYTES = 16  # BPF_OBJ_NAME_LEN
_LOG_BYTES = 1 << 20
_ENABLE, _SET_BPF = 0x2400, 0x40042408  # PERF_EVENT_IOC_...
_RECURSION_MISSES_OFFSET = 208  # struct bpf_prog_info


class Kind(IntEnum):
    """enum bpf_prog_type"""

    KPROBE = 2
    RAW_TRACEPOINT = 17


class Loader:
    """`numbers` are the kernel's, by the names of the text; `entries` those of maps that have no fixed size.

    What the kernel refuses is raised as OSError, whose `strerror` has the verifier's words.
    """

    def __init__(self, compiled: Compiled, numbers: Mapping[str, int], entries: Mapping[str, int]) -> None:
        self._compiled = compiled
        self._numbers = numbers
        self._shapes = {shape.name: shape for shape in compiled.maps}
        self._maps: dict[str, int] = {}
        self._programs: dict[str, int] = {}
        self._attached: dict[tuple[str, str, bool], int] = {}
        self._tracepoints: list[int] = []
        try:
            for shape in compiled.maps:
                self._maps[shape.name] = _create_map(shape, entries.get(shape.name, shape.entries))
        except OSError as error:
            self.close()
            raise CannotRunHere(
                f"a BPF map cannot be made: {error.strerror}", "whydrop check says what this machine can do"
            ) from error

    def load(self, program: str, kind: Kind) -> int:
        """Its descriptor; loaded once."""
        if program not in self._programs:
            code = self._compiled.instructions(program, self._numbers, self._maps)
            self._programs[program] = _load(program, kind, code)
        return self._programs[program]

    def attach_kprobe(self, function: str, program: str, *, at_return: bool = False) -> None:
        descriptor = self.load(program, Kind.KPROBE)
        event = open_kprobe(function, at_return=at_return)
        try:
            ioctl(event, _SET_BPF, descriptor)
            ioctl(event, _ENABLE, 0)
        except OSError:
            os.close(event)
            raise
        self._attached[function, program, at_return] = event

    def detach_kprobe(self, function: str, program: str, *, at_return: bool = False) -> None:
        """Nothing where it is not attached."""
        event = self._attached.pop((function, program, at_return), None)
        if event is not None:
            os.close(event)

    def attach_tracepoint(self, tracepoint: str, program: str) -> None:
        """A raw tracepoint; several programs run in the order in which they were attached."""
        name = ctypes.create_string_buffer(tracepoint.encode())
        attr = struct.pack("=QI", ctypes.addressof(name), self.load(program, Kind.RAW_TRACEPOINT))
        self._tracepoints.append(system_calls.bpf(_RAW_TRACEPOINT_OPEN, attr))

    def detach(self, but: Collection[str] = ()) -> None:
        """Takes all programs `but` these out of the kernel's way; what they wrote can still be read."""
        while self._tracepoints:
            os.close(self._tracepoints.pop(0))
        for key in [key for key in self._attached if key[1] not in but]:
            os.close(self._attached.pop(key))

    def recursion_misses(self) -> dict[str, int]:
        """By program: runs that the kernel skipped because it was running already on that CPU (since 5.12)."""
        return {name: _recursion_misses(descriptor) for name, descriptor in self._programs.items()}

    def map(self, table: str) -> int:
        """A map's descriptor."""
        return self._maps[table]

    def write(self, table: str, index: int, value: Any) -> None:
        """One element of an array: any ctypes object."""
        key = ctypes.c_uint32(index)
        _element(_MAP_UPDATE, self._maps[table], key, ctypes.addressof(value))

    def sum(self, table: str, index: int) -> int:
        """Of an array of u64 for each CPU."""
        value = self._buffer(table)
        _element(_MAP_LOOKUP, self._maps[table], ctypes.c_uint32(index), ctypes.addressof(value))
        return sum(number for (number,) in struct.iter_unpack("=Q", value))

    def items(self, table: str) -> Iterator[tuple[bytes, int]]:
        """Keys and values of a hash, of those the first u64, of all CPUs added."""
        for key, values in self.elements(table):
            yield key, sum(number for number, *_ in values)

    def elements(self, table: str) -> Iterator[tuple[bytes, list[tuple[int, ...]]]]:
        """Keys and values of a hash, a value for each CPU where it has such, each as u64s.

        What comes or goes meanwhile may be missed.
        """
        descriptor = self._maps[table]
        each = struct.Struct(f"={-(-self._shapes[table].value_bytes // 8)}Q")
        value = self._buffer(table)
        key = ctypes.create_string_buffer(self._shapes[table].key_bytes)
        previous: Any = None
        while True:
            try:
                _element(_MAP_NEXT_KEY, descriptor, previous, ctypes.addressof(key))
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return
                raise
            with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                _element(_MAP_LOOKUP, descriptor, key, ctypes.addressof(value))
                yield key.raw, list(each.iter_unpack(value))
            previous = _key(key.raw)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """One element of a hash that has one value for all CPUs. Raises OSError."""
        bytes_of_value = ctypes.create_string_buffer(value, len(value))
        descriptor = self._maps[table]
        _element(_MAP_UPDATE, descriptor, _key(key), ctypes.addressof(bytes_of_value))

    def delete(self, table: str, key: bytes) -> None:
        """One element of a hash, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            _element(_MAP_DELETE, self._maps[table], _key(key), 0)

    def close(self) -> None:
        self.detach()
        for descriptor in (*self._programs.values(), *self._maps.values()):
            os.close(descriptor)
        self._programs.clear()
        self._maps.clear()

    def _buffer(self, table: str) -> Any:
        shape = self._shapes[table]
        each = possible_cpus() if shape.kind in _PER_CPU_MAPS else 1
        return ctypes.create_string_buffer(each * -(-shape.value_bytes // 8) * 8)


def _create_map(shape: MapShape, entries: int) -> int:
    """map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node, map_name"""
    name = shape.name.encode()[: _NAME_BYTES - 1]
    attr = struct.pack(
        f"=IIIIIII{_NAME_BYTES}s",
        shape.kind,
        shape.key_bytes,
        shape.value_bytes,
        entries,
        shape.flags,
        0,
        0,
        name,
    )
    try:
        return system_calls.bpf(_MAP_CREATE, attr)
    except PermissionError:
        if not system_calls.lift_memlock():
            raise
        return system_calls.bpf(_MAP_CREATE, attr)


def _key(key: bytes) -> Any:
    return ctypes.create_string_buffer(key, len(key))


def _load(program: str, kind: Kind, code: bytes) -> int:
    """Only a refusal is worth the verifier's log, for which the program is loaded again."""
    try:
        return _try_to_load(program, kind, code, None)
    except OSError as refused:
        log = ctypes.create_string_buffer(_LOG_BYTES)
        try:
            return _try_to_load(program, kind, code, log)
        except OSError as error:
            raise OSError(error.errno, _words(log.value) or refused.strerror) from None


def _try_to_load(program: str, kind: Kind, code: bytes, log: Any) -> int:
    """prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags, prog_name"""
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    told = (1, len(log), ctypes.addressof(log)) if log is not None else (0, 0, 0)
    attr = struct.pack(
        f"=IIQQIIQII{_NAME_BYTES}s",
        kind,
        len(code) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(licence),
        *told,
        0,
        0,
        program.encode()[: _NAME_BYTES - 1],
    )
    return system_calls.bpf(_PROG_LOAD, attr)


def _words(log: bytes) -> str:
    """The end of a verifier's log, without its statistics."""
    lines = [line.strip() for line in log.decode(errors="replace").splitlines()]
    return " ".join([line for line in lines if line and not line.startswith("processed ")][-2:])


def open_kprobe(function: str, *, at_return: bool = False) -> int:
    """struct perf_event_attr: type, size, config, sample_period, sample_type, read_format, flags, wakeup_events,
    bp_type, config1 (the function's name), config2 (bytes from its begin)
    """
    name = ctypes.create_string_buffer(function.encode())
    pmu = int(KPROBE_PMU.read_text())
    config = 1 << _return_bit() if at_return else 0
    attr = struct.pack("=IIQQQQQIIQQ", pmu, 0, config, 1, 0, 0, 0, 1, 0, ctypes.addressof(name), 0)
    return system_calls.perf_event_open(attr, an_online_cpu())


def _return_bit() -> int:
    """`config:0`: which bit of config makes it a kretprobe."""
    return int((KPROBE_PMU.parent / "format" / "retprobe").read_text().partition(":")[2])


def _element(command: int, table: int, key: Any, value: int) -> None:
    """map_fd, key, value or next_key, flags"""
    attr = struct.pack("=IIQQQ", table, 0, ctypes.addressof(key) if key is not None else 0, value, 0)
    system_calls.bpf(command, attr)


def _recursion_misses(descriptor: int) -> int:
    try:
        info = system_calls.object_info(descriptor, _RECURSION_MISSES_OFFSET + 8)
    except OSError:
        return 0
    return int(struct.unpack_from("=Q", info, _RECURSION_MISSES_OFFSET)[0])
