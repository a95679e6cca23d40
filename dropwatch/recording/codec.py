"""Values of the model to JSON and back; what comes back is built by the types of our own code, never by the file.

Nothing in a file names a class. A value is read as the type that the code expects at that place, and whatever does not
fit that type is refused.
"""

import base64
import binascii
import dataclasses
import types
import typing
from collections.abc import Callable, Iterable
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Literal, get_args, get_origin, get_type_hints

_LARGEST = 1 << 64
_DEEPEST = 16
_IP_TYPES = (IPv4Address, IPv6Address, IPv4Network, IPv6Network)

Reader = Callable[[Any], Any]


class Malformed(ValueError):
    """The file holds something else than the type that belongs there."""


def encode(value: Any) -> Any:
    """A value of the model as what json.dumps takes: bytes as base64, sets sorted, so that equal ones look equal."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: encode(item) for key, item in value.items()}
        return [[encode(key), encode(item)] for key, item in value.items()]
    if isinstance(value, frozenset | set):
        return sorted((encode(item) for item in value), key=repr)
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if dataclasses.is_dataclass(value):
        tag = _tag(type(value))
        found = {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return found if tag is None else {"kind": tag, **found}
    return str(value)  # addresses and networks; the JSON of a finding shows anything else this way too


def decode(data: Any, kind: Any) -> Any:
    """The value of the type `kind` that `data` describes. Raises Malformed."""
    return _reader(kind)(data)


@cache
def _reader(kind: Any) -> Reader:
    if kind is Any:
        return _plain
    if kind is None or kind is type(None):
        return _nothing
    origin, arguments = get_origin(kind), get_args(kind)
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
    if dataclasses.is_dataclass(kind) or hasattr(kind, "_field_defaults"):
        return _record(kind)
    return _SIMPLE[kind]


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


def _fraction(data: Any) -> float:
    if isinstance(data, bool) or not isinstance(data, int | float) or not -_LARGEST < data < _LARGEST:
        raise Malformed("no number")  # infinity and NaN are not within bounds either
    return float(data)


def _text(data: Any) -> str:
    if not isinstance(data, str):
        raise Malformed("no text")
    return data


def _truth(data: Any) -> bool:
    if not isinstance(data, bool):
        raise Malformed("neither true nor false")
    return data


def _bytes(data: Any) -> bytes:
    try:
        return base64.b64decode(_text(data), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("no bytes") from error


def _ip(kind: type[Any]) -> Reader:
    def read(data: Any) -> Any:
        try:
            return kind(_text(data))
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
        return {key: _plain(item, depth + 1) for key, item in data.items()}
    if isinstance(data, float):
        return _fraction(data)
    return data if data is None or isinstance(data, str | bool) else _integer(data)


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
    read_key, read_item = _reader(key_kind), _reader(kind)

    def read(data: Any) -> dict[Any, Any]:
        if key_kind is str:
            if not isinstance(data, dict):
                raise Malformed("no object")
            pairs: Iterable[Any] = data.items()
        else:
            pairs = _list([] if data == {} else data)  # of an empty one nobody sees what its keys would be
        found = {}
        for pair in pairs:
            if len(pair) != 2:
                raise Malformed("no pair")
            found[read_key(pair[0])] = read_item(pair[1])
        return found

    return read


def _record(kind: type[Any]) -> Reader:
    """A dataclass as an object, a named tuple as a list. A field that is not there has its default, or is an error.

    Fields of a later version are passed over.
    """
    hints, tag = get_type_hints(kind), _tag(kind)
    if not dataclasses.is_dataclass(kind):
        fields = _fixed(tuple(hints[name] for name in kind._fields))
        return lambda data: kind(*fields(data))
    readers: dict[str, Reader] = {}

    def read(data: Any) -> Any:
        if not readers:  # not before the first use: a type may contain itself
            readers.update({field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind)})
        if not isinstance(data, dict):
            raise Malformed("no object")
        if tag is not None and data.get("kind") != tag:
            raise Malformed("an object of another kind")
        try:
            return kind(**{name: reader(data[name]) for name, reader in readers.items() if name in data})
        except TypeError as error:
            raise Malformed(f"a part of {kind.__name__} is missing") from error

    return read


def _tag(kind: type[Any]) -> str | None:
    """What tells a type from the others of its union: a `kind` of the class, which is no field."""
    tag = vars(kind).get("kind")
    return tag if isinstance(tag, str) else None


_SIMPLE: dict[Any, Reader] = {
    int: _integer,
    float: _fraction,
    str: _text,
    bool: _truth,
    bytes: _bytes,
    **{kind: _ip(kind) for kind in _IP_TYPES},
}
