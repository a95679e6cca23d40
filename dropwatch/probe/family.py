"""A family is a plug: one way to die, with all that tells of it. Hooks and tail calls are what it has in the kernel."""

from collections.abc import Iterator

from dropwatch.model.dataclass import dataclass
from dropwatch.wire.note import Note


@dataclass(frozen=True, slots=True)
class Hook:
    """A kernel function with the BPF programs that run at its entry and at its return; one of them may be missing.

    `whole` runs at its return and sees its arguments as well, through the kernel's own trampoline (fexit): it costs a
    tenth of the two, and only functions of the kernel itself can have it.
    It is not attached where the number `unless` is not 0: the programs know without it what it would tell; nor where
    the kernel has the drop reason `unless_reason`; nor where the number `only_with` is 0: nobody would use it.
    """

    function: str
    entry: str | None = None
    back: str | None = None
    unless: str | None = None
    unless_reason: str | None = None
    only_with: str | None = None
    whole: str | None = None

    @property
    def programs(self) -> tuple[str, ...]:
        return tuple(program for program in (self.back, self.entry, self.whole) if program is not None)


@dataclass(frozen=True, slots=True)
class TailCall:
    """A program that others jump to, and its place in their table of programs.

    In `drop_details` what leads to a record stands at the record's type; further steps: enum drop_step of bpf/death.c.
    """

    table: str
    index: int
    program: str
    is_kprobe: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """C files that explain one way to die, in the order in which they lean on each other.

    `flag` tells the other files that they are there.
    A family works only with its first hook: the others lean on what that notes. `needs` is the name of a family that
    comes before it and without which it cannot be. What `comes_and_goes` belongs to modules: it is attached when their
    functions appear; what is not loaded drops nothing, so that it is not there is no blind spot. `configured_by` are
    modules, each with one of its functions, by which a subsystem is configured whose functions every packet meets,
    used or not: then the hooks wait for one of them. Its hooks may cost packets that are accepted, too, if it has a
    `layer`: it tells of deaths in that layer of the network stack (symbols/layers.toml).
    """

    name: str
    files: tuple[str, ...]
    flag: str
    hooks: tuple[Hook, ...] = ()
    tail_calls: tuple[TailCall, ...] = ()
    notes: tuple[Note, ...] = ()
    needs: str | None = None
    comes_and_goes: bool = False
    configured_by: tuple[tuple[str, str], ...] = ()
    layer: str | None = None


def entries(program: str, *functions: str) -> Iterator[Hook]:
    """The same program at the entry of several functions."""
    return (Hook(function, program) for function in functions)


def returns(program: str, *functions: str) -> Iterator[Hook]:
    """The same program at the return of several functions."""
    return (Hook(function, back=program) for function in functions)


def both(entry: str, back: str, *functions: str) -> Iterator[Hook]:
    """The same pair of programs at the entry and the return of several functions."""
    return (Hook(function, entry, back) for function in functions)
