"""What `whydrop stack --json` adds to a finding: the bytes, the headers, and what else was observed."""

from dropwatch.model import header as model
from dropwatch.model.drop import Finding
from dropwatch.render.finding.notes import notes_object
from dropwatch.render.lines.drop import Header, InFull, Observed
from dropwatch.render.lines.parts import Process


def stack_object(finding: Finding, headers: tuple[model.Header, ...]) -> InFull:
    """The bytes from the network header on, an object for each header and for the data, what else was there."""
    event = finding.drop.event
    observed = Observed(
        cpu=event.cpu,
        task=Process(pid=event.pid, comm=event.comm, unit=None, container=None, pod=None),
        ethertype=f"0x{event.protocol:04x}" if event.protocol else None,
        length=event.length,
        came_in_through=event.skb_iif or None,
        carrier=event.carrier,
        **notes_object(event),
    )
    return InFull(hex=event.packet.hex(), layers=tuple(map(_layer, headers)), observed=observed)


def _layer(header: model.Header) -> Header:
    return Header(
        name=header.name,
        offset=header.offset,
        length=header.length,
        depth=header.depth,
        quoted=header.quoted,
        fields=dict(header.fields),
        error=header.error,
    )
