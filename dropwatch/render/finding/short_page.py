"""A finding in at most eight lines: what happened, the object, the one proof, the one fix; the rest is one -v away."""

from collections.abc import Iterable

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Decision, Finding, Fix
from dropwatch.render.finding import choice, objects, packet_words
from dropwatch.render.layout import CUT, Layout

_MOST = 8
_AT_COLUMNS = 80
_COLOURS = {"certain": ("bold", "red"), "likely": ("bold", "magenta"), "unknown": ("bold",)}


@dataclass(frozen=True, slots=True)
class Part:
    """Words behind a label, and a `tail` that stays whole. `most` are the lines that they may have, None: all.

    `rank`: what gives up lines first where there are too many, the highest first.
    """

    label: str | None
    text: str
    colours: tuple[str, ...] = ()
    most: int | None = None
    rank: int = 0
    tail: str = ""

    def lines(self, layout: Layout, most: int | None = None) -> list[str]:
        least = min((limit for limit in (most, self.most) if limit is not None), default=None)
        if self.label is None:
            return layout.block("  ", self.text, *self.colours, tail=self.tail, most=least)
        return layout.labelled(self.label, self.text, *self.colours, tail=self.tail, most=least)


def verdict(finding: Finding, layout: Layout, head: int) -> list[str]:
    """What stands under the headline, which has `head` lines: together no more than eight on 80 columns."""
    most = _MOST if layout.columns >= _AT_COLUMNS else _MOST * _AT_COLUMNS // layout.columns
    fix = choice.first_fix(finding)
    command = fix_command(fix, layout) if fix is not None else []
    return [*_fitting(list(_parts(finding, fix, layout)), most - head - len(command), layout), *command]


def heading(finding: Finding, *, sure: bool = False) -> Part:
    """What happened, and the id that `whydrop explain` takes; how it belongs to the flow that was asked for.

    `sure`: with the confidence as a word instead, where the rest stands below.
    """
    words = f", {finding.confidence}" if sure and finding.confidence != finding.cause_id else ""
    carries = "" if sure else packet_words.carries(finding.match.how)
    text = choice.headline(finding) + (f" ({carries})" if carries else "")
    tail = f"[{finding.cause_id}{words}]"
    return Part(None, text, _COLOURS[finding.confidence], most=3, tail=tail)


def object_parts(finding: Finding) -> Iterable[Part]:
    """The differences, then the object."""
    differs = choice.differences(finding)
    if differs:
        yield Part("diff", differs, ("bold",), rank=2)
    if finding.culprit is not None:
        yield Part(objects.label(finding.culprit), objects.with_owner(finding), ("cyan",), rank=1)


def decision_words(decision: Decision) -> str:
    sure = "" if decision.confidence == "certain" else "probably "
    by = f": {objects.words(decision.culprit)}" if decision.culprit is not None else ""
    return f"{sure}{decision.text}{by}"


def fix_command(fix: Fix, layout: Layout) -> list[str]:
    _, command = choice.fix_parts(fix)
    return layout.command(command) if command is not None else []


def _parts(finding: Finding, fix: Fix | None, layout: Layout) -> Iterable[Part]:
    yield heading(finding)
    yield from object_parts(finding)
    if finding.led_by:
        others = f" (and {len(finding.led_by) - 1} more)" if len(finding.led_by) > 1 else ""
        yield Part("led by", f"{decision_words(finding.led_by[0])}{others}", rank=3)
    settles = choice.proof(finding)
    if settles is not None:
        text = choice.proof_text(settles, finding)
        label = "proof" if finding.confidence == "certain" else "seen"
        bare = Part(label, text, most=2, rank=4)
        sourced = Part(label, f"{text} ({settles.source})", most=2, rank=4)
        lines = sourced.lines(layout)
        fits = len(lines) == len(bare.lines(layout)) and not lines[-1].endswith(CUT)
        yield sourced if fits and settles.role != "kernel" else bare
    if fix is not None:
        yield Part("try", choice.fix_parts(fix)[0], most=2, rank=5)


def _fitting(parts: list[Part], room: int, layout: Layout) -> list[str]:
    """All of them, each with a line at least; while they are too long, the least needed gives up a line."""
    told = [part.lines(layout) for part in parts]
    order = sorted(range(len(parts)), key=lambda at: -parts[at].rank)
    while sum(map(len, told)) > room:
        longer = next((at for at in order if len(told[at]) > 1), None)
        if longer is None:
            break
        told[longer] = parts[longer].lines(layout, len(told[longer]) - 1)
    return [line for lines in told for line in lines]
