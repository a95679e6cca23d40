"""docs/json.md: every line of the JSON with its keys, made of the types of the lines."""

import json
import types
from collections.abc import Iterator
from inspect import cleandoc
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from dropwatch.model.culprits import Culprit
from dropwatch.render.lines.schema import LINES
from dropwatch.render.lines.write import Key, constants, is_object, keys

_BEGINNING = """\
# The JSON

<!-- Made by `make docs` from the types in dropwatch/render/lines/ and dropwatch/model/culprits.py. -->

One object a line on standard output; its `type` says what it is. The last line of every run is of type `end`.
`whydrop schema` prints the JSON Schema (draft 2020-12) of all of them, which is [schema.json](schema.json).

Keys are always there; what is not known is `null` or `[]`, never a guess. Only a key in *italics* is left out where it
does not apply. `schema` is 1; keys may be added to it. A reader passes over keys that it does not know, and so does the
JSON Schema.
"""
_WORDS = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    type(None): "null",
    Any: "anything",
}


def page() -> str:
    """The whole page."""
    objects: tuple[type[Any], ...] = get_args(Culprit)
    parts = list(dict.fromkeys(part for kind in (*LINES, *objects) for part in _made_of(kind)))
    lines = [_BEGINNING]
    for kind in LINES:
        lines += [f"## `{kind.type}`\n", *_described(kind)]
    lines.append("## What lines are made of\n")
    for kind in parts:
        if kind not in objects and kind not in LINES:
            lines += [f"### {kind.__name__}\n", *_described(kind)]
    lines.append("## `object`: what a finding blames\n")
    for kind in objects:
        lines += [f"### `{kind.kind}`\n", *_described(kind)]
    return "\n".join(lines)


def _described(kind: Any) -> Iterator[str]:
    yield f"{cleandoc(kind.__doc__ or '')}\n"
    yield "| key | value | what it says |"
    yield "|---|---|---|"
    for name, value in constants(kind).items():
        yield f"| `{name}` | `{value}` | |"
    for key in keys(kind):
        yield f"| {_name(key)} | {_value(key.value)} | {key.doc} |"
    yield ""


def _name(key: Key) -> str:
    return f"*`{key.name}`*" if key.optional else f"`{key.name}`"


def _value(kind: Any) -> str:
    """`text or null`, `list of Frame`."""
    if kind in _WORDS:
        return _WORDS[kind]
    if is_object(kind):
        return _link(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _value(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{word if isinstance(word, str) else json.dumps(word)}`" for word in arguments)
    if origin is tuple:
        return f"list of {_value(arguments[0])}"
    if origin is dict:
        return f"object (each value {_value(arguments[1])})"
    if set(get_args(Culprit)) <= set(arguments):
        return "[object](#object-what-a-finding-blames) or null"
    return " or ".join(_value(one) for one in arguments)


def _link(kind: Any) -> str:
    tag = constants(kind).get("type")
    return f"[{tag or kind.__name__}](#{tag or kind.__name__.lower()})"


def _made_of(kind: Any) -> Iterator[Any]:
    """The dataclasses in a type, each before those that it is made of."""
    if is_object(kind):
        yield kind
        for key in keys(kind):
            yield from _made_of(key.kind)
    elif get_origin(kind) in (Annotated, Union, types.UnionType, tuple, dict):
        for part in get_args(kind):
            yield from _made_of(part)
