"""Signs of the IPsec output path: SAs that have run out, or whose numbers have."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.ipsec import fixes, flow, objects, words
from dropwatch.causes.ipsec.case import Case
from dropwatch.causes.ipsec.limits import limits_reached
from dropwatch.causes.ipsec.size_signs import too_big
from dropwatch.host.ipsec.text import state_line
from dropwatch.model import culprits
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.model.ipsec import XfrmNote, XfrmState

_LAST_NUMBER = 0xFFFFFFFF


def out_expired(case: Case) -> Verdict | None:
    """xfrm_state_check_expire marks an SA `expired` when it meets a hard limit; xfrm_output_one then refuses.

    A timer deletes the SA at once, often before the packet has died: it is then `dead`, with its limit reached.
    """
    drop = case.drop
    state = _leaving_through(drop)
    if state is None or not _ran_out(state, drop.time) or too_big(drop) is not None:
        return None
    evidence = (
        Evidence("SA at the drop", f"the SA for this packet has reached a hard limit, and is {state.state}"),
        *limits_reached(state, drop.time),
        Evidence("SA at the drop", state_line(state)),
        words.story("no new SA was set up: the IKE daemon is not running, or cannot reach the peer"),
    )
    return _about(case, state, evidence)


def out_overflow(case: Case) -> Verdict | None:
    """The kernel called xfrm_audit_state_replay_overflow; segments that were to follow die with their numbers gone."""
    drop = case.drop
    note, state = drop.event.xfrm, _leaving_through(drop)
    if note is None or state is None:
        return None
    numbers = f"the last sequence number sent is {state.oseq}"
    if "overflow" in note.audit:
        evidence = (
            Evidence("probe xfrm_audit_state_replay_overflow", f"no sequence number is left; {numbers}"),
            Evidence("SA at the drop", state_line(state)),
        )
        return _about(case, state, evidence)
    if state.esn or state.oseq != _LAST_NUMBER or state.state != "valid" or too_big(drop) is not None:
        return None
    verdict = _about(case, state, (Evidence("SA at the drop", f"{numbers}: there is no next one"),))
    return Verdict("likely", verdict.culprit, verdict.evidence, verdict.fix)


def out_invalid(case: Case) -> Verdict | None:
    """xfrm_output_one takes only an SA in state valid; one that expired has its own cause."""
    drop = case.drop
    state = _leaving_through(drop)
    if state is None or state.state in (None, "valid") or _ran_out(state, drop.time):
        return None
    if too_big(drop) is not None:
        return None
    evidence = (
        Evidence("SA at the drop", f"the SA for this packet is in state {state.state}, not valid"),
        Evidence("SA at the drop", state_line(state)),
    )
    return _about(case, state, evidence)


def _leaving_through(drop: Drop) -> XfrmState | None:
    """The SA that was to protect this packet, when it died in the functions that do it."""
    note = drop.event.xfrm
    return _outbound(note) if note is not None and kernel_word.place(drop) in flow.ENCRYPTING else None


def _outbound(note: XfrmNote) -> XfrmState | None:
    return note.state if note.outbound else None


def _ran_out(state: XfrmState, now: float) -> bool:
    return state.state == "expired" or (state.state == "dead" and bool(limits_reached(state, now)))


def _about(case: Case, state: XfrmState, evidence: tuple[Evidence, ...]) -> Verdict:
    culprit = replace(objects.state_object(state), oseq=state.oseq, limits=_limits(state))
    fix = (*fixes.renew(state), *fixes.ask_ike(case.host))
    return Verdict("certain", culprit, evidence, fix)


def _limits(state: XfrmState) -> culprits.Limits:
    life = state.lifetime
    return culprits.Limits(life.hard_bytes, life.hard_packets, life.hard_add_seconds, life.hard_use_seconds)
