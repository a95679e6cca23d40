"""Programs as the compiler left them: where a number of the kernel's is needed, the instructions have a placeholder.

A release carries them for all modes in bpf/programs.MACHINE (`make programs`): JSON, compressed with zlib. Instructions
and maps are those of linux/bpf.h.
"""

import json
import struct
import sys
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from dropwatch.model.dataclass import dataclass

PLACEHOLDERS = 0x5A5A0000  # the placeholder of the first name; the next name has the next number
_INSTRUCTION = struct.Struct("=BBhi")  # code, registers, offset, immediate
_MOVE_IMMEDIATE = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K
_MOVE = 0xBF  # BPF_ALU64 | BPF_MOV | BPF_X
_LOAD_IMMEDIATE = 0x18  # BPF_LD | BPF_IMM | BPF_DW
_CALL = 0x85  # BPF_JMP | BPF_CALL
_HAVE_NUMBERS = (_MOVE_IMMEDIATE, _LOAD_IMMEDIATE, _CALL)
_PSEUDO_CALL, _PSEUDO_MAP_FD, _PSEUDO_FUNC = 1, 1, 4  # in the place of the source register
_CALLBACK = "CALLBACK_"  # then the program's name


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

    def filled(
        self,
        program: str,
        numbers: Mapping[str, int],
        descriptors: Mapping[str, int],
        called: bytes = b"",
    ) -> "Filled":
        """A program for this kernel. `descriptors` are those of the maps. Raises KeyError for one that is missing.

        `called` is put behind it, and called where it asks for that; without it the number is the answer. So are the
        programs that a helper calls, where their number is not 0.
        """
        code = bytearray(self.programs[program])
        behind: dict[str, int] = {}  # name of a function: where it begins
        for at in list(placeholders(code, self.names)):
            name = self.names[immediate(code, at) - PLACEHOLDERS]
            function = b""
            if code[at] == _CALL:
                function = called
            elif name.startswith(_CALLBACK) and numbers[name]:
                inner = self.filled(name.removeprefix(_CALLBACK), numbers, descriptors)
                function = _SECOND_IS_FIRST + inner.code
            if function:
                begin = behind.setdefault(name, len(code))
                code += function if begin == len(code) else b""
                _refer(code, at, begin)
            elif code[at] == _CALL:
                code[at : at + _INSTRUCTION.size] = _INSTRUCTION.pack(_MOVE_IMMEDIATE, 0, 0, numbers[name])
            else:
                set_immediate(code, at, numbers[name])
        for at in map_uses(self.programs[program]):
            set_immediate(code, at, descriptors[self.maps[immediate(code, at)].name])
        is_callback = any(name.startswith(_CALLBACK) for name in behind)
        return Filled(bytes(code), tuple(behind.values()) if is_callback else ())


@dataclass(frozen=True, slots=True)
class Filled:
    """`functions`: where those begin that the kernel wants types of, because it is told their addresses."""

    code: bytes
    functions: tuple[int, ...]


# What bpf_loop hands a program is its second argument, and a program has one.
_SECOND_IS_FIRST = _INSTRUCTION.pack(_MOVE, 2 << 4 | 1 if sys.byteorder == "little" else 1 << 4 | 2, 0, 0)


def placeholders(code: bytes | bytearray, names: tuple[str, ...]) -> Iterator[int]:
    """Where in the code: bytes from its begin."""
    for at, (operation, _, _, number) in _instructions(code):
        if operation in _HAVE_NUMBERS and 0 <= number - PLACEHOLDERS < len(names):
            yield at


def _refer(code: bytearray, at: int, target: int) -> None:
    """To what begins at the byte `target`, as a function of the same program: by a call, or by its address."""
    pseudo = _PSEUDO_CALL if code[at] == _CALL else _PSEUDO_FUNC
    registers = code[at + 1] & (0x0F if sys.byteorder == "little" else 0xF0)
    registers |= pseudo << 4 if sys.byteorder == "little" else pseudo
    steps = (target - at) // _INSTRUCTION.size - 1
    code[at : at + _INSTRUCTION.size] = _INSTRUCTION.pack(code[at], registers, 0, steps)


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


def unpack(packed: bytes, modes: Collection[str] = ()) -> dict[str, Compiled]:
    """Of these modes, without any: of all. Raises ValueError, KeyError, TypeError, zlib.error for what pack() did not
    write.
    """
    found = json.loads(zlib.decompress(packed))
    codes: list[str] = found["codes"]
    return {name: _mode(told, codes) for name, told in found["modes"].items() if not modes or name in modes}


def _mode(told: dict[str, Any], codes: list[str]) -> Compiled:
    programs = {program: bytes.fromhex(codes[at]) for program, at in told["programs"].items()}
    maps = tuple(MapShape(**shape) for shape in told["maps"])
    return Compiled(told["digest"], tuple(told["names"]), maps, programs)
