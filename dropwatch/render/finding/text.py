"""The live text: each finding in a few lines, the same drop again as a count."""

from collections.abc import Hashable, Iterable
from datetime import datetime

from dropwatch.model.drop import Finding, Fix, Totals
from dropwatch.render.finding import phrases
from dropwatch.render.finding.repeats import Repeats, Told
from dropwatch.render.layout import Layout

_CONFIDENCE_COLOURS = {"certain": "red", "likely": "yellow", "unknown": "cyan"}


class TextRenderer:
    """Findings for people. Times are local; `now` is any clock in seconds that only goes forward."""

    def __init__(self, layout: Layout, *, stack: bool = False, own_netns: int | None = None) -> None:
        self._layout = layout
        self._stack = stack
        self._own_netns = own_netns
        self._repeats = Repeats()

    def finding(self, finding: Finding, now: float) -> str:
        """The finding in full, or nothing when the same was told within the last second: tick() counts it."""
        key = self._key(finding)
        if self._repeats.again(key, finding.count):
            return ""
        what = f"{phrases.flow(finding.drop.packet)}  [{finding.cause_id}]"
        forgotten = list(self._repeats.remember(key, what, now))
        self._repeats.again(key, finding.count - 1)
        lines = [line for told in forgotten for line in self._count(told, now - told.since)]
        return _joined([*lines, *self._page(finding)])

    def tick(self, now: float) -> str:
        """The counts of what came again in a second that is over. To be called a few times a second."""
        return _joined(
            line for told, elapsed in self._repeats.due(now) for line in self._count(told, elapsed)
        )

    def end(self, totals: Totals, now: float) -> str:
        """The counts that are still open. The closing statement is closing.py's, on standard error."""
        due = self._repeats.due(now, everything=True)
        return _joined(line for told, elapsed in due for line in self._count(told, elapsed))

    def _key(self, finding: Finding) -> Hashable:
        drop, packet, culprit = finding.drop, finding.drop.packet, finding.culprit
        return (
            finding.cause_id,
            drop.event.location,
            (packet.family, packet.proto, packet.saddr, packet.sport, packet.daddr, packet.dport, packet.spi),
            (culprit.kind, culprit.text) if culprit is not None else None,
            drop.event.netns,
            drop.event.stack if self._stack else None,
        )

    def _count(self, told: Told, elapsed: float) -> list[str]:
        times = "once" if told.again == 1 else f"{told.again} times"
        return self._layout.paragraph(f"... again {times} in {elapsed:.1f} s: {told.what}", "  ", "      ")

    def _page(self, finding: Finding) -> list[str]:
        return [
            *self.headline(finding),
            *self.verdict(finding),
            "",
        ]

    def headline(self, finding: Finding) -> list[str]:
        """When, which packet, on which interface."""
        drop = finding.drop
        time = f"{datetime.fromtimestamp(drop.time):%H:%M:%S.%f}"
        parts = (
            phrases.flow(drop.packet),
            phrases.particulars(drop.packet),
            phrases.interface(drop, self._own_netns),
        )
        lines = self._layout.parts(parts, f"{time}  ", "    ")
        lines[0] = self._layout.paint(time, "dim") + self._layout.paint(lines[0].removeprefix(time), "bold")
        return lines

    def verdict(self, finding: Finding) -> list[str]:
        """Cause and confidence, place, object, evidence, what to do; the stack where it was asked for."""
        return [
            *self._why(finding),
            *self._where(finding),
            *self._rest(finding),
            *(line for fix in finding.fix for line in self._fix(fix)),
            *(self._frames(finding) if self._stack else ()),
        ]

    def _why(self, finding: Finding) -> list[str]:
        verdict = f"[{finding.cause_id}, {finding.confidence}]"
        if finding.cause_id == finding.confidence:
            verdict = f"[{finding.cause_id}]"
        colour = _CONFIDENCE_COLOURS[finding.confidence]
        return self._layout.labelled("WHY", finding.title, colour, tail=verdict)

    def _where(self, finding: Finding) -> list[str]:
        drop = finding.drop
        text = phrases.place(drop.where.frame)
        if drop.where.layer:
            text += f", layer {drop.where.layer}"
        return self._layout.labelled("WHERE", text)

    def _rest(self, finding: Finding) -> Iterable[str]:
        layout = self._layout
        if finding.culprit is not None:
            words = f"{phrases.object_words(finding.culprit.kind)} {finding.culprit.text}"
            yield from layout.labelled("BY", words)
        process = finding.owner or finding.drop.process
        if process is not None:
            yield from layout.labelled("TASK", f"{process.comm} (pid {process.pid})")
        if finding.match.how != "direct":
            why = f": {finding.match.why}" if finding.match.why else ""
            yield from layout.labelled("MATCH", f"{finding.match.how}{why}")
        label = "SEEN"
        for evidence in finding.evidence:
            yield from layout.labelled(label, f"{evidence.source}: {evidence.text}")
            label = ""

    def _fix(self, fix: Fix) -> Iterable[str]:
        yield from self._layout.labelled("DO", fix.text)
        if fix.command is not None:
            yield from self._layout.command(fix.command)

    def _frames(self, finding: Finding) -> Iterable[str]:
        label = "STACK"
        for frame in finding.drop.stack:
            yield from self._layout.labelled(label, phrases.place(frame))
            label = ""


def _joined(lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"{text}\n" if text else ""
