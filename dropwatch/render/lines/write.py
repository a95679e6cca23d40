"""A dataclass as the object that JSON has of it: the keys are its fields, in their order."""

from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, NamedTuple, get_args, get_origin, get_type_hints

from dropwatch.model.culprits import Beside


class Key(NamedTuple):
    """A field as a key. `optional`: it is left out while it is None; `beside`: but not when that key is there."""

    name: str
    kind: Any
    doc: str
    optional: bool
    beside: str | None


@cache
def keys(kind: type[Any]) -> tuple[Key, ...]:
    """The fields of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for field in fields(kind):
        bare, notes = hints[field.name], []
        if get_origin(bare) is Annotated:
            bare, *notes = get_args(bare)
        doc = next((note for note in notes if isinstance(note, str)), "")
        beside = next((note.key for note in notes if isinstance(note, Beside)), None)
        found.append(Key(field.name, bare, doc, field.default is not MISSING, beside))
    return tuple(found)


@cache
def constants(kind: type[Any]) -> dict[str, Any]:
    """What every object of this type has alike: `kind`, or `type` and `schema`."""
    hints = get_type_hints(kind)
    return {name: getattr(kind, name) for name, hint in hints.items() if get_origin(hint) is ClassVar}


def as_json(value: Any) -> Any:
    """What json.dumps takes."""
    if isinstance(value, tuple | list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if not is_dataclass(value):
        return value
    kind: Any = type(value)
    found = dict(constants(kind))
    for key in keys(kind):
        item = getattr(value, key.name)
        if item is None and key.optional and (key.beside is None or getattr(value, key.beside) is None):
            continue
        found[key.name] = as_json(item)
    return found
