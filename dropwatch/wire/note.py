"""A note: what the programs of one family tell of a death, in a record beside the DROP record."""

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Event
from dropwatch.model.netfilter import HookFunction


@dataclass(frozen=True, slots=True)
class KernelNames:
    """Words for what the running kernel has as numbers and addresses.

    `states` are the enumerators of xfrm states, `counters` the indexes of /proc/net/xfrm_stat, `function` names an
    address, `hook_function` a function at a netfilter hook as it was at a time (monotonic, in ns).
    """

    states: Mapping[int, str]
    counters: Mapping[int, str]
    function: Callable[[int], str | None]
    hook_function: Callable[[int, int], HookFunction]


@dataclass(frozen=True, slots=True)
class Note:
    """`kind` is the record's type (enum record_type), `layout` its mirror, and `add` puts what it says into an Event.

    One that `follows` comes after the DROP record, which has said so; the others come before it.
    """

    kind: int
    layout: type[ctypes.Structure]
    add: Callable[[Event, Any, KernelNames], Event]
    follows: bool = False
