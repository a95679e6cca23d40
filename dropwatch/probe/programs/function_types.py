"""Types of the functions of one program: the kernel wants them where a helper is told a function's address.

Of the least kind: each takes a pointer and returns a number. BTF is UAPI: linux/btf.h, Documentation/bpf/btf.rst.
"""

import struct
from collections.abc import Sequence

_MAGIC, _VERSION = 0xEB9F, 1
_HEADER = struct.Struct("=HBBIIIII")
_NAMES = b"\0int\0context\0program\0function\0"
_INT, _PTR, _FUNC, _FUNC_PROTO = 1 << 24, 2 << 24, 12 << 24, 13 << 24
_STATIC, _GLOBAL = 0, 1  # enum btf_func_linkage: an address is given of static ones only
_SIGNED_32_BITS = 1 << 24 | 32


def types() -> bytes:
    """Type 4 is the program, type 5 any function behind it."""
    made = (
        struct.pack("=IIII", _name("int"), _INT, 4, _SIGNED_32_BITS)
        + struct.pack("=III", 0, _PTR, 0)
        + struct.pack("=IIIII", 0, _FUNC_PROTO | 1, 1, _name("context"), 2)
        + struct.pack("=III", _name("program"), _FUNC | _GLOBAL, 3)
        + struct.pack("=III", _name("function"), _FUNC | _STATIC, 3)
    )
    return (
        _HEADER.pack(_MAGIC, _VERSION, 0, _HEADER.size, 0, len(made), len(made), len(_NAMES)) + made + _NAMES
    )


def infos(functions: Sequence[int]) -> bytes:
    """struct bpf_func_info of the program and of the functions behind it, which begin at these bytes."""
    return b"".join(struct.pack("=II", at // 8, 5 if at else 4) for at in (0, *functions))


def _name(name: str) -> int:
    return _NAMES.index(b"\0" + name.encode() + b"\0") + 1
