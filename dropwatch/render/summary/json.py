"""A summary as one JSON object on a line."""

from typing import Any

from dropwatch.model.summary import FlowCount, Outside, Summary, SummaryRow
from dropwatch.render.finding.json import (
    SCHEMA,
    culprit_object,
    frame_object,
    iface_object,
    line,
    netns_object,
    time_text,
)

_DIGITS = 3  # of seconds and rates


class SummaryJson:
    """Summaries for programs; with `stack` each row has the kernel's stack of its last sample."""

    def __init__(self, *, stack: bool = False) -> None:
        self._stack = stack

    def summary(self, summary: Summary) -> str:
        return line(
            {
                "type": "summary",
                "schema": SCHEMA,
                "time": time_text(summary.time),
                "seconds": round(summary.seconds, _DIGITS),
                "since": time_text(summary.since),
                "complete": summary.complete,
                "counted": summary.counted,
                "rows": [self._row(row) for row in summary.rows],
                "suppressed": summary.suppressed,
                "not_matched": summary.not_matched,
                "top_flows": [_flow(flow) for flow in summary.flows],
                "outside": [_outside(found) for found in summary.outside],
            }
        )

    def _row(self, row: SummaryRow) -> dict[str, Any]:
        found: dict[str, Any] = {
            "cause": {"id": row.cause_id, "title": row.title, "confidence": row.confidence},
            "also": list(row.also),
            "where": frame_object(row.where),
            "reason": row.reason,
            "object": culprit_object(row.culprit),
            "iface": iface_object(row.iface),
            "netns": netns_object(row.netns),
            "packets": row.packets,
            "new": row.new,
            "rate": round(row.rate, _DIGITS),
            "first": time_text(row.first),
            "last": time_text(row.last),
            "samples": row.samples,
            "note": row.note,
        }
        if self._stack:
            frames = row.finding.drop.stack if row.finding is not None else ()
            found["stack"] = [frame_object(frame) for frame in frames]
        return found


def _flow(flow: FlowCount) -> dict[str, Any]:
    return {
        "family": flow.family,
        "proto": flow.proto,
        "saddr": None if flow.saddr is None else str(flow.saddr),
        "daddr": None if flow.daddr is None else str(flow.daddr),
        "dport": flow.dport,
        "packets": flow.packets,
    }


def _outside(found: Outside) -> dict[str, Any]:
    counter = found.counter
    return {
        "kind": counter.kind,
        "counter": counter.name,
        "iface": counter.device,
        "netns": netns_object(found.netns),
        "count": found.count,
        "new": found.new,
        "text": counter.text or None,
        "loss": counter.loss,
        "also_in_rows": counter.overlap,
    }
