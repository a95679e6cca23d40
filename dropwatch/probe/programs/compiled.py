"""Programs as the compiler left them: where a number of the kernel's is needed, the instructions have a placeholder.

A release carries them for all modes in bpf/programs.MACHINE (`make programs`): JSON, compressed with zlib. Instructions
and maps are those of linux/bpf.h.
"""

import json
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from dropwatch.model.dataclass import dataclass

PLACEHOLDERS = 0x5A5A0000  # the placeholder of the first name; the next name has the next number
_INSTRUCTION = struct.Struct("=BBhi")  # code, registers, offset, immediate
_MOVE_IMMEDIATE = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K
_LOAD_IMMEDIATE = 0x18  # BPF_LD | BPF_IMM | BPF_DW
_PSEUDO_MAP_FD = 1  # in the place of the source register


@dataclass(frozen=True, slots=True)
class MapShape:
    """What BPF_MAP_CREATE is asked for: `kind` is enum bpf_map_type, sizes are bytes."""

    name: str
    kind: int
    key_bytes: int
    value_bytes: int
    entries: int
    flags: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """The programs of one mode. `digest` is that of all they were made of. A use of a map has the map's index."""

    digest: str
    names: tuple[str, ...]
    maps: tuple[MapShape, ...]
    programs: dict[str, bytes]

    def instructions(self, program: str, numbers: Mapping[str, int], descriptors: Mapping[str, int]) -> bytes:
        """A program for this kernel. `descriptors` are those of the maps. Raises KeyError for one that is missing."""
        code = bytearray(self.programs[program])
        for at in placeholders(code, self.names):
            name = self.names[immediate(code, at) - PLACEHOLDERS]
            set_immediate(code, at, numbers[name])
        for at in map_uses(code):
            set_immediate(code, at, descriptors[self.maps[immediate(code, at)].name])
        return bytes(code)


def placeholders(code: bytes | bytearray, names: tuple[str, ...]) -> Iterator[int]:
    """Where in the code: bytes from its begin."""
    for at, (operation, _, _, number) in _instructions(code):
        if operation == _MOVE_IMMEDIATE and 0 <= number - PLACEHOLDERS < len(names):
            yield at


def map_uses(code: bytes | bytearray) -> Iterator[int]:
    for at, (operation, registers, _, _) in _instructions(code):
        source = registers >> 4 if sys.byteorder == "little" else registers & 15
        if operation == _LOAD_IMMEDIATE and source == _PSEUDO_MAP_FD:
            yield at


def immediate(code: bytes | bytearray, at: int) -> int:
    return int(_INSTRUCTION.unpack_from(code, at)[3])


def set_immediate(code: bytearray, at: int, number: int) -> None:
    struct.pack_into("=i", code, at + 4, number)


def _instructions(code: bytes | bytearray) -> Iterator[tuple[int, tuple[int, int, int, int]]]:
    return zip(range(0, len(code), _INSTRUCTION.size), _INSTRUCTION.iter_unpack(code), strict=True)


def pack(modes: Mapping[str, Compiled]) -> bytes:
    """The same bytes for the same programs. Those that several modes share stand there once."""
    codes = sorted({code.hex() for mode in modes.values() for code in mode.programs.values()})
    at = {code: index for index, code in enumerate(codes)}
    told = {
        name: asdict(mode)
        | {"programs": {program: at[code.hex()] for program, code in mode.programs.items()}}
        for name, mode in modes.items()
    }
    return zlib.compress(json.dumps({"codes": codes, "modes": told}, sort_keys=True).encode(), 9)


def unpack(packed: bytes) -> dict[str, Compiled]:
    """Raises ValueError, KeyError, TypeError, zlib.error for what pack() did not write."""
    found = json.loads(zlib.decompress(packed))
    codes: list[str] = found["codes"]
    return {name: _mode(told, codes) for name, told in found["modes"].items()}


def _mode(told: dict[str, Any], codes: list[str]) -> Compiled:
    programs = {program: bytes.fromhex(codes[at]) for program, at in told["programs"].items()}
    maps = tuple(MapShape(**shape) for shape in told["maps"])
    return Compiled(told["digest"], tuple(told["names"]), maps, programs)
