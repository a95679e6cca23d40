"""@dataclass for the values of whydrop, cheap to define: a run defines more than a hundred of them before it is ready.

To the type checker it is that of dataclasses, and it is the type checker that keeps `frozen` values from being changed.
While whydrop runs they have no methods that refuse it: each assignment of the constructor would go through one of them
(CPython, Lib/dataclasses.py: _frozen_get_del_attr, _init_fn). And nothing is compiled before it is needed: a class has
its constructor from its first value on, and what dataclasses.fields() and replace() look at when they are called first.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(
        *, frozen: bool = False, eq: bool = True, slots: bool = False, kw_only: bool = False
    ) -> Callable[[type], type]:
        """Values of one class with equal fields are equal. `frozen`: and have one hash."""

        def define(kind: type) -> type:
            values = _values(kind, kw_only)
            own = dict(vars(kind))
            for name in kind.__annotations__.keys() & values.keys():
                default = values[name].default
                if slots or default is MISSING:
                    own.pop(name, None)
                else:
                    own[name] = default
            compared = [name for name, value in values.items() if value.compare]
            methods = {"__repr__": _shown(list(values)), **(_compared(compared, hashed=frozen) if eq else {})}
            for name in methods.keys() - own.keys():
                own[name] = methods[name]
            own["__init__"] = _constructor(values)
            own["__match_args__"] = tuple(name for name, value in values.items() if not value.kw_only)
            own["__values__"], own["__dataclass_fields__"] = values, _Fields()
            if slots:
                inherited = {name for base in kind.__mro__[1:] for name in getattr(base, "__slots__", ())}
                own["__slots__"] = tuple(name for name in values if name not in inherited)
            own.pop("__dict__", None)
            own.pop("__weakref__", None)
            return type(kind)(kind.__name__, kind.__bases__, own)

        return define


class _Value(NamedTuple):
    """Of what one value of a class consists: its type, and what dataclasses.field() says of it."""

    type: Any
    default: Any = MISSING
    factory: Any = MISSING
    compare: bool = True
    kw_only: bool = False


def _values(kind: type, kw_only: bool) -> dict[str, _Value]:
    """By name, those of the classes that it leans on first. A class has only its own `__annotations__`, and from Python
    3.14 on they are not among its vars().
    """
    found: dict[str, _Value] = {}
    for base in kind.__mro__[:0:-1]:
        found |= vars(base).get("__values__", {})
    for name, declared in kind.__annotations__.items():
        if declared is ClassVar or getattr(declared, "__origin__", None) is ClassVar:
            continue
        given = vars(kind).get(name, MISSING)
        if isinstance(given, dataclasses.Field):
            by_name = kw_only if given.kw_only is MISSING else bool(given.kw_only)
            found[name] = _Value(declared, given.default, given.default_factory, given.compare, by_name)
        else:
            found[name] = _Value(declared, given, kw_only=kw_only)
    return found


class _Fields:
    """What dataclasses looks at, made when it is."""

    def __get__(self, value: object, kind: Any = None) -> dict[str, Any]:
        owner = next(base for base in kind.__mro__ if vars(base).get("__dataclass_fields__") is self)
        given = {
            name: dataclasses.field(
                default=told.default, default_factory=told.factory, compare=told.compare, kw_only=told.kw_only
            )
            for name, told in owner.__values__.items()
        }
        declared = {name: told.type for name, told in owner.__values__.items()}
        alike: Any = dataclasses.dataclass(init=False, repr=False, eq=False)(
            type(owner.__name__, (), {"__annotations__": declared, "__doc__": "", **given})
        )
        owner.__dataclass_fields__ = alike.__dataclass_fields__
        return owner.__dataclass_fields__  # type: ignore[no-any-return]


def _constructor(values: dict[str, _Value]) -> Callable[..., None]:
    """Replaces itself by what the compiler makes of the text."""

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        kind = next(base for base in type(self).__mro__ if vars(base).get("__init__") is __init__)
        made = _compiled(values)
        kind.__init__ = made  # type: ignore[misc]
        made(self, *arguments, **named)

    return __init__


def _compiled(values: dict[str, _Value]) -> Callable[..., None]:
    known: dict[str, Any] = {"MISSING": MISSING}
    positional, lines = ["self"], []
    by_name: list[str] = []
    for at, (name, value) in enumerate(values.items()):
        known |= {f"_{at}": value.default, f"_{at}_made": value.factory}
        default = "" if value.default is MISSING else f"=_{at}"
        assigned = name
        if value.factory is not MISSING:
            default, assigned = "=MISSING", f"_{at}_made() if {name} is MISSING else {name}"
        (by_name if value.kw_only else positional).append(name + default)
        lines.append(f" self.{name}={assigned}")
    parameters = ", ".join((*positional, *(("*", *by_name) if by_name else ())))
    exec(f"def __init__({parameters}):\n" + "\n".join(lines or [" pass"]), known)
    return known["__init__"]  # type: ignore[no-any-return]


def _shown(names: list[str]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({fields})"

    return __repr__


def _compared(names: list[str], *, hashed: bool) -> dict[str, Callable[..., Any] | None]:
    values = attrgetter(*names) if names else type

    def __eq__(self: Any, other: Any) -> bool:
        return bool(values(self) == values(other)) if type(other) is type(self) else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(values(self))

    return {"__eq__": __eq__, "__hash__": __hash__ if hashed else None}
