"""Runs classic BPF on the bytes of a frame, as bpf_filter() of libpcap does: in user space, for replays and tests.

The instructions are those of pcap/bpf.h: the class in three bits, then size and mode, or operation and source.
"""

from collections.abc import Callable, Sequence
from typing import Final

from dropwatch.model.expression import Instruction

LD, LDX, ST, STX, ALU, JMP, RET, MISC = range(8)
IMM, ABS, IND, MEM, LEN, MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
SIZES: Final = {0x00: 4, 0x08: 2, 0x10: 1}
FROM_X: Final = 0x08  # source of ALU and JMP
RET_A: Final = 0x10
TXA: Final = 0x80
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, MOD, XOR = range(0x00, 0xB0, 0x10)
JA, JEQ, JGT, JGE, JSET = range(0x00, 0x50, 0x10)
MEMORY_WORDS: Final = 16
_U32: Final = 0xFFFFFFFF

_ARITHMETIC: Final[dict[int, Callable[[int, int], int]]] = {
    ADD: lambda a, b: a + b,
    SUB: lambda a, b: a - b,
    MUL: lambda a, b: a * b,
    DIV: lambda a, b: a // b,
    OR: lambda a, b: a | b,
    AND: lambda a, b: a & b,
    LSH: lambda a, b: a << b if b < 32 else 0,
    RSH: lambda a, b: a >> b if b < 32 else 0,
    NEG: lambda a, b: -a,
    MOD: lambda a, b: a % b,
    XOR: lambda a, b: a ^ b,
}
_COMPARED: Final[dict[int, Callable[[int, int], bool]]] = {
    JEQ: lambda a, b: a == b,
    JGT: lambda a, b: a > b,
    JGE: lambda a, b: a >= b,
    JSET: lambda a, b: bool(a & b),
}


class _Machine:
    """Its two registers and its memory. What it may not do ends it with `over`: no packet has that."""

    def __init__(self, frame: bytes, length: int) -> None:
        self.frame, self.length = frame, length
        self.a = self.x = 0
        self.memory = [0] * MEMORY_WORDS
        self.over = False

    def bytes(self, at: int, size: int) -> int:
        """In network order."""
        if at + size > len(self.frame):
            self.over = True
            return 0
        return int.from_bytes(self.frame[at : at + size], "big")

    def loaded(self, code: int, k: int) -> int:
        mode, size = code & 0xE0, SIZES.get(code & 0x18, 4)
        if mode == ABS:
            return self.bytes(k, size)
        if mode == IND:
            return self.bytes(self.x + k, size)
        if mode == MEM:
            return self.memory[k]
        if mode == MSH:
            return (self.bytes(k, 1) & 0xF) * 4
        return self.length if mode == LEN else k

    def calculated(self, code: int, k: int) -> int:
        operation, other = code & 0xF0, self.x if code & FROM_X else k
        if operation in (DIV, MOD) and not other:
            self.over = True
            return 0
        return _ARITHMETIC[operation](self.a, other) & _U32


def signed(k: int) -> int:
    """How far a jump goes: back as well, for `protochain`, whose loop ends behind the frame at the latest."""
    return k - (1 << 32) if k >> 31 else k


def matches(program: Sequence[Instruction], frame: bytes, length: int) -> bool:
    """`frame` is what was captured, `length` what the whole frame has. A load from behind `frame` ends it: no match."""
    machine, at = _Machine(frame, length), 0
    while not machine.over:
        code, if_true, if_false, k = program[at]
        at += 1
        match code & 7:
            case 0:  # LD
                machine.a = machine.loaded(code, k)
            case 1:  # LDX
                machine.x = machine.loaded(code, k)
            case 2:  # ST
                machine.memory[k] = machine.a
            case 3:  # STX
                machine.memory[k] = machine.x
            case 4:  # ALU
                machine.a = machine.calculated(code, k)
            case 5:  # JMP
                if code & 0xF0 == JA:
                    at += signed(k)
                else:
                    other = machine.x if code & FROM_X else k
                    at += if_true if _COMPARED[code & 0xF0](machine.a, other) else if_false
            case 6:  # RET
                return bool(machine.a if code & 0x18 == RET_A else k)
            case _:  # MISC
                if code & 0xF8 == TXA:
                    machine.a = machine.x
                else:
                    machine.x = machine.a
    return False
