"""@dataclass for the values of whydrop, cheap to define: a run defines a hundred of them before it is ready.

To the type checker it is that of dataclasses, and it is the type checker that keeps `frozen` values from being changed.
While whydrop runs they have no methods that refuse it: these two take half of the time of a definition, and each
assignment of the constructor goes through one of them (CPython, Lib/dataclasses.py: _frozen_get_del_attr, _init_fn).
Of the methods that dataclasses compiles from text for each class only the constructor is left.
"""

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool = False, eq: bool = True, **options: Any) -> Callable[[type], type]:
        """Values of one class with equal fields are equal. `frozen`: and have one hash."""

        def define(kind: type) -> type:
            if kind.__doc__ is None:
                kind.__doc__ = kind.__name__  # else it is made of the signature, which takes long as well
            made = dataclasses.dataclass(kind, eq=False, repr=False, **options)
            names = [field.name for field in dataclasses.fields(made)]
            compared = [field.name for field in dataclasses.fields(made) if field.compare]
            methods = {"__repr__": _shown(names), **(_compared(compared, hashed=frozen) if eq else {})}
            for name in methods.keys() - vars(kind).keys():
                setattr(made, name, methods[name])
            return made

        return define


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
