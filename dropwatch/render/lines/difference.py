"""The lines of `whydrop diff`: one for each sort of findings, then what the two recordings amount to."""

from typing import Annotated, ClassVar, Literal

from dropwatch.model.dataclass import dataclass
from dropwatch.model.difference import What
from dropwatch.render.lines.drop import Drop
from dropwatch.render.lines.parts import Schema, Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many packets of a sort one of the recordings has."""

    packets: Annotated[int, "how many"]
    exact: Annotated[bool, "false where events were lost, or packets of several sorts were counted together"]
    per_second: Annotated[float | None, "by the time that the run watched; null where that is not known"]
    first: Annotated[Time, "when the first died"]
    last: Annotated[Time, "when the last died"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A sort of findings: the same cause, object, place, direction, addresses, service port, interface, namespace."""

    type: ClassVar[Literal["change"]] = "change"
    schema: ClassVar[Schema] = 1
    what: Annotated[
        What, "new: only in B; gone: only in A; more, fewer: by more than a tenth, per time; same: as before"
    ]
    before: Annotated[Count | None, "in A; null: not there"]
    after: Annotated[Count | None, "in B; null: not there"]
    finding: Annotated[Drop, "one of them, of B where it has any: ports of clients are its own"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One of the two recordings."""

    file: Annotated[str, "its name"]
    program: Annotated[str, "version of the whydrop that recorded"]
    kernel: Annotated[str, "the kernel's release; empty of a window of the recorder's store"]
    began: Annotated[Time, "when the run began"]
    seconds: Annotated[float | None, "how long it watched; null where that is not known"]
    packets: Annotated[int, "dropped packets that fit"]
    sorts: Annotated[int, "of so many sorts"]
    events_lost: Annotated[int | None, "how many could not be delivered; null where that is not known"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What two recordings differ in: the last line of `whydrop diff`, which ends with 1 where something is new."""

    type: ClassVar[Literal["difference"]] = "difference"
    schema: ClassVar[Schema] = 1
    before: Annotated[Compared, "A"]
    after: Annotated[Compared, "B"]
    new: Annotated[int, "sorts that only B has"]
    gone: Annotated[int, "sorts that only A has"]
    more: Annotated[int, "sorts with more packets in B, per time"]
    fewer: Annotated[int, "sorts with fewer"]
    same: Annotated[int, "sorts as before, within a tenth"]
    notes: Annotated[tuple[str, ...], "sentences about what makes the comparison less than exact"]
