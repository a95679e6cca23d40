"""Values of the model to JSON that a person can read.

A dataclass or a named tuple is an object with the names of its fields. A field that has its default is left out, so
that files stay small and fields can be added: a default never changes. Bytes are hexadecimal, and so are addresses of
the kernel's memory, which are beyond the numbers that jq holds exactly. IP addresses and networks are text.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from dropwatch.model.address import KernelAddress

_NOTHING = object()  # equal to no value

Writer = Callable[[Any], Any]


class _Field(NamedTuple):
    """A value that is equal to `left_out` is not written."""

    name: str
    left_out: Any
    write: Writer


def encode(value: Any) -> Any:
    """A value of the model as what json.dumps takes: sets sorted, so that equal ones look equal."""
    kind = type(value)
    write = _WRITERS.get(kind)
    if write is None:
        write = _WRITERS[kind] = _writer(kind)
    return write(value)


def tag_of(kind: type[Any]) -> str | None:
    """What tells a type from the others of its union: a `kind` of the class, which is no field."""
    tag = vars(kind).get("kind")
    return tag if isinstance(tag, str) else None


def _writer(kind: type[Any]) -> Writer:
    if dataclasses.is_dataclass(kind) or hasattr(kind, "_field_defaults"):
        return _object(kind)
    if issubclass(kind, dict):
        return _keyed
    if issubclass(kind, tuple | list):
        return _listed
    if issubclass(kind, frozenset | set):
        return lambda value: sorted(_listed(value), key=repr)
    return str  # addresses and networks; the JSON of a finding shows anything else this way too


def _object(kind: type[Any]) -> Writer:
    fields, tag = _fields(kind), tag_of(kind)

    def write(value: Any) -> dict[str, Any]:
        found: dict[str, Any] = {} if tag is None else {"kind": tag}
        for name, left_out, write_part in fields:
            part = getattr(value, name)
            if part is not left_out and part != left_out:
                found[name] = write_part(part)
        return found

    return write


def _keyed(value: dict[Any, Any]) -> dict[str, Any]:
    """By text or numbers."""
    return {key if isinstance(key, str) else str(int(key)): encode(item) for key, item in value.items()}


def _listed(value: Iterable[Any]) -> list[Any]:
    return [encode(item) for item in value]


def _fields(kind: type[Any]) -> tuple[_Field, ...]:
    hints, defaults = get_type_hints(kind, include_extras=True), _defaults(kind)
    return tuple(
        _Field(name, defaults.get(name, _NOTHING), _writer_by_hint(hints[name])) for name in field_names(kind)
    )


def field_names(kind: type[Any]) -> tuple[str, ...]:
    """Of a dataclass or a named tuple."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    names: tuple[str, ...] = kind._fields
    return names


def _defaults(kind: type[Any]) -> dict[str, Any]:
    if not dataclasses.is_dataclass(kind):
        return dict(kind._field_defaults)
    found = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
    return found


def _writer_by_hint(hint: Any) -> Writer:
    if hint == KernelAddress:
        return hex
    if get_origin(hint) is tuple and get_args(hint)[:1] == (KernelAddress,):
        return lambda addresses: [*map(hex, addresses)]
    return encode


_WRITERS: dict[type[Any], Writer] = {
    **{kind: lambda value: value for kind in (type(None), bool, int, float, str)},
    bytes: bytes.hex,
}
