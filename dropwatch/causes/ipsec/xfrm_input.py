"""A packet that died in xfrm_input: what the probes noted of it, and a verdict about the SA that it was for."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.ipsec import fixes, objects
from dropwatch.causes.ipsec.case import Case
from dropwatch.host.ipsec.text import state_line
from dropwatch.model.drop import Confidence, Drop, Evidence, Verdict
from dropwatch.model.ipsec import XfrmNote


def noted(drop: Drop) -> XfrmNote | None:
    """What the probes know, when it was xfrm_input that let the packet die."""
    return drop.event.xfrm if kernel_word.place(drop) == "xfrm_input" else None


def counted(drop: Drop, counter: str) -> XfrmNote | None:
    """The note, if this counter rose for the packet and no other did."""
    note = noted(drop)
    return note if note is not None and note.counters == (counter,) else None


def about_its_state(
    case: Case,
    note: XfrmNote,
    confidence: Confidence,
    *facts: Evidence,
    differs: tuple[str, ...] | None = None,
) -> Verdict:
    said, state = kernel_word.evidence(case.drop), note.state
    if state is None:
        return Verdict(confidence, None, (*facts, said))
    observed = Evidence("SA at the drop", state_line(state))
    fix = (*fixes.show_states(state), *fixes.ask_ike(case.host))
    culprit = replace(objects.state_object(state), differs=differs)
    return Verdict(confidence, culprit, (*facts, observed, said), fix)
