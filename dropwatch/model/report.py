"""What a whole run amounts to: its findings by sort, when they came, and what is to be known of the run itself."""

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Finding, Totals


@dataclass(frozen=True, slots=True)
class Folded:
    """Findings of one sort. Times are seconds since 1970.

    `finding` is the last; of those of unequal confidence the last of the least sure. `one_flow` says that all had its
    ports. `exact` is false where nobody knows how many of `packets` really are of this sort: `note` says why.
    """

    finding: Finding
    packets: int
    first: float
    last: float
    one_flow: bool = True
    exact: bool = True
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """One cause in time: how many packets died of it in each stretch of the timeline."""

    cause: str
    packets: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Stretches of `seconds` each from `began` on (seconds since 1970); the lane with most packets first."""

    began: float
    seconds: float
    lanes: tuple[Lane, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """What was decided about a packet, in words, `seconds` after it was met first.

    `netns` and `iface` are empty where they are as before. `is_bad`: it was not let pass.
    """

    seconds: float
    netns: str
    iface: str
    words: str
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """One packet of a trace: `time` in seconds since 1970, `left_out` how many turns are not among `turns`.

    `sort` says which of the report's sorts it died of, the first is 1.
    """

    number: int
    time: float
    packet: str
    end: str
    end_text: str
    turns: tuple[Turn, ...] = ()
    left_out: int = 0
    sort: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """`apart` are packets that are in no sort, by why. `totals` is None of a run that nobody saw the end of.

    `ways` are packets of a trace, and `ways_left_out` how many more there were.

    `began` is seconds since 1970, `seconds` how long the run watched, None: not known; `utc_offset` is what the local
    time was ahead of UTC, in seconds. `source` is the name of the recording, None for a run on this host. `asked` are
    the words of the run's command line, `made_by` those with which the recording was read. `own_netns` is the namespace
    in which whydrop ran.
    """

    program: str
    kernel: str
    machine: str
    began: float
    utc_offset: int
    seconds: float | None
    source: str | None
    view: str
    asked: str
    made_by: str
    payload: bool
    anonymized: bool
    own_netns: int | None
    sorts: tuple[Folded, ...]
    apart: dict[str, int]
    timeline: Timeline
    totals: Totals | None
    ways: tuple[Way, ...] = ()
    ways_left_out: int = 0
