"""What `whydrop stack --json` adds to a finding: the bytes, the headers, and what else was observed."""

from typing import Any

from dropwatch.model.drop import Finding
from dropwatch.model.header import Header
from dropwatch.render.finding.notes import notes_object


def stack_object(finding: Finding, headers: tuple[Header, ...]) -> dict[str, Any]:
    """`hex` from the network header on, `layers` with one object for each header and for the data, `observed`."""
    event = finding.drop.event
    return {
        "hex": event.packet.hex(),
        "layers": [_layer(header) for header in headers],
        "observed": {
            "cpu": event.cpu,
            "task": {"pid": event.pid, "comm": event.comm},
            "ethertype": f"0x{event.protocol:04x}" if event.protocol else None,
            "length": event.length,
            "came_in_through": event.skb_iif or None,
            "carrier": event.carrier,
        }
        | notes_object(event),
    }


def _layer(header: Header) -> dict[str, Any]:
    return {
        "name": header.name,
        "offset": header.offset,
        "length": header.length,
        "depth": header.depth,
        "quoted": header.quoted,
        "fields": dict(header.fields),
        "error": header.error,
    }
