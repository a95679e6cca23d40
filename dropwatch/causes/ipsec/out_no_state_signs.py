"""Signs of a packet that is to leave and whose SA does not exist."""

import errno
from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.ipsec import fixes, objects
from dropwatch.causes.ipsec.case import Case, if_unchanged
from dropwatch.causes.ipsec.missing_state import Missing, missing_state
from dropwatch.causes.ipsec.policies_for import policies_to_send, taken_evidence
from dropwatch.causes.ipsec.states_then import pinned_by
from dropwatch.causes.routing.signs import SENDING
from dropwatch.host.ipsec.text import spi_text
from dropwatch.model import culprits
from dropwatch.model.change import Change
from dropwatch.model.culprits import Culprit
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict

_DISCARDING = frozenset({"dst_discard", "dst_discard_out"})
_HELD = frozenset({"xdst_queue_output", "xfrm_policy_kill", "xfrm_policy_queue_process"})
_FREEING_HELD = _HELD | {"skb_queue_purge", "skb_queue_purge_reason"}


def out_no_state(case: Case) -> Verdict | None:
    """A policy wants an SA and the kernel has none: it said so, or gave the packet the route to nowhere."""
    drop = case.drop
    said = _no_state_said(drop)
    return _no_state(case, said) if said is not None else _held(case)


def _no_state(case: Case, said: Evidence) -> Verdict:
    drop, missing = case.drop, missing_state(case)
    culprit: Culprit | None = None
    evidence = [said, *taken_evidence(drop, policies_to_send(case))]
    title = None
    if missing is not None:
        evidence += missing.evidence
        title = missing.title
        culprit = _policy_without_state(missing)
    fix = (*fixes.make_state(), *_fit_the_policy(missing), *fixes.ask_ike(case.host))
    verdict = Verdict("certain", culprit, tuple(evidence), fix, title)
    return if_unchanged(case, verdict, *policies_to_send(case).may_change, *_states_named(case, missing))


def _states_named(case: Case, missing: Missing | None) -> tuple[Change, ...]:
    """What must not have changed for the SA that is compared with the policy to be one of the drop."""
    if missing is None or missing.nearest is None:
        return ()
    return (pinned_by(case, missing.nearest),)


def _fit_the_policy(missing: Missing | None) -> tuple[Fix, ...]:
    if missing is None or missing.nearest is None or missing.differs != ("reqid",):
        return ()
    return fixes.ask_for_the_reqid(missing.policy, missing.nearest)


def _policy_without_state(missing: Missing) -> culprits.XfrmPolicy:
    policy = objects.policy_object(missing.policy)
    if missing.nearest is not None:
        policy = replace(policy, differs=missing.differs)
    if missing.gone is None:
        return policy
    return replace(missing.gone.told_of(policy), spi=spi_text(missing.gone.state.spi))


def discarded_while_sending(case: Case) -> Verdict | None:
    """A packet of our own that ends in dst_discard_out: what IPsec gives packets whose SA does not exist yet."""
    drop = case.drop
    if kernel_word.place(drop) != "dst_discard_out" or not kernel_word.gave_no_reason(drop):
        return None
    if drop.event.skb_iif or kernel_word.way(drop).isdisjoint(SENDING):
        return None
    fact = "the blackhole that IPsec sets while there is no SA; an interface that is gone leads to it as well"
    return kernel_word.likely(drop, Evidence("place", fact))


def state_of_other_interface(case: Case) -> Verdict | None:
    """As out_no_state, where an SA would do but for its if_id. Only an update of the SA changes that."""
    return _but_for(case, "if_id")


def state_of_other_mark(case: Case) -> Verdict | None:
    """As out_no_state, where an SA would do but for its mark."""
    return _but_for(case, "mark")


def _but_for(case: Case, field: str) -> Verdict | None:
    drop = case.drop
    said = _no_state_said(drop)
    if said is None:
        return None
    missing = missing_state(case)
    if missing is None or missing.nearest is None or missing.differs != (field,):
        return None
    existed = objects.existed(missing.nearest.lifetime.add_time, drop)
    if existed is False or missing.gone is not None:
        return None
    evidence = (said, *taken_evidence(drop, policies_to_send(case)), *missing.evidence)
    culprit = replace(objects.state_object(missing.nearest), differs=(field,))
    if field == "if_id":
        culprit = replace(culprit, policy_if_id=missing.policy.if_id)
    else:
        culprit = replace(culprit, policy_mark=missing.policy.mark)
    fix = fixes.match_if_id() if field == "if_id" else fixes.make_state()
    verdict = Verdict("certain" if existed else "likely", culprit, evidence, fix)
    states = _states_named(case, missing) if existed else ()
    return if_unchanged(case, verdict, *policies_to_send(case).may_change, *states)


def _no_state_said(drop: Drop) -> Evidence | None:
    note = drop.event.xfrm
    if note is None:
        return None
    if note.lookup is not None and note.lookup.errno in (errno.EREMOTE, errno.EAGAIN):
        name = errno.errorcode[note.lookup.errno]
        return Evidence(
            "probe xfrm_lookup_with_ifid", f"returned {name}: a policy requires an SA, and there is none"
        )
    if note.blackholed and kernel_word.place(drop) in _DISCARDING:
        return Evidence("route of the packet", "the blackhole that IPsec sets while there is no SA")
    return None


def _held(case: Case) -> Verdict | None:
    """The queue in which an IPsec policy keeps packets until there is an SA: full, timed out or deleted."""
    drop = case.drop
    if kernel_word.way(drop).isdisjoint(_HELD) or kernel_word.place(drop) not in _FREEING_HELD:
        return None
    if not (kernel_word.gave_no_reason(drop) or drop.reason == "QUEUE_PURGE"):
        return None
    return _no_state(case, Evidence("place", "it waited for an SA, and none came"))
