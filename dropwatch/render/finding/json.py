"""One JSON object a line: each finding, then what the run amounted to."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar, cast

from dropwatch.model import drop as model
from dropwatch.model.drop import Finding, Totals
from dropwatch.model.resent import Lost, Resent
from dropwatch.render.lines import drop as lines
from dropwatch.render.lines.drop import Decision, Drop, End, Evidence, Fix, InFull, Retransmissions
from dropwatch.render.lines.made import cause, frame, iface, netns, packet, process, time_text
from dropwatch.render.lines.parts import Frame, Netns, Where
from dropwatch.render.lines.write import Written, line, text

_PARTS_REMEMBERED = 256

Model = TypeVar("Model")
Line = TypeVar("Line")


class JsonRenderer:
    """Findings for programs: one object for each. `more` is what `whydrop stack` adds."""

    def __init__(self, more: Callable[[Finding], InFull] | None = None) -> None:
        self._more = more
        self._parts = _WrittenOnce()

    def finding(self, finding: Finding, now: float) -> str:
        told = drop_line(finding, self._parts.made)
        if self._more is not None:
            more = self._more(finding)
            told = replace(told, hex=more.hex, layers=more.layers, observed=more.observed)
        return line(told)

    def tick(self, now: float) -> str:
        return ""

    def sent_again(self, lost: Lost, now: float) -> str:
        return ""

    def end(self, totals: Totals, now: float) -> str:
        return line(end_line(totals))


class _WrittenOnce:
    """The JSON of parts that findings share: the words of a verdict, a stack. Known by being the very same object."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, Written]] = {}

    def made(self, make: Callable[[Model], Line], part: Model) -> Line:
        of, written = self._known.get(id(part), (None, None))
        if written is None or of is not part:
            written = Written(text(make(part)))
            if len(self._known) >= _PARTS_REMEMBERED:
                self._known.clear()
            self._known[id(part)] = part, written
        return cast(Line, written)


def _made(make: Callable[[Model], Line], part: Model) -> Line:
    return make(part)


def _itself(part: Model) -> Model:
    return part


class _Make(Protocol):
    def __call__(self, make: Callable[[Model], Line], part: Model, /) -> Line: ...


def drop_line(finding: Finding, made: _Make = _made) -> Drop:
    """The finding as the schema has it; `made` makes those parts that it shares with others."""
    drop = finding.drop
    return Drop(
        time=time_text(drop.time),
        monotonic_ns=drop.event.monotonic_ns,
        match=finding.match.how,
        match_why=finding.match.why,
        count=finding.count,
        packet=packet(drop.packet),
        iface=iface(drop.iface),
        netns=netns(drop.netns),
        where=made(_where, drop.where),
        source=drop.event.source,
        reason=drop.reason,
        cause=cause(finding.cause_id, finding.title, finding.confidence),
        object=None if finding.culprit is None else made(_itself, finding.culprit),
        evidence=made(_evidence, finding.evidence),
        fix=made(_fix, finding.fix),
        led_by=made(_led_by, finding.led_by),
        stack=made(_stack, drop.stack),
        process=process(finding.owner or drop.process),
    )


def _evidence(found: tuple[model.Evidence, ...]) -> tuple[Evidence, ...]:
    return tuple(Evidence(source=one.source, text=one.text) for one in found)


def _fix(found: tuple[model.Fix, ...]) -> tuple[Fix, ...]:
    return tuple(Fix(text=one.text, command=one.command) for one in found)


def _led_by(found: tuple[model.Decision, ...]) -> tuple[Decision, ...]:
    return tuple(
        Decision(text=one.text, object=one.culprit, confidence=one.confidence, evidence=one.evidence)
        for one in found
    )


def _stack(found: tuple[model.Frame, ...]) -> tuple[Frame, ...]:
    return tuple(map(frame, found))


def _where(where: model.Where) -> Where:
    place = frame(where.frame)
    return Where(
        function=place.function,
        offset=place.offset,
        module=place.module,
        address=place.address,
        layer=where.layer,
        direction=where.direction,
    )


def end_line(totals: Totals) -> End:
    """The closing statement as the schema has it; of a trace with the journeys."""
    return End(
        drops_seen=None if totals.seen_by is None else sum(totals.seen_by.values()),
        seen_by=totals.seen_by,
        drops_matched=totals.matched,
        drops_reported=totals.reported,
        events_lost=None if totals.lost is None else sum(totals.lost.values()),
        lost_by=totals.lost,
        suppressed=totals.suppressed,
        blind_spots=totals.blind_spots,
        journeys=totals.journeys,
        retransmissions=None if totals.resent is None else _resent(totals.resent),
    )


def _resent(found: Resent) -> Retransmissions:
    return Retransmissions(
        segments=found.segments,
        failed=found.failed,
        lost_here=found.lost_here,
        not_lost_here=found.not_lost_here,
        unclear=found.unclear,
        connections=tuple(map(_lost, found.connections)),
        not_watched=(*found.not_watched, *found.never_watched),
    )


def _lost(found: Lost) -> lines.Lost:
    return lines.Lost(
        saddr=str(found.saddr),
        daddr=str(found.daddr),
        sport=found.sport,
        dport=found.dport,
        netns=Netns(inode=found.netns, name=found.netns_name) if found.netns else None,
        died=found.died,
        cause=found.cause_id,
        function=found.function,
        segments=found.segments,
        died_ns=found.death_ns,
        sent_again_ns=found.resent_ns,
    )
