"""@dataclass for the values of whydrop, cheap to define: a run defines 150 of them before it is ready.

To the type checker it is that of dataclasses, and it is the type checker that keeps `frozen` values from being changed.
While whydrop runs they have no methods that refuse it: these two take half of the time of a definition, and each
assignment of the constructor goes through one of them (CPython, Lib/dataclasses.py: _frozen_get_del_attr, _init_fn).
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool = False, eq: bool = True, **options: Any) -> Callable[[type], type]:
        """`frozen`: equal values have one hash."""

        def define(kind: type) -> type:
            if kind.__doc__ is None:
                kind.__doc__ = kind.__name__  # else it is made of the signature, which takes long as well
            return dataclasses.dataclass(kind, eq=eq, unsafe_hash=frozen and eq, **options)

        return define
