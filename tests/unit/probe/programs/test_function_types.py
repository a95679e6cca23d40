"""The kernel takes the types of functions, and calls what bpf_loop is told: tried on the running kernel."""

import os
import struct
import sys

import pytest

from dropwatch.kernel import btf
from dropwatch.probe.check import trial
from dropwatch.probe.programs.compiled import PLACEHOLDERS, Compiled, MapShape
from dropwatch.probe.programs.function_types import infos, types
from dropwatch.probe.programs.load import Kind, load_program, load_with_functions
from dropwatch.probe.programs.loader import Loader

MOVE, MOVE_REGISTER, LOAD, CALL, LEAVE = 0xB7, 0xBF, 0x18, 0x85, 0x95
LOOP = 181  # BPF_FUNC_loop of linux/bpf.h
NUMBERS = {"CALLBACK_read_xt_entry": 1, "HAS_BPF_LOOP": 1}


def instruction(operation: int, to: int = 0, source: int = 0, number: int = 0) -> bytes:
    registers = to | source << 4 if sys.byteorder == "little" else to << 4 | source
    return struct.pack("=BBhi", operation, registers, 0, number)


# bpf_loop(3, inner, 0, 0)
LOOPING = b"".join(
    (
        instruction(MOVE, 1, number=3),
        instruction(LOAD, 2, number=PLACEHOLDERS) + instruction(0),
        *(instruction(MOVE, register) for register in (3, 4)),
        instruction(CALL, number=LOOP),
        instruction(MOVE),
        instruction(LEAVE),
    )
)
INNER = instruction(MOVE) + instruction(LEAVE)


@pytest.fixture
def compiled() -> Compiled:
    if not trial.program(reading=False).worked:
        pytest.skip("feature BPF: programs cannot be loaded here")
    if "BPF_FUNC_loop" not in (btf.vmlinux().enum("bpf_func_id") or {}):
        pytest.skip("feature bpf-loop: this kernel has no such helper")
    return Compiled(
        "", ("CALLBACK_read_xt_entry", "HAS_BPF_LOOP"), (), {"outer": LOOPING, "read_xt_entry": INNER}
    )


def test_a_function_that_a_helper_calls_is_loaded_with_its_type(compiled: Compiled) -> None:
    filled = compiled.filled("outer", NUMBERS, {})
    with pytest.raises(OSError, match="func_info"):
        load_program("outer", Kind.RAW_TRACEPOINT, filled.code)
    os.close(load_with_functions("outer", Kind.RAW_TRACEPOINT, filled))


def test_the_loader_does_without_where_the_kernel_refuses_it(compiled: Compiled) -> None:
    """Then the program is told that there is none. This one does not ask, and is refused in the kernel's words."""
    shapes = (MapShape("seen", 6, 4, 8, 1, 0),)
    loader = Loader(Compiled("", compiled.names, shapes, compiled.programs), NUMBERS, {})
    assert loader.load("outer", Kind.RAW_TRACEPOINT) > 0
    loader.close()
    spoilt = {"outer": LOOPING, "read_xt_entry": instruction(LEAVE)}  # answers nothing
    loader = Loader(Compiled("", compiled.names, shapes, spoilt), NUMBERS, {})
    with pytest.raises(OSError, match="R2"):
        loader.load("outer", Kind.RAW_TRACEPOINT)
    loader.close()


def test_there_is_one_for_the_program_and_each_function() -> None:
    assert struct.unpack("=6I", infos((16, 80))) == (0, 4, 2, 5, 10, 5)
    magic, _, _, header, _, size, strings, _ = struct.unpack_from("=HBBIIIII", types())
    assert (magic, header, size) == (0xEB9F, 24, strings)
