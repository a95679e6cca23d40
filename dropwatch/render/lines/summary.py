"""The line of a summary."""

from typing import Annotated, ClassVar, Literal

from dropwatch.model.culprits import Culprit
from dropwatch.model.dataclass import dataclass
from dropwatch.model.summary import CounterKind
from dropwatch.render.lines.parts import Cause, Frame, Interface, Netns, Schema, Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Packets alike in cause, place, reason, object, interface and namespace."""

    cause: Annotated[Cause, "why, as its samples had it"]
    also: Annotated[
        tuple[str, ...],
        "not empty where samples of one sort disagree: the row is mixed, cause is that of most, at most likely, and "
        "how many packets have which is not known",
    ]
    where: Annotated[Frame, "the function that gave them up"]
    reason: Annotated[str | None, "the running kernel's own name for the reason"]
    object: Annotated[Culprit | None, "the thing in the configuration that did it; null where samples differ"]
    iface: Annotated[Interface | None, "the device"]
    netns: Annotated[Netns | None, "the namespace"]
    packets: Annotated[int, "all since the start. Exact: counted by the kernel"]
    new: Annotated[int, "those since the line before"]
    rate: Annotated[float, "these per second"]
    first: Annotated[Time, "when the first sample died, or the first count was taken"]
    last: Annotated[Time, "the last time it had grown: up to an interval late"]
    samples: Annotated[int, "how many were looked at: on each CPU the 1st, 2nd, 4th, 8th, ... of each sort"]
    note: Annotated[str | None, "what else must be said: mixed, different objects, or no sample came"]
    stack: Annotated[tuple[Frame, ...] | None, "with --stack: that of the last sample"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Packets of one flow, whatever their source port, the harmless included."""

    family: Annotated[int | None, "4 or 6; null without an IP header"]
    proto: Annotated[str, "as udp"]
    saddr: Annotated[str | None, "source address"]
    daddr: Annotated[str | None, "destination address"]
    dport: Annotated[int | None, "destination port"]
    packets: Annotated[int, "how many have died"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """A counter that rose since counting began. One packet can raise several: they are not to be added up."""

    kind: Annotated[
        CounterKind,
        "nic: statistics of the interface; driver: what ethtool -S shows; softnet: the queues of the CPUs; qdisc; "
        "protocol: /proc/net/snmp, netstat, snmp6 and xfrm_stat",
    ]
    counter: Annotated[str, "its name"]
    iface: Annotated[str | None, "name of the device that it is of; null: of all"]
    netns: Annotated[Netns | None, "the namespace that it is of; null: of the whole machine"]
    count: Annotated[int, "how much it rose since the start"]
    new: Annotated[int, "how much since the line before"]
    text: Annotated[str | None, "what it counts"]
    loss: Annotated[
        bool, "false where it does not count lost packets, as time_squeeze or ICMP errors never made"
    ]
    also_in_rows: Annotated[
        bool, "true where the same packets may die where whydrop looks: then they are in rows too"
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that has died so far: a line of `whydrop summary` each interval, and one when the run is over.

    In every line the `packets` of all `rows`, `suppressed` and `not_matched` add up to `counted`.
    """

    type: ClassVar[Literal["summary"]] = "summary"
    schema: ClassVar[Schema] = 1
    time: Annotated[Time, "when the counts were taken: UTC, as 2026-11-20T20:15:01.123456Z"]
    seconds: Annotated[float, "since the line before"]
    since: Annotated[Time, "when counting began"]
    complete: Annotated[bool, "true in the last line: no packet, and no sample, can come any more"]
    counted: Annotated[int, "how many packets that fit the kernel's part of the filter have died"]
    rows: Annotated[tuple[Row, ...], "by sort, those that died most lately first"]
    suppressed: Annotated[
        dict[str, int], "harmless packets by cause; a or b where samples of one sort differ"
    ]
    not_matched: Annotated[
        int, "packets whose samples did not fit the part of the filter that user space judges"
    ]
    top_flows: Annotated[
        tuple[Flow, ...], "the ten with most packets; of very many flows only some are counted"
    ]
    outside: Annotated[
        tuple[Outside, ...],
        "counters that rose, in whydrop's own namespace and in those of --netns; only a loss with also_in_rows "
        "false is surely missing in rows",
    ]
