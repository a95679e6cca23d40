"""Compiled programs: numbers and maps take their places, and a file gives back what was put into it."""

import struct
import sys

import pytest

from dropwatch.probe.programs.compiled import PLACEHOLDERS, Compiled, MapShape, immediate, pack, unpack


def instruction(operation: int, number: int, source: int = 0) -> bytes:
    registers = source << 4 if sys.byteorder == "little" else source
    return struct.pack("=BBhi", operation, registers, 0, number)


def test_numbers_and_maps_take_their_places() -> None:
    move, other, wide = 0xB7, 0xB4, 0x18
    code = b"".join(
        (
            instruction(move, PLACEHOLDERS + 1),
            instruction(move, 7),
            instruction(other, PLACEHOLDERS),
            instruction(move, PLACEHOLDERS + 2),
            instruction(wide, 1, source=1) + instruction(0, 0),
            instruction(wide, 1) + instruction(0, 0),
        )
    )
    shapes = (MapShape("a", 2, 4, 8, 1, 0), MapShape("b", 2, 4, 8, 1, 0))
    compiled = Compiled("digest", ("X", "Y"), shapes, {"on": code})
    assert unpack(pack({"findings": compiled})) == {"findings": compiled}
    filled = compiled.instructions("on", {"X": 1, "Y": 232}, {"a": 4, "b": 5})
    immediates = [immediate(filled, at) for at in range(0, len(filled), 8)]
    assert immediates == [232, 7, PLACEHOLDERS, PLACEHOLDERS + 2, 5, 0, 1, 0]
    with pytest.raises(KeyError):
        compiled.instructions("on", {"X": 1}, {"a": 4, "b": 5})
