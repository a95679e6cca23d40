"""The lines of `whydrop last`: one for each thing that killed packets in a window, then the window itself."""

from typing import Annotated, ClassVar, Literal

from dropwatch.model.dataclass import dataclass
from dropwatch.render.lines.drop import Drop
from dropwatch.render.lines.parts import Schema, Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """How many died in one minute."""

    time: Annotated[Time, "when the minute began"]
    packets: Annotated[int, "more than none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """What one object did to packets of one owner, direction and namespace; where no object did it, one flow."""

    type: ClassVar[Literal["died"]] = "died"
    schema: ClassVar[Schema] = 1
    packets: Annotated[int, "how many, in the window"]
    first: Annotated[Time, "when the first died"]
    last: Annotated[Time, "when the last died"]
    flows: Annotated[int | None, "of how many flows; null: of more than are told apart"]
    mixed: Annotated[bool, "true: of more sorts than are told apart, which have only the cause in common"]
    minutes: Annotated[tuple[Minute, ...], "minutes in which any died"]
    finding: Annotated[Drop, "one of them in full, the first of its hour and sort: `count` is 1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A time in which the recorder watched."""

    since: Annotated[Time, "its begin"]
    until: Annotated[Time, "its end, as far as is known: that of a killed recorder is its last sign of life"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What the store has of a window: the last line of `whydrop last`."""

    type: ClassVar[Literal["window"]] = "window"
    schema: ClassVar[Schema] = 1
    store: Annotated[str, "the file"]
    host: Annotated[str | None, "the name of the host that was watched; null: nobody watched"]
    since: Annotated[Time, "the begin, in whole minutes"]
    until: Annotated[Time, "the end"]
    packets: Annotated[int, "dropped packets that fit"]
    undecided: Annotated[int, "dropped packets that may fit or not: only the sum of their sort was kept"]
    watched: Annotated[tuple[Stretch, ...], "when somebody watched"]
    seconds: Annotated[float, "how long that is"]
    killed: Annotated[
        bool, "true: a recorder did not end in good order, and what came after its last line is missing"
    ]
    events_lost: Annotated[
        int | None, "of the runs in the window; null: not known, a run goes on or was killed"
    ]
    unstored: Annotated[int, "packets that these runs counted and could not keep"]
    kept_since: Annotated[Time | None, "what was before has been deleted; null: nothing has"]
