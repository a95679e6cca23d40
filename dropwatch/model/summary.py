"""What a summary is made of: rows of drops of one sort, flows, and what other counters lost."""

from typing import Literal

from dropwatch.model.culprits import Culprit
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address, Confidence, Finding, Frame, Interface, Netns

CounterKind = Literal["nic", "driver", "softnet", "qdisc", "protocol"]


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of the kernel, of one network namespace (None: of the whole machine) and one device (None: of all).

    `loss` is false for one that does not count lost packets. `overlap` is true where packets that it counts also
    die where whydrop looks: then they are in the rows as well.
    """

    kind: CounterKind
    name: str
    netns: int | None = None
    device: str | None = None
    text: str = ""
    loss: bool = True
    overlap: bool = False


@dataclass(frozen=True, slots=True)
class Outside:
    """How much a counter rose since the start of the run, and since the last summary."""

    counter: Counter
    netns: Netns | None
    count: int
    new: int


@dataclass(frozen=True, slots=True)
class FlowCount:
    """Drops of one flow, the harmless included: counted in the kernel. Addresses are None without an IP header."""

    family: int | None
    proto: str
    saddr: Address | None
    daddr: Address | None
    dport: int | None
    packets: int


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """Packets that died of the same cause, in the same place, for the same reason, by the same object.

    Only some of them were looked at: `samples`. `also` says what other samples of theirs had: where it is not empty
    the row is mixed, and cause and object are those of most. `culprit` is None where none is known or samples differ.
    `packets` are all since the start, `new` those since the last summary, `rate` is new per second. `first` and `last`
    are seconds since 1970; `history` is new, one number for each summary of the last minute, the oldest first.
    `finding` is the last sample's with this cause, None without a sample. `ports` are those that samples went to, with
    their protocol (`udp 5000`).
    """

    key: str
    cause_id: str
    title: str
    confidence: Confidence
    where: Frame
    reason: str | None
    culprit: Culprit | None
    iface: Interface | None
    netns: Netns | None
    packets: int
    new: int
    rate: float
    first: float
    last: float
    samples: int
    history: tuple[int, ...] = ()
    also: tuple[str, ...] = ()
    note: str | None = None
    finding: Finding | None = None
    ports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that was counted up to `time` (seconds since 1970); `seconds` since the last one, `since` the start.

    `counted` is what the kernel counted: the packets of all rows, of `suppressed` and `not_matched` add up to it.
    `complete` says that the run is over and no sample can come any more.
    """

    time: float
    seconds: float
    since: float
    rows: tuple[SummaryRow, ...]
    counted: int
    suppressed: dict[str, int]
    not_matched: int
    flows: tuple[FlowCount, ...] = ()
    outside: tuple[Outside, ...] = ()
    complete: bool = False
