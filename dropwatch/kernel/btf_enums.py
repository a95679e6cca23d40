"""Enumerators of enums without a name, which libbpf does not find: searched in the raw BTF.

The format is UAPI, include/uapi/linux/btf.h and Documentation/bpf/btf.rst.
"""

import struct
from functools import cache
from pathlib import Path

from dropwatch.kernel import btf_file
from dropwatch.names.foreign import foreign

_KIND_ENUM = 6
_HEADER = struct.Struct("=HBBIIIII")
_BTF_TYPE = struct.Struct("=III")
_ENUMERATOR = struct.Struct("=Ii")


def anonymous_enum(first: str, prefix: str, path: Path | None = None) -> dict[str, int]:
    """The enumerators that begin with `prefix` of the enum without a name whose first one is `first`, of value 0.

    Searches the raw bytes: the place of the name in the string section, then the enumerator that names it right
    after the head of an anonymous enum. Empty when there is none, or no BTF.
    """
    try:
        raw = vmlinux_raw() if path is None else path.read_bytes()
    except OSError:
        return {}
    _, _, _, header_len, type_off, type_len, str_off, str_len = _HEADER.unpack_from(raw)
    begin, strings = header_len + type_off, header_len + str_off
    end = begin + type_len
    named = raw.find(b"\0" + first.encode() + b"\0", strings, strings + str_len) + 1
    entry = _ENUMERATOR.pack(named - strings, 0) if named else b""
    at = raw.find(entry, begin, end) if entry else -1
    while at >= 0 and not _enumerators_of_anonymous(raw, at, begin, end):
        at = raw.find(entry, at + 1, end)
    found: dict[str, int] = {}
    for n in range(_enumerators_of_anonymous(raw, at, begin, end) if at >= 0 else 0):
        name_off, value = _ENUMERATOR.unpack_from(raw, at + n * _ENUMERATOR.size)
        name = foreign(raw[strings + name_off : raw.find(b"\0", strings + name_off)])
        if name.startswith(prefix):
            found[name] = value
    return found


@cache
def vmlinux_raw() -> bytes:
    return btf_file.vmlinux_bytes()


def _enumerators_of_anonymous(raw: bytes, at: int, begin: int, end: int) -> int:
    """How many enumerators begin at this place of the types, 0 when it does not follow the head of an anonymous enum.

    The same bytes occur elsewhere: as a struct's first member whose type has the number of the name's offset.
    """
    if (at - begin) % 4 or at < begin + _BTF_TYPE.size:
        return 0
    name_off, info, size = _BTF_TYPE.unpack_from(raw, at - _BTF_TYPE.size)
    kind, count = info >> 24 & 0x1F, info & 0xFFFF
    fits = at + count * _ENUMERATOR.size <= end
    return int(count) if kind == _KIND_ENUM and not name_off and size == 4 and fits else 0
