"""Holds every line of JSON in the tests against the schema of its type."""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

Line = dict[str, Any]


def check(line: Line) -> None:
    """Fails where the line is not as `whydrop schema` says, or has a key that the schema does not name.

    A line of a shape that was seen before costs little: the 11,000 of the recordings have 200 shapes.
    """
    shape = _shape("", line)
    if shape in _SEEN:
        return
    from jsonschema.exceptions import best_match  # slow to import in a guest

    error = best_match(_validator(line["type"]).iter_errors(line))
    assert error is None, f"{line}\nis not as the schema says, at {error.json_path}: {error.message}"
    _SEEN.add(shape)


_SEEN: set[Any] = set()


@cache
def _validator(kind: str) -> "Draft202012Validator":
    """Of the lines of one type."""
    from jsonschema import Draft202012Validator

    from dropwatch.render.lines.schema import LINES, schema

    (name,) = [line.__name__ for line in LINES if line.type == kind]
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema(strict=True)["$defs"]})


@cache
def _listed() -> frozenset[str]:
    """Keys whose values the schema lists: there the value is a part of the shape."""
    from dropwatch.render.lines.schema import schema

    return frozenset(
        key
        for node in schema()["$defs"].values()
        for key, value in node["properties"].items()
        if "'const'" in str(value) or "'enum'" in str(value)
    )


def _shape(key: str, value: Any) -> Any:
    """What the schema can tell apart: keys and types, and the values that it lists."""
    if isinstance(value, dict):
        return frozenset((name, _shape(name, item)) for name, item in value.items())
    if isinstance(value, list):
        return list, frozenset(_shape(key, item) for item in value)
    return type(value), value if key in _listed() else None
