"""The first and the last item of a recording: what was watched with which program, and what it amounted to."""

from dataclasses import field

from dropwatch.model.dataclass import dataclass
from dropwatch.model.resent import Resent


@dataclass(frozen=True, slots=True)
class Start:
    """`causes`, `all_drops` and `count` are what the run was asked for by these options, `view` by a command.

    `began` is seconds since 1970, `utc_offset` what the local time was ahead of UTC then, in seconds. `own_netns` is
    the namespace in which whydrop ran. `asked` are the words of the command line.
    """

    program: str
    kernel: str
    machine: str
    began: float
    utc_offset: int
    own_netns: int | None
    all_drops: bool = False
    causes: frozenset[str] = frozenset()
    payload: bool = False
    anonymized: bool = False
    view: str = "findings"
    count: int | None = None
    asked: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """The closing statement, but for what a replay counts itself. `not_packets` are netlink and unix buffers.

    `now` is the clock of the renderers at that time, `seconds` how long the run watched; None in older recordings.
    """

    seen_by: dict[str, int]
    lost: dict[str, int]
    not_packets: int
    blind_spots: tuple[str, ...]
    now: float
    matched: int = 0
    reported: int = 0
    suppressed: dict[str, int] = field(default_factory=dict)
    journeys: dict[str, int] | None = None
    seconds: float | None = None
    resent: Resent | None = None
