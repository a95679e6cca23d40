"""A line as text, made of a dataclass: the keys are its fields, in their order."""

import json
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, partial
from typing import Annotated, Any, ClassVar, NamedTuple, Union, get_args, get_origin, get_type_hints

from dropwatch.model.culprits import Beside

_encode = json.JSONEncoder(separators=(", ", ": ")).encode


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
    """JSON already, in place of a value of an object's key."""


def text(value: object) -> str:
    """The JSON of a value."""
    return _encode(as_json(value))


def line(value: object) -> str:
    """One line of output: an object, some keys of which may be Written."""
    return joined(as_json(value))


def joined(items: dict[str, Any]) -> str:
    """The line of what as_json() made of an object."""
    found: list[str] = []
    plain: dict[str, Any] = {}
    for key, item in items.items():
        if type(item) is not Written:
            plain[key] = item
            continue
        if plain:
            found.append(_encode(plain)[1:-1])
            plain = {}
        found.append(f'"{key}": {item}')
    if plain:
        found.append(_encode(plain)[1:-1])
    return f"{{{', '.join(found)}}}\n"


def as_json(value: Any) -> Any:
    """What json.dumps takes."""
    return _WRITERS[type(value)](value)


class _Writers(dict[type, Callable[[Any], Any]]):
    """How a value of each type is written, found out when the first one comes."""

    def __missing__(self, kind: type) -> Callable[[Any], Any]:
        self[kind] = made = _writer(kind)
        return made


def _writer(kind: Any) -> Callable[[Any], Any]:
    if kind is Written:
        return lambda written: written
    if issubclass(kind, str):
        return _unicode
    if issubclass(kind, tuple | list):
        return lambda items: [_WRITERS[type(item)](item) for item in items]
    if issubclass(kind, dict):
        return lambda items: {key: as_json(item) for key, item in items.items()}
    if is_object(kind):
        return partial(_object, constants(kind), [(key.name, key.optional, key.beside) for key in keys(kind)])
    return lambda plain: plain


def _object(alike: dict[str, Any], names: list[tuple[str, bool, str | None]], value: Any) -> dict[str, Any]:
    found = alike.copy()
    for name, optional, beside in names:
        item = getattr(value, name)
        if item is not None:
            found[name] = _WRITERS[type(item)](item)
        elif not optional or (beside is not None and getattr(value, beside) is not None):
            found[name] = None
    return found


_WRITERS = _Writers()


def _unicode(text: str) -> str:
    """Half a character is no Unicode, though Python may have it in a text."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
