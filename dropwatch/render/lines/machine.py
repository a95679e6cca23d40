"""The lines about this machine: what whydrop can do on it, and which functions a trace would watch."""

from typing import Annotated, ClassVar, Literal

from dropwatch.model.dataclass import dataclass
from dropwatch.render.lines.parts import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that the self-test found out."""

    name: Annotated[str, "what it is about"]
    works: Annotated[bool | None, "null where it could not be found out"]
    text: Annotated[str, "what was found"]
    todo: Annotated[str | None, "what to do about it"]
    vital: Annotated[bool, "without it whydrop cannot run"]
    probe: Annotated[bool, "without it whydrop cannot explain what that family explains"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What this host and this user can do: the only line of `whydrop check`."""

    type: ClassVar[Literal["check"]] = "check"
    schema: ClassVar[Schema] = 1
    works: Annotated[bool, "a live run is possible"]
    complete: Annotated[bool, "and every family of probes works"]
    facts: Annotated[tuple[Fact, ...], "one by one"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function that can be watched: a line of `whydrop trace --list-functions`."""

    type: ClassVar[Literal["function"]] = "function"
    schema: ClassVar[Schema] = 1
    name: Annotated[str, "as kallsyms has it"]
    argument: Annotated[int, "which of its arguments is the packet, from 1"]
    module: Annotated[str | None, "null: the kernel itself"]
    curated: Annotated[bool, "a trace watches it without being asked to"]
