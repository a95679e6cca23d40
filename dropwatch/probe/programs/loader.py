"""Loads compiled programs into the running kernel and attaches them. All of it is gone when its descriptors are closed.

The commands and layouts are UAPI: linux/bpf.h (union bpf_attr), linux/perf_event.h.
"""

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Collection, Iterator, Mapping
from fcntl import ioctl
from functools import cache
from pathlib import Path
from typing import Any

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import system_calls
from dropwatch.kernel.cpus import an_online_cpu, possible_cpus
from dropwatch.probe.programs.compiled import Compiled, MapShape
from dropwatch.probe.programs.load import Kind, load_program, load_with_functions
from dropwatch.probe.programs.text import BPF_LOOP, CALLBACKS

KPROBE_PMU = Path("/sys/bus/event_source/devices/kprobe/type")
NO_KPROBES = "this kernel has no kprobes that perf events can make (CONFIG_KPROBE_EVENTS)"
_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY = range(5)
_RAW_TRACEPOINT_OPEN = 17
_PER_CPU_MAPS = (5, 6, 10)  # BPF_MAP_TYPE_PERCPU_HASH, _PERCPU_ARRAY, _LRU_PERCPU_HASH
_NAME_BYTES = 16  # BPF_OBJ_NAME_LEN
_ENABLE, _SET_BPF = 0x2400, 0x40042408  # PERF_EVENT_IOC_...
_RECURSION_MISSES_OFFSET = 208  # struct bpf_prog_info


class Loader:
    """`numbers` are the kernel's, by the names of the text; `entries` those of maps that have no fixed size. `called`
    is a function that programs call where they ask for one.

    What the kernel refuses is raised as OSError, whose `strerror` has the verifier's words.
    """

    def __init__(
        self, compiled: Compiled, numbers: Mapping[str, int], entries: Mapping[str, int], called: bytes = b""
    ) -> None:
        self._compiled = compiled
        self._numbers = numbers
        self._called = called
        self._shapes = {shape.name: shape for shape in compiled.maps}
        self._maps: dict[str, int] = {}
        self._programs: dict[str, int] = {}
        self._attached: dict[tuple[str, str, bool], int] = {}
        self._whole: dict[str, tuple[int, int]] = {}  # by function: program, link
        self._tracepoints: list[int] = []
        try:
            for shape in compiled.maps:
                self._maps[shape.name] = _create_map(shape, entries.get(shape.name, shape.entries))
        except OSError as error:
            self.close()
            raise CannotRunHere(
                f"a BPF map cannot be made: {error.strerror}", "whydrop check tells what this host can do"
            ) from error

    def load(self, program: str, kind: Kind) -> int:
        """Its descriptor; loaded once."""
        if program not in self._programs:
            self._programs[program] = self._load(program, kind)
        return self._programs[program]

    def attach_kprobe(
        self, function: str, program: str, *, at_return: bool = False, address: int | None = None
    ) -> None:
        """`address`: that of the function, where no other has its name: then the kernel need not search for it."""
        descriptor = self.load(program, Kind.KPROBE)
        try:
            event = open_kprobe(function, at_return=at_return, address=address)
        except OSError:
            if address is None:
                raise
            event = open_kprobe(function, at_return=at_return)  # what it says of the name is what counts
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

    def attach_whole(self, function: str, number: int, program: str) -> None:
        """At the return of a function, with its arguments; `number` is that of the function in the kernel's BTF."""
        filled = self._compiled.filled(program, self._numbers, self._maps, self._called)
        descriptor = load_program(program, Kind.TRACING, filled.code, number)
        try:
            link = system_calls.bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QI", 0, descriptor))
        except OSError:
            os.close(descriptor)
            raise
        self._whole[function] = descriptor, link

    def detach_whole(self, function: str) -> None:
        """Nothing where it is not attached."""
        for descriptor in reversed(self._whole.pop(function, ())):
            os.close(descriptor)

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
        for function in list(self._whole):
            self.detach_whole(function)

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

    def _load(self, program: str, kind: Kind) -> int:
        """A kernel without a compiler for programs refuses functions in those that jump to others: then without."""
        filled = self._compiled.filled(program, self._numbers, self._maps, self._called)
        if filled.functions:
            plain = {**self._numbers, BPF_LOOP: 0, **dict.fromkeys(CALLBACKS, 0)}
            with contextlib.suppress(OSError):
                return load_with_functions(program, kind, filled)
            filled = self._compiled.filled(program, plain, self._maps, self._called)
        return load_program(program, kind, filled.code)

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


def open_kprobe(function: str, *, at_return: bool = False, address: int | None = None) -> int:
    """struct perf_event_attr: type, size, config, sample_period, sample_type, read_format, flags, wakeup_events,
    bp_type, config1 (the function's name), config2 (bytes from its begin; without a name: its address). Older kernels
    go through all symbols for a name, which takes ten million instructions (kallsyms_lookup_name).
    """
    name = ctypes.create_string_buffer(function.encode())
    place = (ctypes.addressof(name), 0) if address is None else (0, address)
    pmu, return_bit = _kprobe_pmu()
    config = 1 << return_bit if at_return else 0
    attr = struct.pack("=IIQQQQQIIQQ", pmu, 0, config, 1, 0, 0, 0, 1, 0, *place)
    return system_calls.perf_event_open(attr, an_online_cpu())


@cache
def _kprobe_pmu() -> tuple[int, int]:
    """Its number, and which bit of config makes it a kretprobe: `config:0`."""
    bit = (KPROBE_PMU.parent / "format" / "retprobe").read_text().partition(":")[2]
    return int(KPROBE_PMU.read_text()), int(bit)


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
