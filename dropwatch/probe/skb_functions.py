"""Which kernel functions a trace watches: the landmarks of a packet's way, and whatever a pattern adds to them."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dropwatch.errors import CannotRunHere
from dropwatch.kernel.btf_functions import SkbFunction, functions_taking
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.model.pattern import pattern
from dropwatch.names.symbols import FunctionWords, landmarks

# What the compiler makes for every tracepoint that gets a packet: attaching to them tells nothing of the packet's way.
_OF_TRACEPOINTS = pattern(
    r"(__traceiter|__probestub|__bpf_trace|trace_event_raw_event|perf_trace|trace_event_get_offsets|btf_trace)_"
)


class Chosen(NamedTuple):
    """Its first argument is the struct sock if `socket`, the packet is `argument`, from 1.

    `module` is None for a function of the kernel itself. `answers`: it is known to return a number.
    """

    name: str
    argument: int
    socket: bool
    module: str | None
    answers: bool = False


class ListedFunction(NamedTuple):
    """A function that can be asked for; `curated` if it is watched without."""

    name: str
    argument: int
    module: str | None
    curated: bool


def chosen(
    pattern: re.Pattern[str] | None, symbols: Kallsyms, known: Mapping[str, SkbFunction] | None = None
) -> tuple[Chosen, ...]:
    """The landmarks that this kernel has, in the order of the table, then by name the others that the pattern finds.

    A name that several functions have is left out: a probe would get one of them, and not say which. `known` is what
    functions_taking() says. Raises CannotRunHere where a pattern is of no use, because BTF names no functions.
    """
    known = _described() if known is None else known
    if pattern and not known:
        raise CannotRunHere(
            "which functions take a packet is not known here: this kernel's BTF cannot be read, or names none",
            "leave out --functions: the functions that whydrop knows by itself are watched all the same",
        )
    curated = {landmark.name for landmark in landmarks()}
    others = sorted(set(_matching(pattern, known)) - curated)
    times = symbols.occurrences({*others, *curated})
    there = (_landmark(landmark, symbols, known) for landmark in landmarks() if times[landmark.name] == 1)
    return (
        *(landmark for landmark in there if landmark.argument),
        *(
            Chosen(name, known[name].argument, False, known[name].module, known[name].answers)
            for name in others
            if times[name] == 1
        ),
    )


def listing(
    pattern: re.Pattern[str] | None, symbols: Kallsyms, known: Mapping[str, SkbFunction] | None = None
) -> list[ListedFunction]:
    """What can be watched, by name: landmarks and others that the pattern finds, without one all of them."""
    known = _described() if known is None else known
    curated = {landmark.name for landmark in landmarks()}
    found = chosen(pattern or re.compile(""), symbols, known) if known else chosen(None, symbols, known)
    return sorted(
        ListedFunction(function.name, function.argument, function.module, function.name in curated)
        for function in found
        if not pattern or pattern.search(function.name)
    )


def _described() -> dict[str, SkbFunction]:
    """Nothing where BTF is of a kind that is not known here: the landmarks are found without it."""
    try:
        return functions_taking()
    except ValueError:
        return {}


def _matching(pattern: re.Pattern[str] | None, known: Mapping[str, SkbFunction]) -> Iterator[str]:
    if pattern:
        yield from (name for name in known if pattern.search(name) and not _OF_TRACEPOINTS.match(name))


def _landmark(landmark: FunctionWords, symbols: Kallsyms, known: Mapping[str, SkbFunction]) -> Chosen:
    """With argument 0 where neither BTF nor the table tells it."""
    described = known.get(landmark.name)
    if described:
        # BTF leads to the first packet, the table to the last: a function may be handed an earlier one as well.
        argument = described.argument + max(landmark.arguments.count("skb") - 1, 0)
        module, answers = described.module, described.answers
    else:
        argument, module = len(landmark.arguments), symbols.frame(symbols.find(landmark.name) or 0).module
        answers = False
    return Chosen(landmark.name, argument, _takes_socket(landmark) and argument == 2, module, answers)


def _takes_socket(landmark: FunctionWords) -> bool:
    return landmark.arguments[:2] == ("sock", "skb")
