"""A line as text, made of a dataclass: the keys are its fields, in their order."""

import json
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, NamedTuple, Union, get_args, get_origin, get_type_hints

from dropwatch.model.culprits import Beside


class Key(NamedTuple):
    """A field as a key. `optional`: it is left out while it is None; `beside`: but not when that key is there."""

    name: str
    kind: Any
    doc: str
    optional: bool
    beside: str | None

    @property
    def value(self) -> Any:
        """The type of what is printed: a key that is left out while it is None is never null."""
        if not self.optional or self.beside is not None:
            return self.kind
        return Union[tuple(one for one in get_args(self.kind) if one is not type(None))]  # noqa: UP007


def is_object(kind: Any) -> bool:
    """Whether a value of this type is an object in the JSON, whose keys are known."""
    return is_dataclass(kind)


@cache
def keys(kind: Any) -> tuple[Key, ...]:
    """The fields of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for field in fields(kind):
        bare, notes = hints[field.name], []
        if get_origin(bare) is Annotated:
            bare, *notes = get_args(bare)
        doc = next((note for note in reversed(notes) if isinstance(note, str)), "")
        beside = next((note.key for note in notes if isinstance(note, Beside)), None)
        found.append(Key(field.name, bare, doc, field.default is not MISSING, beside))
    return tuple(found)


@cache
def constants(kind: Any) -> dict[str, Any]:
    """What all objects of this type have alike: `kind`, or `type` and `schema`."""
    hints = get_type_hints(kind)
    return {name: getattr(kind, name) for name, hint in hints.items() if get_origin(hint) is ClassVar}


class Written(str):
    """JSON already, in place of a value."""


def text(value: object) -> str:
    """The JSON of a value."""
    return _WRITERS[type(value)](value)


def line(value: object) -> str:
    """One line of output."""
    return ended(text(value))


def ended(text: str) -> str:
    return f"{text}\n"


class _Writers(dict[type, Callable[[Any], str]]):
    """How a value of each type is written, found out when the first one comes."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        self[kind] = made = _writer(kind)
        return made


def _writer(kind: Any) -> Callable[[Any], str]:
    if kind is Written:
        return str
    if issubclass(kind, str):
        return _string
    if issubclass(kind, tuple | list):
        return lambda items: f"[{', '.join([_WRITERS[type(item)](item) for item in items])}]"
    if issubclass(kind, dict):
        return _mapping
    if is_object(kind):
        alike = [f'"{name}": {_WRITERS[type(value)](value)}' for name, value in constants(kind).items()]
        return _object_writer(alike, keys(kind))
    return json.JSONEncoder().encode


def _object_writer(alike: list[str], of: Sequence[Key]) -> Callable[[Any], str]:
    """Made as text and compiled: a finding has fifty keys, and a loop over them takes twice as long."""
    known: dict[str, Any] = {"writers": _WRITERS}
    lines, parts = ["def write(value):"], [f", {one}" for one in alike]
    for at, key in enumerate(of):
        known[f"key{at}"] = f', "{key.name}": '
        lines.append(f" item{at} = value.{key.name}")
        part = f"{{key{at}}}{{writers[type(item{at})](item{at})}}"
        if key.optional:
            there = f"item{at} is not None" + (f" or value.{key.beside} is not None" if key.beside else "")
            lines.append(f' part{at} = f"{part}" if {there} else ""')
            part = f"{{part{at}}}"
        parts.append(part)
    known["alike"] = "".join(parts[: len(alike)])
    lines.append(f' return "{{" + f"{{alike}}{"".join(parts[len(alike) :])}"[2:] + "}}"')
    exec("\n".join(lines), known)
    return known["write"]  # type: ignore[no-any-return]


def _mapping(items: dict[str, Any]) -> str:
    return (
        f"{{{', '.join([f'{_string(key)}: {_WRITERS[type(item)](item)}' for key, item in items.items()])}}}"
    )


def _string(text: str) -> str:
    """Half a character is no Unicode, though Python may have it in a text."""
    return _quoted(text if text.isascii() else text.encode(errors="backslashreplace").decode())


_quoted = json.encoder.encode_basestring_ascii
_WRITERS = _Writers({int: repr, bool: lambda one: "true" if one else "false", type(None): lambda _: "null"})
