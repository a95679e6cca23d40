"""A line as text, made of a dataclass: the keys are its fields, in their order."""

import json
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


def line(value: object) -> str:
    """One line of output."""
    return json.dumps(as_json(value), separators=(", ", ": ")) + "\n"


def as_json(value: Any) -> Any:
    """What json.dumps takes."""
    if isinstance(value, tuple | list):
        return [as_json(item) for item in value]
    if isinstance(value, str):
        return _unicode(value)
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if not is_object(value):
        return value
    kind: Any = type(value)
    found = dict(constants(kind))
    for key in keys(kind):
        item = getattr(value, key.name)
        if item is None and key.optional and (key.beside is None or getattr(value, key.beside) is None):
            continue
        found[key.name] = as_json(item)
    return found


def _unicode(text: str) -> str:
    """Half a character is no Unicode, though Python may have it in a text."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
