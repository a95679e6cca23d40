"""The JSON Schema (draft 2020-12) of every line, made of the types of the lines."""

import json
import types
from inspect import cleandoc
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from dropwatch.render.lines.difference import Change, Difference
from dropwatch.render.lines.drop import Drop, End
from dropwatch.render.lines.journey import Journey
from dropwatch.render.lines.last import Died, Window
from dropwatch.render.lines.machine import Check, Function
from dropwatch.render.lines.summary import Summary
from dropwatch.render.lines.write import constants, is_object, keys

LINES: tuple[type[Any], ...] = (
    Drop,
    End,
    Summary,
    Journey,
    Change,
    Difference,
    Died,
    Window,
    Check,
    Function,
)
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_DESCRIPTION = (
    "One object a line. Keys may be added within this schema; what is not known is null or empty. "
    "`type` says which line it is, `kind` which object of the configuration."
)

Node = dict[str, Any]


def schema_text() -> str:
    """As `whydrop schema` prints it."""
    return json.dumps(schema(), indent=2) + "\n"


def schema(*, strict: bool = False) -> Node:
    """Of any line. It lets other keys be, which a later version may add; `strict` is for the tests, and does not."""
    definitions = _Definitions(strict)
    lines = [definitions.of(line) for line in LINES]
    return {
        "$schema": _DIALECT,
        "$id": "urn:whydrop:schema:1",
        "title": "A line of the JSON of whydrop",
        "description": _DESCRIPTION,
        "oneOf": lines,
        "$defs": definitions.found,
    }


class _Definitions:
    """Each dataclass stands once, under its name."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self._names: dict[type[Any], str] = {}
        self.found: dict[str, Node] = {}

    def of(self, kind: Any) -> Node:
        """What a value of this type looks like."""
        if kind is Any:
            return {}
        if kind in _SIMPLE:
            return {"type": _SIMPLE[kind]}
        if is_object(kind):
            return {"$ref": f"#/$defs/{self._named(kind)}"}
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self.of(arguments[0])
        if origin is Literal:
            return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
        if origin is tuple:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if origin in (Union, types.UnionType):
            return self._one_of(arguments)
        raise TypeError(f"{kind} is nothing that a line is made of")

    def _one_of(self, kinds: tuple[Any, ...]) -> Node:
        if all(kind in _SIMPLE for kind in kinds):
            return {"type": [_SIMPLE[kind] for kind in kinds]}
        return {"oneOf": [self.of(kind) for kind in kinds]}

    def _named(self, kind: type[Any]) -> str:
        if kind not in self._names:
            name = self._names[kind] = kind.__name__
            assert name not in self.found, f"two types are called {name}"
            self.found[name] = {}  # its place, before those that it is made of
            self.found[name] |= self._object(kind)
        return self._names[kind]

    def _object(self, kind: Any) -> Node:
        fixed = {name: {"const": value} for name, value in constants(kind).items()}
        described = {key.name: self.of(key.value) | {"description": key.doc} for key in keys(kind)}
        node: Node = {
            "type": "object",
            "description": " ".join(cleandoc(kind.__doc__ or "").split()),
            "properties": fixed | described,
            "required": [*fixed, *(key.name for key in keys(kind) if not key.optional)],
        }
        together = {key.beside: [key.name] for key in keys(kind) if key.beside is not None}
        if together:
            node["dependentRequired"] = together
        if self._strict:
            node["additionalProperties"] = False
        return node
