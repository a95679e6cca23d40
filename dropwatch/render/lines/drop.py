"""The line of a dropped packet, and the last line of a run."""

from typing import Annotated, Any, ClassVar, Literal

from dropwatch.model.culprits import Culprit
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Confidence, Match
from dropwatch.model.resent import Died
from dropwatch.render.lines.parts import (
    Cause,
    Frame,
    Interface,
    Netns,
    Packet,
    Process,
    Schema,
    Time,
    Where,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One observed fact."""

    source: Annotated[str, "where it was read, as probe xfrm_input, netlink xfrm, packet"]
    text: Annotated[str, "the fact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One thing to do."""

    text: Annotated[str, "what, and what for"]
    command: Annotated[str | None, "for you to run: whydrop never runs it"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An earlier decision about the packet, without which it would not have died."""

    text: Annotated[str, "what was decided, and by what"]
    object: Annotated[Culprit | None, "the thing in the configuration that decided it"]
    confidence: Annotated[Confidence, "as that of the cause"]
    evidence: Annotated[tuple[str, ...], "observed facts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header, or the data behind the last one."""

    name: Annotated[str, "as IPv4, ESP; of data: data, ESP payload, padding"]
    offset: Annotated[int, "of its first byte from the network header, in bytes"]
    length: Annotated[int, "how many of its bytes the record has"]
    depth: Annotated[int, "one more inside each tunnel and each quote of an ICMP error"]
    quoted: Annotated[bool, "it is inside what an ICMP error quotes"]
    fields: Annotated[dict[str, str | int], "in the order of the bytes"]
    error: Annotated[str | None, "why reading stopped here"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What was there at the moment of the death, before any judgement."""

    cpu: Annotated[int, "where it died"]
    task: Annotated[Process, "who was running there, often somebody else"]
    ethertype: Annotated[str | None, "as 0x0800"]
    length: Annotated[int, "of the sk_buff, in bytes"]
    came_in_through: Annotated[int | None, "interface index"]
    carrier: Annotated[bool, "the kernel's filter let it through because it can only carry the flow"]
    xfrm: Annotated[dict[str, Any] | None, "what the probes of IPsec noted of this packet"] = None
    netfilter: Annotated[dict[str, Any] | None, "what the probes of netfilter noted of this packet"] = None
    notes: Annotated[tuple[str, ...] | None, "what other probes noted of this packet"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InFull:
    """What `whydrop stack` adds to the line of a packet."""

    hex: str
    layers: tuple[Header, ...]
    observed: Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A dropped packet: a line of `whydrop`, `whydrop stack` and `whydrop replay`."""

    type: ClassVar[Literal["drop"]] = "drop"
    schema: ClassVar[Schema] = 1
    time: Annotated[Time, "when it died: UTC, as 2026-11-20T20:15:01.123456Z"]
    monotonic_ns: Annotated[int, "when it died: nanoseconds of CLOCK_MONOTONIC"]
    match: Annotated[Match, "direct, or how it belongs to the filtered flow"]
    match_why: Annotated[str | None, "why it belongs to the flow"]
    count: Annotated[int, "how many equal drops the line stands for: this is the last of them"]
    packet: Annotated[Packet, "what its bytes say"]
    iface: Annotated[Interface | None, "the device that it was on"]
    netns: Annotated[Netns | None, "the namespace that it was in"]
    where: Annotated[Where, "the function that gave it up"]
    source: Annotated[str, "the hook that saw the death"]
    reason: Annotated[
        str | None, "the running kernel's own name for the reason; null on a kernel without reasons"
    ]
    cause: Annotated[Cause, "why"]
    object: Annotated[Culprit | None, "the thing in the configuration that did it"]
    evidence: Annotated[tuple[Evidence, ...], "observed facts"]
    fix: Annotated[tuple[Fix, ...], "what to do"]
    led_by: Annotated[tuple[Decision, ...], "what led to it, oldest first"]
    stack: Annotated[tuple[Frame, ...], "of the kernel, innermost first"]
    process: Annotated[
        Process | None, "who holds its socket: it died in a system call of that process, or was for it"
    ]
    hex: Annotated[str | None, "of whydrop stack: the bytes, at most 256, from the network header on"] = None
    layers: Annotated[tuple[Header, ...] | None, "of whydrop stack: every header, then the data"] = None
    observed: Annotated[Observed | None, "of whydrop stack: what else was there"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Segments of one direction of a TCP connection that were sent again because something died here, of one cause."""

    saddr: Annotated[str, "of the segments: their sender"]
    daddr: Annotated[str, "destination address"]
    sport: Annotated[int, "source port"]
    dport: Annotated[int, "destination port"]
    netns: Annotated[Netns | None, "that of the sender's socket"]
    died: Annotated[Died, "what died: the segment, or what acknowledged it"]
    cause: Annotated[str | None, "why it died; null where this run was not asked for that packet"]
    function: Annotated[str | None, "in which it died"]
    segments: Annotated[int, "how many were sent again because of it"]
    died_ns: Annotated[int, "when the first of them died: the monotonic_ns of its line, if it had one"]
    sent_again_ns: Annotated[int, "when that was sent again: nanoseconds of CLOCK_MONOTONIC"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retransmissions:
    """TCP segments that sockets of this host sent again, in connections that fit the filter."""

    segments: Annotated[int, "as the kernel counts them in TcpRetransSegs"]
    failed: Annotated[int, "how many of them did not leave the host this time either"]
    lost_here: Annotated[int, "of which the one before, or what acknowledged it, died in this host"]
    not_lost_here: Annotated[int, "of which nothing was seen to die"]
    unclear: Annotated[int, "the others: too much of their connections died to be compared"]
    connections: Annotated[tuple[Lost, ...], "those of lost_here, the most first, at most 100"]
    not_watched: Annotated[tuple[str, ...], "sentences: where they may have been lost all the same"]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The last line of every run, whatever ended it."""

    type: ClassVar[Literal["end"]] = "end"
    schema: ClassVar[Schema] = 1
    drops_seen: Annotated[int | None, "the sum of seen_by; null in the replay of a recording without its end"]
    seen_by: Annotated[dict[str, int] | None, "every hit of each source, exactly"]
    drops_matched: Annotated[int, "how many fit the filter and are not known to be harmless"]
    drops_reported: Annotated[int, "how many were shown"]
    events_lost: Annotated[int | None, "how many could not be delivered: the sum of lost_by"]
    lost_by: Annotated[dict[str, int] | None, "the same by why"]
    suppressed: Annotated[dict[str, int], "how many fit and are harmless, by cause; --all shows them"]
    blind_spots: Annotated[tuple[str, ...], "sentences about what this run could not see"]
    journeys: Annotated[
        dict[str, int] | None, "of whydrop trace: how many packets were followed, by their end"
    ] = None
    retransmissions: Annotated[
        Retransmissions | None, "what TCP sent again; left out where the filter is about something else"
    ] = None
