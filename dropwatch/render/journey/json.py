"""One JSON object a line for each packet that was followed."""

from typing import Any

from dropwatch.model.journey import Journey, NetfilterAnswer, Step
from dropwatch.render.finding.json import (
    SCHEMA,
    finding_object,
    frame_object,
    iface_object,
    line,
    netns_object,
    packet_object,
    process_object,
    time_text,
)


class JourneyJson:
    """Journeys for programs."""

    def journey(self, journey: Journey, now: float) -> str:
        return line(journey_object(journey))


def journey_object(journey: Journey) -> dict[str, Any]:
    """The journey as the schema has it: every key present, None where nothing is known."""
    return {
        "type": "journey",
        "schema": SCHEMA,
        "number": journey.number,
        "time": time_text(journey.time),
        "packet": packet_object(journey.packet),
        "steps": [_step(step) for step in journey.steps],
        "end": journey.end,
        "end_text": journey.end_text,
        "finding": finding_object(journey.finding) if journey.finding is not None else None,
        "process": process_object(journey.process),
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "seconds": _seconds(step.seconds),
        "since": _seconds(step.since),
        "kind": step.kind,
        **frame_object(step.frame),
        "text": step.text,
        "layer": step.layer,
        "packet": packet_object(step.packet),
        "netns": netns_object(step.netns),
        "iface": iface_object(step.iface),
        "route": iface_object(step.route),
        "cpu": step.cpu,
        "process": process_object(step.process),
        "copy": step.copy,
        "depth": step.depth,
        "duration": None if step.duration is None else _seconds(step.duration),
        "returned": step.returned,
        "tap": step.tap,
        "changed": step.changed,
        "netfilter": _answer(step.answer),
        "fields": dict(step.fields),
    }


def _answer(answer: NetfilterAnswer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {
        "engine": answer.engine,
        "family": answer.family,
        "table": answer.table,
        "chain": answer.chain,
        "hook": answer.hook,
        "verdict": answer.verdict,
    }


def _seconds(seconds: float) -> float:
    """To the nanosecond, which is what the kernel counts."""
    return round(seconds, 9)
