"""A summary as one JSON object on a line."""

from dropwatch.model import summary as model
from dropwatch.render.lines.made import address_text, cause, frame, iface, netns, time_text
from dropwatch.render.lines.summary import Flow, Outside, Row, Summary
from dropwatch.render.lines.write import line

_DIGITS = 3  # of seconds and rates


class SummaryJson:
    """Summaries for programs; with `stack` each row has the kernel's stack of its last sample."""

    def __init__(self, *, stack: bool = False) -> None:
        self._stack = stack

    def summary(self, summary: model.Summary) -> str:
        return line(
            Summary(
                time=time_text(summary.time),
                seconds=round(summary.seconds, _DIGITS),
                since=time_text(summary.since),
                complete=summary.complete,
                counted=summary.counted,
                rows=tuple(map(self._row, summary.rows)),
                suppressed=summary.suppressed,
                not_matched=summary.not_matched,
                top_flows=tuple(map(_flow, summary.flows)),
                outside=tuple(map(_outside, summary.outside)),
            )
        )

    def _row(self, row: model.SummaryRow) -> Row:
        frames = row.finding.drop.stack if row.finding is not None else ()
        return Row(
            cause=cause(row.cause_id, row.title, row.confidence),
            also=row.also,
            where=frame(row.where),
            reason=row.reason,
            object=row.culprit,
            iface=iface(row.iface),
            netns=netns(row.netns),
            packets=row.packets,
            new=row.new,
            rate=round(row.rate, _DIGITS),
            first=time_text(row.first),
            last=time_text(row.last),
            samples=row.samples,
            note=row.note,
            stack=tuple(map(frame, frames)) if self._stack else None,
        )


def _flow(flow: model.FlowCount) -> Flow:
    return Flow(
        family=flow.family,
        proto=flow.proto,
        saddr=address_text(flow.saddr),
        daddr=address_text(flow.daddr),
        dport=flow.dport,
        packets=flow.packets,
    )


def _outside(found: model.Outside) -> Outside:
    counter = found.counter
    return Outside(
        kind=counter.kind,
        counter=counter.name,
        iface=counter.device,
        netns=netns(found.netns),
        count=found.count,
        new=found.new,
        text=counter.text or None,
        loss=counter.loss,
        also_in_rows=counter.overlap,
    )
