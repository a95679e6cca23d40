"""All that is known of a finding: what the short page says, and every evidence, every fix, the place, who and why."""

from collections.abc import Iterable

from dropwatch.model.drop import Finding
from dropwatch.names.cause_address import cause_url
from dropwatch.render.finding import choice, phrases
from dropwatch.render.finding.short_page import (
    decision_words,
    fix_command,
    heading,
    object_parts,
)
from dropwatch.render.layout import Layout


def verdict(finding: Finding, layout: Layout) -> Iterable[str]:
    """What stands under the headline."""
    for part in (heading(finding, sure=True), *object_parts(finding)):
        yield from part.lines(layout)
    for decision in finding.led_by:
        yield from layout.labelled("led by", decision_words(decision))
        for fact in decision.evidence:
            yield from layout.labelled("", fact)
    yield from _place(finding, layout)
    yield from _evidence(finding, layout)
    for fix in finding.fix:
        yield from layout.labelled("try", choice.fix_parts(fix)[0])
        yield from fix_command(fix, layout)
    if (url := cause_url(finding.cause_id)) is not None:
        yield from layout.labelled("page", url)


def stack(finding: Finding, layout: Layout) -> Iterable[str]:
    """The kernel's, innermost first."""
    label = "stack"
    for frame in finding.drop.stack:
        yield from layout.labelled(label, phrases.place(frame))
        label = ""


def _place(finding: Finding, layout: Layout) -> Iterable[str]:
    where = finding.drop.where
    layer = f", layer {where.layer}" if where.layer else ""
    yield from layout.labelled("where", f"{phrases.place(where.frame)}{layer}")
    process = finding.owner or finding.drop.process
    if process is not None:
        yield from layout.labelled("task", phrases.process(process))
    if finding.match.how != "direct":
        why = f": {finding.match.why}" if finding.match.why else ""
        yield from layout.labelled("match", f"{finding.match.how}{why}")


def _evidence(finding: Finding, layout: Layout) -> Iterable[str]:
    """What settles it first."""
    first = choice.proof(finding)
    others = [one for one in finding.evidence if one is not first]
    label = "proof" if finding.confidence == "certain" else "seen"
    for one in [first, *others] if first is not None else others:
        yield from layout.labelled(label, f"{one.source}: {one.text}")
        label = ""
