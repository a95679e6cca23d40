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
    filled = compiled.filled("on", {"X": 1, "Y": 232}, {"a": 4, "b": 5}).code
    immediates = [immediate(filled, at) for at in range(0, len(filled), 8)]
    assert immediates == [232, 7, PLACEHOLDERS, PLACEHOLDERS + 2, 5, 0, 1, 0]
    with pytest.raises(KeyError):
        compiled.filled("on", {"X": 1}, {"a": 4, "b": 5})


def test_a_function_is_put_behind_the_program_and_called() -> None:
    """Each call that has a placeholder reaches its first instruction; without a function the number is the answer."""
    move, call, leave = 0xB7, 0x85, 0x95
    code = b"".join(
        (
            instruction(call, PLACEHOLDERS),
            instruction(call, 1),  # a helper
            instruction(call, PLACEHOLDERS),
            instruction(leave, 0),
        )
    )
    compiled = Compiled("digest", ("CALL_EXPRESSION",), (), {"on": code, "other": instruction(leave, 0)})
    function = instruction(move, 1) + instruction(leave, 0)
    filled = compiled.filled("on", {"CALL_EXPRESSION": 1}, {}, function).code
    assert filled == b"".join(
        (
            instruction(call, 3, source=1),
            instruction(call, 1),
            instruction(call, 1, source=1),
            instruction(leave, 0),
            function,
        )
    )
    assert compiled.filled("other", {"CALL_EXPRESSION": 1}, {}, function).code == instruction(leave, 0)
    alone = compiled.filled("on", {"CALL_EXPRESSION": 1}, {}).code
    assert alone == b"".join(
        (instruction(move, 1), instruction(call, 1), instruction(move, 1), instruction(leave, 0))
    )


def test_a_program_that_a_helper_calls_is_put_behind_and_told_by_its_address() -> None:
    """It takes what it is handed from the second register. Where the kernel has no such helper nothing is there."""
    move, copy, wide, leave = 0xB7, 0xBF, 0x18, 0x95
    code = instruction(wide, PLACEHOLDERS + 1) + instruction(0, 0) + instruction(leave, 0)
    inner = instruction(move, PLACEHOLDERS) + instruction(leave, 0)
    compiled = Compiled("digest", ("NUMBER", "CALLBACK_inner"), (), {"on": code, "inner": inner})
    filled = compiled.filled("on", {"NUMBER": 7, "CALLBACK_inner": 1}, {})
    taken = struct.pack("=BBhi", copy, 0x21 if sys.byteorder == "little" else 0x12, 0, 0)
    assert filled.functions == (len(code),)
    assert filled.code == b"".join(
        (
            instruction(wide, 2, source=4) + instruction(0, 0),
            instruction(leave, 0),
            taken,
            instruction(move, 7),
            instruction(leave, 0),
        )
    )
    alone = compiled.filled("on", {"NUMBER": 7, "CALLBACK_inner": 0}, {})
    assert alone.functions == ()
    assert alone.code == instruction(wide, 0) + instruction(0, 0) + instruction(leave, 0)
