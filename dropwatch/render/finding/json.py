"""One JSON object a line: each finding, then what the run amounted to."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from dropwatch.model.culprits import Culprit
from dropwatch.model.drop import Drop, Finding, Frame, Interface, Netns, Packet, Process, Totals
from dropwatch.render.lines.write import as_json

SCHEMA = 1


class JsonRenderer:
    """Findings for programs: one object for each packet, nothing folded. `more` are further keys of a finding."""

    def __init__(self, more: Callable[[Finding], dict[str, Any]] | None = None) -> None:
        self._more = more

    def finding(self, finding: Finding, now: float) -> str:
        return line(finding_object(finding) | (self._more(finding) if self._more is not None else {}))

    def tick(self, now: float) -> str:
        return ""

    def end(self, totals: Totals, now: float) -> str:
        return line(end_object(totals))


def finding_object(finding: Finding) -> dict[str, Any]:
    """The finding as the schema has it: every key present, None where nothing is known."""
    drop = finding.drop
    return {
        "type": "drop",
        "schema": SCHEMA,
        "time": time_text(drop.time),
        "monotonic_ns": drop.event.monotonic_ns,
        "match": finding.match.how,
        "match_why": finding.match.why,
        "packet": packet_object(drop.packet),
        "iface": iface_object(drop.iface),
        "netns": netns_object(drop.netns),
        "where": _where(drop),
        "source": drop.event.source,
        "reason": drop.reason,
        "cause": {"id": finding.cause_id, "title": finding.title, "confidence": finding.confidence},
        "object": culprit_object(finding.culprit),
        "evidence": [{"source": evidence.source, "text": evidence.text} for evidence in finding.evidence],
        "fix": [{"text": fix.text, "command": fix.command} for fix in finding.fix],
        "stack": [frame_object(frame) for frame in drop.stack],
        "process": process_object(drop.process),
    }


def end_object(totals: Totals) -> dict[str, Any]:
    """The closing statement as the schema has it; of a trace with the journeys."""
    journeys = {} if totals.journeys is None else {"journeys": totals.journeys}
    return {
        "type": "end",
        "schema": SCHEMA,
        "drops_seen": None if totals.seen_by is None else sum(totals.seen_by.values()),
        "seen_by": totals.seen_by,
        "drops_matched": totals.matched,
        "drops_reported": totals.reported,
        "events_lost": None if totals.lost is None else sum(totals.lost.values()),
        "lost_by": totals.lost,
        "suppressed": totals.suppressed,
        "blind_spots": list(totals.blind_spots),
    } | journeys


def packet_object(packet: Packet) -> dict[str, Any]:
    """What the bytes say. Every key is there."""
    return {
        "family": packet.family,
        "proto": packet.proto,
        "saddr": _text(packet.saddr),
        "daddr": _text(packet.daddr),
        "sport": packet.sport,
        "dport": packet.dport,
        "length": packet.length or None,
        "mark": packet.mark,
        "spi": _spi(packet.spi),
        "seq": packet.seq,
        "ttl": packet.ttl,
        "tcp_flags": packet.tcp_flags,
        "icmp_type": packet.icmp_type,
        "icmp_code": packet.icmp_code,
        "fragment_id": packet.fragment_id,
        "fragment_offset": packet.fragment_offset,
        "more_fragments": packet.more_fragments,
        "header_error": packet.header_error,
    }


def _where(drop: Drop) -> dict[str, Any]:
    return {**frame_object(drop.where.frame), "layer": drop.where.layer, "direction": drop.where.direction}


def time_text(seconds: float) -> str:
    """Seconds since 1970 as the JSON has them: UTC, to the microsecond."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def process_object(process: Process | None) -> dict[str, Any] | None:
    return {"pid": process.pid, "comm": process.comm} if process else None


def iface_object(iface: Interface | None) -> dict[str, Any] | None:
    return {"index": iface.index, "name": iface.name} if iface else None


def netns_object(netns: Netns | None) -> dict[str, Any] | None:
    return {"inode": netns.inode, "name": netns.name} if netns else None


def frame_object(frame: Frame) -> dict[str, Any]:
    """A place without a name keeps its address, the only thing that is known of it."""
    if frame.function is None:
        return {"function": None, "offset": None, "module": frame.module, "address": f"0x{frame.address:x}"}
    return {"function": frame.function, "offset": frame.offset, "module": frame.module}


def culprit_object(culprit: Culprit | None) -> dict[str, Any] | None:
    """`object` in the JSON."""
    found: dict[str, Any] | None = as_json(culprit)
    return found


def _spi(spi: int | None) -> str | None:
    return None if spi is None else f"0x{spi:08x}"


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def line(value: dict[str, Any]) -> str:
    """One line of output."""
    return json.dumps(value, default=str, separators=(", ", ": ")) + "\n"
