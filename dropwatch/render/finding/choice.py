"""Of all that a finding has, what is shown first: the evidence that settles it, and the fix that most likely helps."""

from dropwatch.model.culprits import XfrmPolicy
from dropwatch.model.drop import Difference, Evidence, Finding, Fix
from dropwatch.model.pattern import pattern

_PROBABLY = "probably"
_PACKET_AGAIN = pattern(r": src \S+ dst \S+ proto .*")  # as causes/ipsec/words.py has it
_WEAK = Fix("the known fixes weaken security (-v lists them): read what to weigh")


def headline(finding: Finding) -> str:
    """What happened, in a sentence that claims no more than the confidence: `Probably ...`, `Cause unknown: ...`."""
    title = finding.title
    if finding.confidence == "unknown":
        return f"Cause unknown: {title}"
    if finding.confidence == "likely" and _PROBABLY not in title.lower():
        return f"Probably {title}"
    return sentence(title)


def sentence(title: str) -> str:
    """With a capital, unless it begins with the name of a tool."""
    first = title.split(" ", 1)[0]
    return title if "_" in first or first.endswith("tables") else title[:1].upper() + title[1:]


def differences(finding: Finding) -> str:
    """`spi: packet 0x00001001, SA 0x00001002`: nothing where other evidence settles it, or nothing differs."""
    if any(one.role == "proof" and not isinstance(one, Difference) for one in finding.evidence):
        return ""
    found = [one for one in finding.evidence if isinstance(one, Difference)]
    if not found:
        return ""
    return "; ".join(_difference(one, finding) for one in found if one.sides == found[0].sides)


def _difference(one: Difference, finding: Finding) -> str:
    came, wanted = one.sides
    blamed = finding.culprit if isinstance(finding.culprit, XfrmPolicy) else None
    if wanted == "policy" and (blamed is None or blamed.default):
        wanted = "nearest policy"
    name = "SA" if one.name == "sa" else one.name
    return f"{name}: {came} {one.came}, {wanted} {one.wanted}"


def proof(finding: Finding) -> Evidence | None:
    """What settles it: what its judge marked so, else what it names first. None where only differences do."""
    marked = (one for one in finding.evidence if one.role == "proof" and not isinstance(one, Difference))
    chosen = next(marked, None)
    if chosen is None and not differences(finding):
        chosen = next(iter(finding.evidence), None)
    return chosen


def first_fix(finding: Finding) -> Fix | None:
    """The likeliest, which never is one that weakens a protection; its command can be run as it stands."""
    safe = [fix for fix in finding.fix if fix.weakens is None]
    if not safe:
        return Fix(_WEAK.text, f"whydrop explain {finding.cause_id}") if finding.fix else None
    first = safe[0]
    if first.sketch is None:
        return first
    return next((fix for fix in safe if fix.command is not None), first)


def fix_parts(fix: Fix) -> tuple[str, str | None]:
    """What it is for, and its command; one that stands in the sentence is taken out of it."""
    return (fix.text, fix.command) if fix.sketch is None else (fix.sketch.text, fix.sketch.command)


def proof_text(evidence: Evidence, finding: Finding) -> str:
    """What was seen, without packet and object, which stand above; of the kernel's word its name for the reason."""
    culprit, reason = finding.culprit, finding.drop.reason
    if evidence.role == "kernel" and reason not in (None, "NOT_SPECIFIED"):
        return f"the kernel's drop reason {reason}, {evidence.text.rpartition(', ')[2]}"
    text = _PACKET_AGAIN.sub("", evidence.text)
    return text if culprit is None else text.removesuffix(f": {culprit.text}")
