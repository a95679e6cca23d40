"""Which kernel functions take a packet, and as which argument: one pass over the raw BTF of kernel and modules.

The format is UAPI, include/uapi/linux/btf.h and Documentation/bpf/btf.rst. Types have no index and different sizes,
so that all of them must be walked over: 150,000 of the kernel itself. That a function is described does not mean that
it is there as one: it may have been inlined, and several may have the same name (Kallsyms.occurrences tells).
"""

from array import array
from collections.abc import Iterator
from dataclasses import field
from functools import cache
from pathlib import Path
from struct import Struct, error

from dropwatch.kernel import btf_file
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

_BTF_DIR = Path("/sys/kernel/btf")
_HEADER = Struct("=HBBIIIII")  # struct btf_header; what newer kernels append to it is not needed
_MAGIC = 0xEB9F
_MOST_ARGUMENTS = 5  # those that come in a register on every machine that BCC knows
_REGISTER_BYTES = 8
_RETURNED_IN_REGISTERS = 16  # bytes; what is larger comes through a hidden first argument

_INT, _PTR, _STRUCT, _UNION, _ENUM, _FWD, _TYPEDEF, _ENUM64 = 1, 2, 4, 5, 6, 7, 8, 19
_VOLATILE, _CONST, _RESTRICT, _FUNC, _FUNC_PROTO, _FLOAT, _TYPE_TAG = 9, 10, 11, 12, 13, 16, 18
_TRANSPARENT = frozenset({_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG})
_NUMBERS = frozenset({_INT, _ENUM, _ENUM64})
_HEAD = 3  # words of struct btf_type
# Words behind the head, by kind from 0 (void) to 19 (ENUM64): always, and for each of vlen entries.
_ALWAYS = (0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0)
_EACH = (0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3)


@dataclass(frozen=True, slots=True)
class SkbFunction:
    """A function, which of its arguments (from 1) points to the struct, and its module; None: the kernel's own.

    `answers`: it returns a number (or bool, or enum), not nothing or a pointer.
    """

    name: str
    argument: int
    module: str | None
    answers: bool = False


def functions_taking(struct_name: str = "sk_buff", directory: Path = _BTF_DIR) -> dict[str, SkbFunction]:
    """Every function with a pointer to the struct among its first five arguments; of several the first.

    Left out: names that BTF describes more than once and not alike, and arguments behind a struct that is passed by
    value, which may fill another number of registers. Files that cannot be read have no functions, a module's that
    makes no sense neither. Raises ValueError where the kernel's own makes none, or has kinds of types not known here.
    """
    kernel = _kernel(directory / "vmlinux", struct_name)
    if kernel is None:
        return {}
    of_modules = sorted(directory.iterdir()) if directory.is_dir() else []
    found: dict[str, SkbFunction] = {}
    ambiguous: set[str] = set()

    def add(types: _Types, module: str | None) -> None:
        for name, argument, answers in types.functions():
            known = found.setdefault(name, SkbFunction(name, argument, module, answers))
            if (known.argument, known.module) != (argument, module):
                ambiguous.add(name)

    add(kernel, None)
    for path in of_modules:
        raw = _read(path) if path.name != "vmlinux" else None
        if raw is None:
            continue
        try:
            module = _Types(raw, struct_name, kernel)
        except ValueError:
            continue
        add(module, path.name)
    return {name: function for name, function in found.items() if name not in ambiguous}


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


@cache
def _kernel(path: Path, struct_name: str) -> "_Types | None":
    """Modules come and go, the kernel's own stays the same. It is kept because theirs lean on it."""
    raw = btf_file.brought() if path.parent == _BTF_DIR else None
    raw = raw or _read(path)
    return None if raw is None else _Types(raw, struct_name, None)


@dataclass(slots=True)
class _Seen:
    """What one walk collects, as (number of the type, what it refers to); of a function its name's offset instead."""

    places: "array[int]" = field(default_factory=lambda: array("I"))  # of every type, in words
    pointers: list[tuple[int, int]] = field(default_factory=list)
    aliases: list[tuple[int, int]] = field(default_factory=list)
    prototypes: list[tuple[int, int]] = field(default_factory=list)  # with their place
    functions: list[tuple[int, int]] = field(default_factory=list)
    structs: set[int] = field(default_factory=set)


class _Types:
    """One BTF file. A module's goes on counting, types and bytes of strings, where the kernel's ends (`base`)."""

    def __init__(self, raw: bytes, struct_name: str, base: "_Types | None") -> None:
        """Raises ValueError when the file is not BTF, ends too early, or has a type of unknown kind."""
        try:
            magic, version, _, head, type_off, type_len, str_off, str_len = _HEADER.unpack_from(raw)
        except error as why:
            raise ValueError(f"not BTF: {why}") from why
        if (
            magic != _MAGIC
            or version != 1
            or type_len % 4
            or len(raw) < head + max(type_off + type_len, str_off + str_len)
        ):
            raise ValueError("not BTF of version 1 in this machine's byte order")
        self._base = base
        self._words = array("I", raw[head + type_off : head + type_off + type_len])
        self._strings = raw[head + str_off : head + str_off + str_len]
        self._first = base.end if base else 1
        self._first_byte = len(base._strings) if base else 0
        self._structs: set[int] = set()
        self._pointers: set[int] = set()
        seen = self._walk(struct_name.encode())
        self._places = seen.places
        self._functions = seen.functions
        self._find_pointers(seen)
        self._find_prototypes(seen)

    @property
    def end(self) -> int:
        """The number of the first type that is not in here."""
        return self._first + len(self._places)

    def functions(self) -> Iterator[tuple[str, int, bool]]:
        """Name and argument of those that take the struct, and whether they return a number."""
        for name_off, prototype in self._functions:
            argument = self._argument_of(prototype)
            if argument:
                answers = self._bare_kind(self._head(prototype)[1]) in _NUMBERS
                yield foreign(self._name(name_off)), argument, answers

    def _walk(self, struct_name: bytes) -> _Seen:
        words, seen = self._words, _Seen()
        named = self._offsets_of(struct_name)
        place, number, length, kinds = 0, self._first, len(words), len(_ALWAYS)
        see = seen.places.append
        while place <= length - _HEAD:
            see(place)
            info = words[place + 1]
            kind = info >> 24 & 0x1F
            if not 0 < kind < kinds:
                raise ValueError(f"BTF has a type of kind {kind}, which is not known here")
            if kind == _PTR:
                seen.pointers.append((number, words[place + 2]))
            elif kind == _FUNC:
                seen.functions.append((words[place], words[place + 2]))
            elif kind == _FUNC_PROTO:
                seen.prototypes.append((number, place))
            elif kind in _TRANSPARENT:
                seen.aliases.append((number, words[place + 2]))
            elif words[place] in named and kind in (_STRUCT, _FWD):
                seen.structs.add(number)
            place += _HEAD + _ALWAYS[kind] + _EACH[kind] * (info & 0xFFFF)
            number += 1
        if place != length:
            raise ValueError("BTF ends within a type")
        return seen

    def _offsets_of(self, name: bytes) -> set[int]:
        """Where types of this name have theirs: a module may use the kernel's, or have its own."""
        terminated = name + b"\0"
        before = -1 if self._strings.startswith(terminated) else self._strings.find(b"\0" + terminated)
        inherited = self._base._offsets_of(name) if self._base else set()
        is_here = before >= 0 or self._strings.startswith(terminated)
        return inherited | ({before + 1 + self._first_byte} if is_here else set())

    def _find_pointers(self, seen: _Seen) -> None:
        """Numbers of the types that are a pointer to the struct, however qualified."""
        structs = seen.structs | (self._base._structs if self._base else set())
        _add_aliases(structs, seen.aliases)
        pointers = {number for number, target in seen.pointers if target in structs}
        pointers |= self._base._pointers if self._base else set()
        _add_aliases(pointers, seen.aliases)
        self._structs, self._pointers = structs, pointers

    def _find_prototypes(self, seen: _Seen) -> None:
        """Number of the prototype to argument."""
        words, pointers = self._words, self._pointers
        self._arguments: dict[int, int] = {}
        for number, place in seen.prototypes:
            taken = min(words[place + 1] & 0xFFFF, _MOST_ARGUMENTS)
            types = words[place + 4 : place + _HEAD + 2 * taken : 2]
            if pointers.isdisjoint(types):
                continue
            at = next(n for n, type_ in enumerate(types) if type_ in pointers)
            fits = all(self._fits_register(type_) for type_ in types[:at])
            if fits and not self._bytes_of_value(words[place + 2]) > _RETURNED_IN_REGISTERS:
                self._arguments[number] = at + 1

    def _fits_register(self, number: int) -> bool:
        return self._bytes_of_value(number) <= _REGISTER_BYTES

    def _bytes_of_value(self, number: int) -> int:
        """Size of a value of this type; that of a floating point number as if none, since it takes no such register."""
        kind, size_or_type = self._head(number)
        while kind in _TRANSPARENT:
            kind, size_or_type = self._head(size_or_type)
        return size_or_type if kind in (_INT, _STRUCT, _UNION) else 0

    def _bare_kind(self, number: int) -> int:
        kind, target = self._head(number)
        while kind in _TRANSPARENT:
            kind, target = self._head(target)
        return kind

    def _head(self, number: int) -> tuple[int, int]:
        """Kind and size_or_type of a type; (0, 0) for void and for a number that there is not."""
        if self._base and number < self._first:
            return self._base._head(number)
        at = number - self._first
        if not 0 <= at < len(self._places):
            return 0, 0
        place = self._places[at]
        return self._words[place + 1] >> 24 & 0x1F, self._words[place + 2]

    def _argument_of(self, prototype: int) -> int:
        found = self._arguments.get(prototype, 0)
        return found if found or not self._base else self._base._arguments.get(prototype, 0)

    def _name(self, offset: int) -> bytes:
        if self._base and offset < self._first_byte:
            return self._base._name(offset)
        start = offset - self._first_byte
        return self._strings[start : self._strings.find(b"\0", start)]


def _add_aliases(numbers: set[int], aliases: list[tuple[int, int]]) -> None:
    """Adds what is one of these under another name, or with const and its like; also over several steps."""
    grown = True
    while grown:
        more = {number for number, target in aliases if target in numbers} - numbers
        numbers |= more
        grown = bool(more)
