"""Translates the classic BPF of an expression to a function of eBPF, which the programs call (bpf/expression.c).

Its argument, r1, is the struct frame. r2 is the accumulator of classic BPF, r3 its index register, r5 how many bytes
were captured: each load is checked against that, as bpf_filter() of libpcap does. r0 and r4 are for a moment.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from dropwatch.model.expression import Instruction
from dropwatch.pcap import machine
from dropwatch.wire.settings import FRAME_BYTES, Frame

_R0, _FRAME, _A, _X, _AT, _CAPTURED = range(6)
_INSTRUCTION = struct.Struct("=BBhI")
_FARTHEST = 0x7FFF  # a jump
# linux/bpf.h
_LOADS, _STORE_WORD = {1: 0x71, 2: 0x69, 4: 0x61}, 0x63
_TO_BIG_ENDIAN = 0xDC
_MOVE, _ADD, _ADD_K, _MOVE_K, _MOVE32, _MOVE32_K = 0xBF, 0x0F, 0x07, 0xB7, 0xBC, 0xB4
_AND32_K, _LSH32_K, _ALU32, _JMP32 = 0x54, 0x64, 0x04, 0x06
_IF_GREATER, _IF_GREATER_K, _IF_LESS_K = 0x2D, 0x25, 0xA5
_IF_EQUAL32_K, _IF_NOT_LESS32_K = 0x16, 0x36
_JUMP, _EXIT, _FROM_REGISTER = 0x05, 0x95, 0x08

Place = int | str  # number of an instruction of classic BPF, or the answer
_NO, _YES = "no", "yes"


class _Step(NamedTuple):
    code: int
    to: int = 0
    source: int = 0
    offset: int = 0
    number: int = 0
    target: Place | None = None  # of a jump, in place of the offset


def translated(program: Sequence[Instruction]) -> bytes | None:
    """A function that answers 1 or 0. None of what no kernel takes: a loop (`protochain`), or a jump too far."""
    steps = [_Step(_LOADS[4], _CAPTURED, _FRAME, Frame.captured.offset)]
    steps += [_Step(_MOVE32_K, register) for register in (_A, _X)]
    begins: dict[Place, int] = {}
    for at, instruction in enumerate(program):
        begins[at] = len(steps)
        steps += _steps(at, instruction)
    for answer, number in ((_NO, 0), (_YES, 1)):
        begins[answer] = len(steps)
        if any(step.target == answer for step in steps):  # the verifier refuses what nothing leads to
            steps += [_Step(_MOVE_K, _R0, number=number), _Step(_EXIT)]
    placed = [_placed(at, step, begins) for at, step in enumerate(steps)]
    if any(step.target is not None and not 0 <= step.offset <= _FARTHEST for step in placed):
        return None
    return b"".join(
        _INSTRUCTION.pack(step.code, step.source << 4 | step.to, step.offset, step.number) for step in placed
    )


def _placed(at: int, step: _Step, begins: dict[Place, int]) -> _Step:
    return step if step.target is None else step._replace(offset=begins[step.target] - at - 1)


def _steps(at: int, instruction: Instruction) -> list[_Step]:
    code, if_true, if_false, k = instruction
    match code & 7:
        case machine.LD:
            return _load(_A, code, k)
        case machine.LDX:
            return _load(_X, code, k)
        case machine.ST:
            return [_Step(_STORE_WORD, _FRAME, _A, _word(k))]
        case machine.STX:
            return [_Step(_STORE_WORD, _FRAME, _X, _word(k))]
        case machine.ALU:
            return _arithmetic(code, k)
        case machine.JMP:
            if not code & 0xF0:
                return [_Step(_JUMP, target=at + 1 + machine.signed(k))]
            return _branch(code, k, at + 1 + if_true, at + 1 + if_false if if_false else None)
        case machine.RET if code & 0x18 == machine.RET_A:
            return [_Step(_IF_EQUAL32_K, _A, target=_NO), _Step(_JUMP, target=_YES)]
        case machine.RET:
            return [_Step(_JUMP, target=_YES if k else _NO)]
    to, source = (_A, _X) if code & 0xF8 == machine.TXA else (_X, _A)
    return [_Step(_MOVE32, to, source)]


def _word(k: int) -> int:
    return int(Frame.memory.offset) + 4 * k


def _load(register: int, code: int, k: int) -> list[_Step]:
    mode, size = code & 0xE0, machine.SIZES.get(code & 0x18, 4)
    if mode == machine.IMM:
        return [_Step(_MOVE32_K, register, number=k)]
    if mode == machine.LEN:
        return [_Step(_LOADS[4], register, _FRAME, Frame.length.offset)]
    if mode == machine.MEM:
        return [_Step(_LOADS[4], register, _FRAME, _word(k))]
    if mode == machine.IND:
        return _load_behind_index(register, size, k)
    if mode == machine.MSH:
        header = [_Step(_AND32_K, register, number=0xF), _Step(_LSH32_K, register, number=2)]
        return [*_load(register, machine.ABS | 0x10, k), *header]
    if k + size > FRAME_BYTES:
        return [_never()]
    there = _Step(_IF_LESS_K, _CAPTURED, number=k + size, target=_NO)
    return [there, *_bytes(register, _FRAME, size, k)]


def _load_behind_index(register: int, size: int, k: int) -> list[_Step]:
    if k + size > FRAME_BYTES:
        return [_never()]
    return [
        _Step(_MOVE32, _AT, _X),
        _Step(_ADD_K, _AT, number=k),
        _Step(_IF_GREATER_K, _AT, number=FRAME_BYTES - size, target=_NO),
        _Step(_MOVE, _R0, _AT),
        _Step(_ADD_K, _R0, number=size),
        _Step(_IF_GREATER, _R0, _CAPTURED, target=_NO),
        _Step(_ADD, _AT, _FRAME),
        *_bytes(register, _AT, size, 0),
    ]


def _bytes(register: int, base: int, size: int, at: int) -> list[_Step]:
    load = _Step(_LOADS[size], register, base, at)
    return [load] if size == 1 else [load, _Step(_TO_BIG_ENDIAN, register, number=size * 8)]


def _never() -> _Step:
    """Always taken, as only the verifier's second look finds: what follows may be reached nowhere else."""
    return _Step(_IF_NOT_LESS32_K, _CAPTURED, target=_NO)


def _arithmetic(code: int, k: int) -> list[_Step]:
    operation, by_index = code & 0xF0, code & _FROM_REGISTER
    if operation == machine.NEG:
        return [_Step(_ALU32 | operation, _A)]
    plain = _Step(_ALU32 | operation | by_index, _A, _X if by_index else 0, number=0 if by_index else k)
    if operation in (machine.DIV, machine.MOD):
        if by_index:
            return [_Step(_IF_EQUAL32_K, _X, target=_NO), plain]
        return [plain] if k else [_never()]
    if operation in (machine.LSH, machine.RSH):
        zero = _Step(_MOVE32_K, _A)
        if by_index:
            return [_Step(_IF_GREATER_K, _X, number=31, offset=2), plain, _Step(_JUMP, offset=1), zero]
        return [plain if k < 32 else zero]
    return [plain]


def _branch(code: int, k: int, if_true: int, if_false: int | None) -> list[_Step]:
    by_index = code & _FROM_REGISTER
    compared = _Step(
        _JMP32 | code & 0xF0 | by_index,
        _A,
        _X if by_index else 0,
        number=0 if by_index else k,
        target=if_true,
    )
    return [compared] if if_false is None else [compared, _Step(_JUMP, target=if_false)]
