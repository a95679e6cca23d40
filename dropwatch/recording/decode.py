"""Values of the model from JSON: built by the types of our own code, never by the file.

Nothing in a file names a class. A value is read as the type that the code expects at that place, and whatever does not
fit that type is refused.
"""

import re
import types
import typing
from collections.abc import Callable, Iterable
from functools import cache, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from dropwatch.model.address import KernelAddress
from dropwatch.model.pattern import pattern
from dropwatch.names.foreign import printable
from dropwatch.recording.encode import field_names, tag_of

_LARGEST = 1 << 64
_DEEPEST = 32
_LONGEST_TEXT = 1 << 16
_IP_TYPES = (IPv4Address, IPv6Address, IPv4Network, IPv6Network)
_KERNEL_ADDRESS = pattern(r"0x[0-9a-f]{1,16}", re.ASCII)
_NUMBER_AS_KEY = pattern(r"-?[0-9]{1,20}", re.ASCII)

Reader = Callable[[Any], Any]


class Malformed(ValueError):
    """The file holds something else than the type that belongs there."""


def decode(data: Any, kind: Any) -> Any:
    """The value of the type `kind` that `data` describes. Raises Malformed."""
    return _reader(kind)(data)


@cache
def _reader(kind: Any) -> Reader:
    if kind is Any:
        return _plain
    if kind is None or kind is type(None):
        return _nothing
    if kind == KernelAddress:
        return _kernel_address
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:  # with words for people, and what a text must be like
        pattern = next((mark for mark in arguments[1:] if isinstance(mark, re.Pattern)), None)
        return _reader(arguments[0]) if pattern is None else partial(_like, pattern)
    if origin is Literal:
        return lambda data: _one_of(data, arguments)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is ...):
        return _fixed(arguments)
    if origin in (tuple, frozenset) or origin is Iterable:
        return _many(frozenset if origin is frozenset else tuple, arguments[0])
    if origin is dict:
        return _mapping(*arguments)
    return _SIMPLE[kind] if kind in _SIMPLE else _record(kind)


def _nothing(data: Any) -> None:
    if data is not None:
        raise Malformed("something where there is nothing")


def _one_of(data: Any, words: tuple[Any, ...]) -> Any:
    if isinstance(data, str | int) and data in words:
        return data
    raise Malformed("a word that is not known here")


def _integer(data: Any) -> int:
    if isinstance(data, bool) or not isinstance(data, int) or not -_LARGEST < data < _LARGEST:
        raise Malformed("no number")
    return data


def _kernel_address(data: Any) -> int:
    if _KERNEL_ADDRESS.fullmatch(_text(data)):
        return int(data, 16)
    raise Malformed("no address of the kernel")


def _fraction(data: Any) -> float:
    if isinstance(data, bool) or not isinstance(data, int | float) or not -_LARGEST < data < _LARGEST:
        raise Malformed("no number")  # infinity and NaN are not within bounds either
    return float(data)


def _text(data: Any) -> str:
    """Printable whatever is in the file: its names go where those of a kernel go, and are made as harmless.

    The end of one that is longer than whydrop itself would show is left out.
    """
    if not isinstance(data, str):
        raise Malformed("no text")
    return printable(data[:_LONGEST_TEXT])


def _like(pattern: re.Pattern[str], data: Any) -> str:
    if pattern.fullmatch(_text(data)):
        return _text(data)
    raise Malformed("a text that no whydrop writes there")


def _truth(data: Any) -> bool:
    if not isinstance(data, bool):
        raise Malformed("neither true nor false")
    return data


def _bytes(data: Any) -> bytes:
    try:
        return bytes.fromhex(_text(data))
    except ValueError as error:
        raise Malformed("no bytes") from error


def _ip(kind: type[Any]) -> Reader:
    def read(data: Any) -> Any:
        if "%" in _text(data):  # a zone can be any text
            raise Malformed("no address")
        try:
            return kind(data)
        except ValueError as error:
            raise Malformed("no address") from error

    return read


def _plain(data: Any, depth: int = 0) -> Any:
    """Whatever JSON can say: the details of a rule."""
    if depth > _DEEPEST:
        raise Malformed("nested too deeply")
    if isinstance(data, list):
        return [_plain(item, depth + 1) for item in data]
    if isinstance(data, dict):
        return {_text(key): _plain(item, depth + 1) for key, item in data.items()}
    if isinstance(data, float):
        return _fraction(data)
    if isinstance(data, str):
        return _text(data)
    return data if data is None or isinstance(data, bool) else _integer(data)


def _union(kinds: tuple[Any, ...]) -> Reader:
    """The first that fits: no two in our types look the same."""
    readers = [_reader(kind) for kind in kinds]

    def read(data: Any) -> Any:
        for reader in readers:
            try:
                return reader(data)
            except Malformed as error:
                why = error
        raise why

    return read


def _list(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise Malformed("no list")
    return data


def _many(make: Callable[[Iterable[Any]], Any], kind: Any) -> Reader:
    reader = _reader(kind)
    return lambda data: make(reader(item) for item in _list(data))


def _fixed(kinds: tuple[Any, ...]) -> Reader:
    readers = [_reader(kind) for kind in kinds]

    def read(data: Any) -> tuple[Any, ...]:
        if len(_list(data)) != len(readers):
            raise Malformed("a list of another length")
        return tuple(reader(item) for reader, item in zip(readers, data, strict=True))

    return read


def _mapping(key_kind: Any, kind: Any) -> Reader:
    read_key = {str: _text, int: _number_as_key}[key_kind]
    read_item = _reader(kind)
    return lambda data: {read_key(key): read_item(item) for key, item in _object(data).items()}


def _number_as_key(data: str) -> int:
    if _NUMBER_AS_KEY.fullmatch(data):
        return _integer(int(data))
    raise Malformed("no number")


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise Malformed("no object")
    return data


def _record(kind: type[Any]) -> Reader:
    """A dataclass or a named tuple. A field that is not there has its default, or is an error; so is another `kind`.

    Fields of a later version are passed over.
    """
    hints, tag = get_type_hints(kind, include_extras=True), tag_of(kind)
    readers: dict[str, Reader] = {}

    def read(data: Any) -> Any:
        if not readers:  # not before the first use: a type may contain itself
            readers.update({name: _reader(hints[name]) for name in field_names(kind)})
        found = _object(data)
        if tag is not None and found.get("kind") != tag:
            raise Malformed("an object of another kind")
        try:
            return kind(**{name: reader(found[name]) for name, reader in readers.items() if name in found})
        except TypeError as error:
            raise Malformed(f"a part of {kind.__name__} is missing") from error

    return read


_SIMPLE: dict[Any, Reader] = {
    int: _integer,
    float: _fraction,
    str: _text,
    bool: _truth,
    bytes: _bytes,
    **{kind: _ip(kind) for kind in _IP_TYPES},
}
