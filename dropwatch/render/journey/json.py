"""One JSON object a line for each packet that was followed."""

from dropwatch.model import journey as model
from dropwatch.render.finding.json import drop_line
from dropwatch.render.lines.journey import Journey, NetfilterAnswer, Step
from dropwatch.render.lines.made import frame, iface, netns, packet, process, time_text
from dropwatch.render.lines.write import line


class JourneyJson:
    """Journeys for programs."""

    def journey(self, journey: model.Journey, now: float) -> str:
        return line(journey_line(journey))


def journey_line(journey: model.Journey) -> Journey:
    """The journey as the schema has it."""
    return Journey(
        number=journey.number,
        time=time_text(journey.time),
        packet=packet(journey.packet),
        steps=tuple(map(_step, journey.steps)),
        end=journey.end,
        end_text=journey.end_text,
        finding=drop_line(journey.finding) if journey.finding is not None else None,
        process=process(journey.process),
    )


def _step(step: model.Step) -> Step:
    place = frame(step.frame)
    return Step(
        seconds=_seconds(step.seconds),
        since=_seconds(step.since),
        kind=step.kind,
        function=place.function,
        offset=place.offset,
        module=place.module,
        address=place.address,
        text=step.text,
        layer=step.layer,
        packet=packet(step.packet),
        netns=netns(step.netns),
        iface=iface(step.iface),
        route=iface(step.route),
        cpu=step.cpu,
        process=process(step.process),
        copy=step.copy,
        depth=step.depth,
        duration=None if step.duration is None else _seconds(step.duration),
        returned=step.returned,
        tap=step.tap,
        changed=step.changed,
        netfilter=_answer(step.answer),
        fields=dict(step.fields),
    )


def _answer(answer: model.NetfilterAnswer | None) -> NetfilterAnswer | None:
    if answer is None:
        return None
    return NetfilterAnswer(
        engine=answer.engine,
        family=answer.family,
        table=answer.table,
        chain=answer.chain,
        hook=answer.hook,
        verdict=answer.verdict,
    )


def _seconds(seconds: float) -> float:
    """To the nanosecond, which is what the kernel counts."""
    return round(seconds, 9)
