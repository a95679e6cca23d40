"""Reads symbols/*.toml: what the kernel's drop reasons, functions and layers mean, in words."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dropwatch.model.dataclass import dataclass
from dropwatch.model.pattern import pattern
from dropwatch.names import toml
from dropwatch.resources import resource_dir

if TYPE_CHECKING:
    from dropwatch.model.drop import Direction

# Where a softirq begins: what lies further out on the stack is whoever was interrupted.
SOFTIRQ = frozenset(
    {
        *("__do_softirq", "handle_softirqs", "__softirqentry_text_start", "run_ksoftirqd"),
        *("do_softirq_own_stack", "____do_softirq", "call_on_irq_stack"),  # the last two are arm64's
    }
)
# What compilers hang on a function's name when they clone, split or specialise it: gcc .isra.0 .part.0
# .constprop.0 .cold, clang .llvm.<hash>. It says nothing about what the function does.
_CLONES = frozenset({"isra", "part", "constprop", "cold", "llvm", "lto_priv"})
COUNTER_KINDS = ("protocol", "nic", "qdisc", "softnet")
_NUMBER = pattern(r"[0-9a-z]+")
_HEAD = pattern(r"^\[([^\]\n]+)\]$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ReasonWords:
    """One drop reason: `words` is a short phrase, `text` paragraphs in which a line with `$ ` is a command.

    `layer` is a name of layers.toml, None where the reason is used in several and the function tells which.
    """

    name: str
    words: str
    text: str
    layer: str | None


@dataclass(frozen=True, slots=True)
class FunctionWords:
    """One kernel function. `free` is true for one that only frees, on behalf of its caller.

    `layer` and `direction` are None where packets of several layers, or on several ways, pass the function.
    `step` is what a trace says of a packet that meets it, None for one that is no landmark; `decision` is true
    of a landmark that decides on its way. `arguments` leads to the packet, "skb", where no BTF does; empty where
    kernels differ, so that BTF must tell.
    """

    name: str
    text: str
    layer: str | None
    direction: "Direction | None" = None
    free: bool = False
    step: str | None = None
    decision: bool = False
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CounterWords:
    """A counter: `loss` is false where it counts no lost packets, `overlap` true where whydrop may see them die.

    `causes` are the ids of those of which it can rise.
    """

    text: str
    loss: bool = True
    overlap: bool = False
    causes: tuple[str, ...] = ()


@lru_cache(maxsize=8192)
def base_name(function: str) -> str:
    """`ip_rcv_finish_core` for `ip_rcv_finish_core.isra.0.cold`: the name without what a compiler added."""
    parts = function.split(".")
    while len(parts) > 1:
        if parts[-1] in _CLONES:
            del parts[-1]
        elif len(parts) > 2 and parts[-2] in _CLONES and _NUMBER.fullmatch(parts[-1]):
            del parts[-2:]
        else:
            break
    return ".".join(parts)


@cache
def reasons() -> Mapping[str, ReasonWords]:
    """Every drop reason that whydrop has words for, by the kernel's name without `SKB_DROP_REASON_`."""
    return MappingProxyType({name: _reason(name, entry) for name, entry in _entries("reasons")})


@cache
def functions() -> Mapping[str, FunctionWords]:
    """Every kernel function that whydrop has words for, by its base name."""
    return MappingProxyType({name: _function(name, entry) for name, entry in _entries("functions")})


@cache
def landmarks() -> tuple[FunctionWords, ...]:
    """The landmarks of a packet's way through the kernel, which a trace watches: the functions with a `step`."""
    return tuple(function for function in functions().values() if function.step is not None)


@cache
def layers_of(place: str | None, reason_name: str | None) -> frozenset[str]:
    """Where in the network stack a death is: the layer of its place, and that of the reason if it has one."""
    known = reason(reason_name)
    return frozenset(
        layer for layer in (place, known.layer if known is not None else None) if layer is not None
    )


def layers() -> Mapping[str, str]:
    """The layers of the network stack as whydrop names them, each with a sentence."""
    return MappingProxyType({name: entry["text"] for name, entry in _read("layers").items()})


@cache
def counters(kind: str) -> Mapping[str, CounterWords]:
    """The counters of one kind (`nic`, `qdisc`, `softnet`, `protocol`) that whydrop looks at, by the kernel's name."""
    return MappingProxyType({name: _counter(entry) for name, entry in _read("counters")[kind].items()})


def families() -> Mapping[str, str]:
    """The families of causes, each in a few words, in the order in which people look for theirs."""
    return MappingProxyType({name: entry["text"] for name, entry in _read("families").items()})


def reason_names() -> Iterable[str]:
    """The names of reasons(), without reading what they mean."""
    return _tables("reasons").keys()


def function_names() -> Iterable[str]:
    """The names of functions(), without reading what they mean."""
    return _tables("functions").keys()


@lru_cache(maxsize=1024)
def reason(name: str | None) -> ReasonWords | None:
    """The words for a reason as the running kernel calls it; None for one without words or without a name."""
    table = _tables("reasons").get(name or "")
    return None if table is None else _reason(*_entry(table))


@lru_cache(maxsize=8192)
def function(name: str | None) -> FunctionWords | None:
    """The words for a function as kallsyms spells it; None for one without words or without a name."""
    table = _tables("functions").get(base_name(name or ""))
    return None if table is None else _function(*_entry(table))


def _reason(name: str, entry: dict[str, Any]) -> ReasonWords:
    return ReasonWords(name, **entry)


def _counter(entry: dict[str, Any]) -> CounterWords:
    return CounterWords(**{**entry, "causes": tuple(entry.get("causes", ()))})


def _function(name: str, entry: dict[str, Any]) -> FunctionWords:
    arguments = tuple(argument for argument in entry.pop("arguments", "").split(", ") if argument)
    return FunctionWords(name, **entry, arguments=arguments)


def _entries(file: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return map(_entry, _tables(file).values())


def _entry(table: str) -> tuple[str, dict[str, Any]]:
    ((name, entry),) = toml.loads(table).items()
    return name, entry | {"layer": None if entry["layer"] == "any" else entry["layer"]}


@cache
def _tables(file: str) -> Mapping[str, str]:
    """The text of each table: a run reads a few of hundreds, and reading takes its time."""
    heads = list(_HEAD.finditer(text := _text(file)))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    return {head[1]: text[head.start() : end] for head, end in zip(heads, ends, strict=True)}


@cache
def _read(file: str) -> dict[str, dict[str, Any]]:
    return toml.loads(_text(file))


def _text(file: str) -> str:
    return (resource_dir("symbols") / f"{file}.toml").read_text(encoding="utf-8")
