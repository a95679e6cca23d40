"""Signs of a check of integrity that failed, or that cannot succeed."""

from dataclasses import replace

from dropwatch.causes.ipsec import comparison, fixes, objects, sizes, words
from dropwatch.causes.ipsec.case import Case
from dropwatch.causes.ipsec.xfrm_input import about_its_state, counted, noted
from dropwatch.model import culprits
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.model.ipsec import XfrmState


def auth_failed(case: Case) -> Verdict | None:
    """The kernel called xfrm_audit_state_icvfail for this packet: its ICV is not what this end's key gives.

    All evidence is of the moment of the drop; the SAs of the host are not asked for. The counters of the SA are
    read where the packet is freed, after the kernel counted this failure (net/xfrm/xfrm_input.c).
    """
    drop = case.drop
    note = noted(drop)
    if note is None or note.state is None or "icvfail" not in note.audit:
        return None
    state = note.state
    evidence = [
        _failed(drop, state),
        Evidence("SA at the drop", words.identity(state)),
        Evidence("SA at the drop", words.integrity_algorithm(state)),
        Evidence("SA at the drop", words.history(state, drop.time)),
        *_other_sender(drop, state),
        *words.old_number(drop, state),
        words.story(words.why_the_check_failed(drop, state)),
    ]
    culprit = replace(
        objects.state_object(state),
        algorithms=tuple(culprits.Algorithm(*one) for one in state.algorithms),
        packets=state.lifetime.packets,
        integrity_failed=state.stat_integrity_failed,
    )
    fix = (*fixes.compare_ends(state), *fixes.ask_ike(case.host))
    return Verdict("certain", culprit, tuple(evidence), fix)


def old_extended(case: Case) -> Verdict | None:
    """A number below the window of an SA with ESN: its check fails, although nothing is wrong with the key.

    Only likely: a forged or damaged packet may have such a number, too, and so has a sender that has begun anew with
    another key. An SA that never took a packet has other troubles.
    """
    note = noted(case.drop)
    if note is None or note.state is None or "icvfail" not in note.audit or not note.state.lifetime.packets:
        return None
    old = words.old_number(case.drop, note.state)
    if not old:
        return None
    story = words.story(words.why_the_check_failed(case.drop, note.state))
    return about_its_state(case, note, "likely", *old, _failed(case.drop, note.state), story)


def _failed(drop: Drop, state: XfrmState) -> Evidence:
    said = f"its integrity check failed: {words.packet(drop, state.spi)}"
    return Evidence("probe xfrm_audit_state_icvfail", said)


def _other_sender(drop: Drop, state: XfrmState) -> tuple[Evidence, ...]:
    """The source is no part of the kernel's search: a NAT can have changed it unnoticed."""
    saddr = drop.packet.saddr
    if saddr is None or saddr == state.saddr:
        return ()
    return comparison.evidence("packet / SA", [comparison.Row("src", str(saddr), str(state.saddr), True)])


def icv_length(case: Case) -> Verdict | None:
    """AH says how long its ICV is; another length than the SA's means another algorithm (ah_input)."""
    drop = case.drop
    note = counted(drop, "XfrmInStateProtoError")
    if note is None or note.audit or note.state is None:
        return None
    lengths = sizes.ah_lengths(drop, note.state)
    if lengths is None or lengths[0] in lengths[1] or sizes.shortage(drop, note.state) is not None:
        return None
    accepted = " or ".join(str(length) for length in sorted(lengths[1]))
    rows = [comparison.Row("length", f"AH of {lengths[0]} bytes", f"{accepted} bytes", True)]
    return about_its_state(
        case,
        note,
        "certain",
        Evidence("SA at the drop", words.integrity_algorithm(note.state)),
        *comparison.evidence("packet / SA", rows),
        words.story(
            "the two ends use different integrity algorithms, or truncate the ICV to different lengths"
        ),
        differs=("length",),
    )
