"""Layouts and enumerators of the running kernel, from its BTF.

libbpf (which bcc already needs) does the searching: a walk over 150,000 types in Python takes seconds.
The format is UAPI, include/uapi/linux/btf.h and Documentation/bpf/btf.rst.
"""

import ctypes
import struct
from functools import cache
from pathlib import Path
from typing import Literal

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf_enums, btf_file
from dropwatch.kernel.libbpf import find_libbpf, pointer
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

_BTF_DIR = Path("/sys/kernel/btf")
_KIND_INT, _KIND_PTR, _KIND_STRUCT, _KIND_UNION, _KIND_ENUM, _KIND_TYPEDEF = 1, 2, 4, 5, 6, 8
_KIND_VOLATILE, _KIND_CONST, _KIND_RESTRICT, _KIND_TYPE_TAG = 9, 10, 11, 18
_QUALIFIERS = frozenset({_KIND_VOLATILE, _KIND_CONST, _KIND_RESTRICT, _KIND_TYPE_TAG})
_TRANSPARENT = _QUALIFIERS | {_KIND_TYPEDEF}
_KIND_FUNC, _KIND_FUNC_PROTO, _KIND_VAR, _KIND_DATASEC, _KIND_ENUM64 = 12, 13, 14, 15, 19


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a struct: where it begins in bits from the struct's start, and how many bits it has.

    `kind` is `number`, `pointer` or `other` (a struct, an array, ...: `bits` is 0). `type_name` is that of the typedef
    it was declared with, "" without one.
    """

    bit_offset: int
    bits: int
    kind: Literal["number", "pointer", "other"]
    signed: bool = False
    type_name: str = ""


class _Type(ctypes.Structure):
    """struct btf_type; `size_or_type` is its union."""

    _fields_ = (("name_off", ctypes.c_uint32), ("info", ctypes.c_uint32), ("size_or_type", ctypes.c_uint32))

    @property
    def kind(self) -> int:
        return int(self.info >> 24) & 0x1F

    @property
    def vlen(self) -> int:
        return int(self.info) & 0xFFFF

    def words(self, per_entry: int) -> list[tuple[int, ...]]:
        """What follows the type: `vlen` entries of `per_entry` 32-bit words."""
        start = ctypes.addressof(self) + ctypes.sizeof(_Type)
        return list(struct.iter_unpack(f"={per_entry}I", ctypes.string_at(start, 4 * per_entry * self.vlen)))


@cache
def libbpf() -> ctypes.CDLL:
    """The library, loaded once. Raises CannotRunHere where there is none."""
    _, lib = find_libbpf()
    lib.libbpf_set_print.argtypes = [ctypes.c_void_p]
    lib.libbpf_set_print(None)
    lib.btf__load_vmlinux_btf.restype = ctypes.c_void_p
    lib.btf__new.argtypes = [ctypes.c_char_p, ctypes.c_uint32]
    lib.btf__new.restype = ctypes.c_void_p
    lib.btf__free.argtypes = [ctypes.c_void_p]
    lib.btf__free.restype = None
    lib.btf__load_module_btf.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    lib.btf__load_module_btf.restype = ctypes.c_void_p
    lib.btf__find_by_name_kind.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32]
    lib.btf__find_by_name_kind.restype = ctypes.c_int32
    lib.btf__type_by_id.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    lib.btf__type_by_id.restype = ctypes.POINTER(_Type)
    lib.btf__name_by_offset.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    lib.btf__name_by_offset.restype = ctypes.c_char_p
    return lib


class Btf:
    """One BTF object, until forget()."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._lib = libbpf()
        self._found: dict[tuple[str, int], _Type | None] = {}
        self._members: dict[
            int, dict[bytes, tuple[int, int | None]]
        ] = {}  # by the address of a struct's description

    def size(self, struct_name: str) -> int | None:
        """Bytes of a struct, None when the kernel has no such struct."""
        found = self._find(struct_name, _KIND_STRUCT)
        return found.size_or_type if found else None

    def offset(self, struct_name: str, path: tuple[str, ...]) -> int | None:
        """Bytes from the start of a struct to a member, through anonymous structs and unions.

        None when the struct or the member is not there, or when the member is a bitfield.
        """
        at = self._find(struct_name, _KIND_STRUCT)
        bits = 0
        for member in path:
            step = self._member(at, member) if at else None
            if step is None:
                return None
            at, more = step
            bits += more
        return None if bits % 8 else bits // 8

    def members(self, struct_name: str) -> dict[str, Member]:
        """Every member by its name, also bitfields and those of anonymous structs and unions; {}: no such struct."""
        found = self._find(struct_name, _KIND_STRUCT)
        members: dict[str, Member] = {}
        if found:
            self._collect(found, 0, members)
        return members

    def _collect(self, parent: _Type, start: int, members: dict[str, Member]) -> None:
        has_bitfields = parent.info >> 31
        for name_off, type_id, place in parent.words(3):
            at = start + (place & 0xFFFFFF if has_bitfields else place)
            inner = self._strip(type_id)
            if name_off:
                bits = place >> 24 if has_bitfields else 0
                members.setdefault(self._name(name_off), self._described(type_id, at, bits))
            elif inner and inner.kind in (_KIND_STRUCT, _KIND_UNION):
                self._collect(inner, at, members)

    def _described(self, type_id: int, at: int, bitfield: int) -> Member:
        declared, found = self._by_id(type_id), self._strip(type_id)
        name = self._name(declared.name_off) if declared and declared.kind == _KIND_TYPEDEF else ""
        if not found or found.kind not in (_KIND_INT, _KIND_PTR, _KIND_ENUM, _KIND_ENUM64, _KIND_STRUCT):
            return Member(at, 0, "other", type_name=name)
        if found.kind == _KIND_STRUCT:  # atomic_t and refcount_t are structs around one number
            inside = found.words(3)
            return (
                self._described(inside[0][1], at, 0)
                if len(inside) == 1
                else Member(at, 0, "other", type_name=name)
            )
        if found.kind == _KIND_PTR:
            return Member(at, ctypes.sizeof(ctypes.c_void_p) * 8, "pointer", type_name=name)
        if found.kind != _KIND_INT:
            return Member(at, bitfield or found.size_or_type * 8, "number", bool(found.info >> 31), name)
        start = ctypes.addressof(found) + ctypes.sizeof(_Type)
        encoding = ctypes.c_uint32.from_address(start).value  # BTF_INT_ENCODING, BTF_INT_OFFSET, BTF_INT_BITS
        at += encoding >> 16 & 0xFF
        return Member(at, bitfield or encoding & 0xFF, "number", bool(encoding >> 24 & 1), name)

    def per_cpu_offset(self, variable: str) -> int | None:
        """Bytes from the first of the kernel's variables of each CPU to this one; None when BTF does not have it."""
        wanted = self._lib.btf__find_by_name_kind(self._handle, variable.encode(), _KIND_VAR)
        section = self._find(".data..percpu", _KIND_DATASEC)
        if wanted <= 0 or not section:
            return None
        return next((offset for type_id, offset, _ in section.words(3) if type_id == wanted), None)

    def enum(self, name: str) -> dict[str, int] | None:
        """Enumerators of a named enum, unsigned as far as 32 bits go; None when there is no such enum."""
        found = self._find(name, _KIND_ENUM)
        if found:
            return {self._name(n): value for n, value in found.words(2)}
        found = self._find(name, _KIND_ENUM64)
        if found:
            return {self._name(n): (high << 32) | low for n, low, high in found.words(3)}
        return None

    def tracepoint_arguments(self, tracepoint: str) -> list[str] | None:
        """Names of the types that a raw tracepoint gets, without pointers and const: `["sk_buff", "", ...]`.

        The prototype is in BTF as `typedef void (*btf_trace_NAME)(void *, ...)` (include/trace/bpf_probe.h).
        """
        found = self._find(f"btf_trace_{tracepoint}", _KIND_TYPEDEF)
        while found and found.kind in (_KIND_TYPEDEF, _KIND_PTR):
            found = self._by_id(found.size_or_type)
        types = self._argument_types(found)
        return None if types is None else types[1:]

    def function(self, name: str) -> int | None:
        """The number of a function among the types; None when there is no such function."""
        found = int(self._lib.btf__find_by_name_kind(self._handle, name.encode(), _KIND_FUNC))
        return found if found > 0 else None

    def parameters(self, function: str) -> list[str] | None:
        """Names of the types that a function takes, as of a tracepoint; None when there is no such function."""
        found = self._find(function, _KIND_FUNC)
        return self._argument_types(self._by_id(found.size_or_type)) if found else None

    def _argument_types(self, prototype: _Type | None) -> list[str] | None:
        if not prototype or prototype.kind != _KIND_FUNC_PROTO:
            return None
        return [self._pointed_name(type_id) for _, type_id in prototype.words(2)]

    def _pointed_name(self, type_id: int) -> str:
        """Type 0 is void: no name."""
        found = self._by_id(type_id)
        while found and (found.kind == _KIND_PTR or found.kind in _QUALIFIERS):
            found = self._by_id(found.size_or_type)
        return self._name(found.name_off) if found else ""

    def _member(self, parent: _Type, name: str) -> tuple[_Type | None, int] | None:
        type_id, bits = self._places(parent).get(name.encode(), (0, None))
        return None if bits is None else (self._strip(type_id), bits)

    def _places(self, parent: _Type) -> dict[bytes, tuple[int, int | None]]:
        """Type and place in bits of every member, also of anonymous structs and unions; no place: of a bitfield."""
        at = ctypes.addressof(parent)
        if at not in self._members:
            places = self._members[at] = {}
            has_bitfields = parent.info >> 31
            for name_off, type_id, place in parent.words(3):
                bits = place & 0xFFFFFF if has_bitfields else place
                if name_off:
                    name = self._lib.btf__name_by_offset(self._handle, name_off)
                    places.setdefault(name, (type_id, None if has_bitfields and place >> 24 else bits))
                    continue
                inner = self._strip(type_id)
                if inner and inner.kind in (_KIND_STRUCT, _KIND_UNION):
                    for name, (of, inside) in self._places(inner).items():
                        places.setdefault(name, (of, None if inside is None else bits + inside))
        return self._members[at]

    def _strip(self, type_id: int) -> _Type | None:
        """The struct, union or other type behind typedefs and qualifiers."""
        found = self._by_id(type_id)
        while found and found.kind in _TRANSPARENT:
            found = self._by_id(found.size_or_type)
        return found

    def _find(self, name: str, kind: int) -> _Type | None:
        """Remembered: the library walks through all types."""
        if (name, kind) not in self._found:
            type_id = self._lib.btf__find_by_name_kind(self._handle, name.encode(), kind)
            self._found[name, kind] = self._by_id(type_id) if type_id > 0 else None
        return self._found[name, kind]

    def _by_id(self, type_id: int) -> _Type | None:
        pointer = self._lib.btf__type_by_id(self._handle, type_id)
        return pointer.contents if pointer else None

    def _name(self, offset: int) -> str:
        return foreign(self._lib.btf__name_by_offset(self._handle, offset) or b"")


@cache
def vmlinux() -> Btf:
    """BTF of the kernel itself. Raises CannotRunHere where there is none."""
    raw = btf_file.brought()
    handle = pointer(libbpf().btf__new(raw, len(raw)) if raw else libbpf().btf__load_vmlinux_btf())
    if handle is None and raw:
        raise CannotRunHere("the BTF of --btf makes no sense", "name another file")
    if handle is None and btf_file.VMLINUX.exists():
        raise CannotRunHere(
            "this kernel's BTF cannot be read (/sys/kernel/btf/vmlinux)",
            "libbpf may be older than the kernel: install a newer one; whydrop check names it",
        )
    if handle is None:
        raise CannotRunHere(
            "this kernel carries no BTF (there is no /sys/kernel/btf/vmlinux)", btf_file.WHERE
        )
    return Btf(handle)


def module(name: str) -> Btf | None:
    """BTF of a loaded module; None while it is not loaded, or has none (before 5.11 modules have none)."""
    return _module(name) if (_BTF_DIR / name).exists() else None


@cache
def _module(name: str) -> Btf | None:
    handle = pointer(libbpf().btf__load_module_btf(name.encode(), vmlinux()._handle))
    if handle is None:
        return None
    _modules.append(handle)
    return Btf(handle)


_modules: list[int] = []


def forget() -> None:
    """Gives the memory back, which is several MB: a run asks at its start, and when modules come."""
    while _modules:  # each leans on that of the kernel
        libbpf().btf__free(_modules.pop())
    if vmlinux.cache_info().currsize:
        libbpf().btf__free(vmlinux()._handle)
    _module.cache_clear()
    btf_enums.vmlinux_raw.cache_clear()
    vmlinux.cache_clear()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's: it keeps what was freed
    if trim is not None:
        trim(0)
