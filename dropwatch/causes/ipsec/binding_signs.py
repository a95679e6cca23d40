"""Signs of what SAs and policies are bound to: the mark of a packet, or the if_id of an xfrm interface."""

from dataclasses import replace

from dropwatch.causes.ipsec import comparison, fixes, flow, objects
from dropwatch.causes.ipsec.case import Case, interfaces
from dropwatch.causes.ipsec.policies_for import Policies, near_evidence, policies_checked, policies_to_send
from dropwatch.host.ipsec.policy_search import policy_fit
from dropwatch.host.ipsec.text import state_line
from dropwatch.model.drop import Evidence, Fix, Verdict
from dropwatch.model.ipsec import XfrmPolicy


def policy_of_other_interface(case: Case) -> Verdict | None:
    """No policy was found, and one would do but for its if_id."""
    searched = _no_policy(case)
    if searched is None:
        return None
    said, found = searched
    policy = found.only_differing_in("if_id")
    fix = (*fixes.match_if_id(), *_add_policy(case, found))
    return None if policy is None else _verdict(case, said, found, policy, "if_id", fix)


def _add_policy(case: Case, found: Policies) -> tuple[Fix, ...]:
    """For the SA that it came through, where that has the if_id of the interface it came in through."""
    note, flow = case.drop.event.xfrm, found.flow
    if note is None or note.check is None or note.state is None or flow is None:
        return ()
    return fixes.add_policy(case.drop, note.check.dir, note.state) if note.state.if_id == flow.if_id else ()


def policy_of_other_mark(case: Case) -> Verdict | None:
    """No policy was found, and one would do but for its mark."""
    searched = _no_policy(case)
    if searched is None:
        return None
    said, found = searched
    policy = found.only_differing_in("mark")
    fix = fixes.fit_the_policy_mark(case.drop, policy) if policy is not None else ()
    return None if policy is None else _verdict(case, said, found, policy, "mark", fix)


def _no_policy(case: Case) -> tuple[Evidence, Policies] | None:
    """Where the kernel found no policy: for what came out of an SA, or for what an xfrm interface is to send."""
    note = case.drop.event.xfrm
    if note is not None and note.check is not None:
        if note.check.counters != ("XfrmInNoPols",) or note.state is None:
            return None
        said = Evidence(
            "probe __xfrm_policy_check", f"XfrmInNoPols in direction {note.check.dir}: no policy matches"
        )
        return said, policies_checked(case)
    if flow.refused_to_send(case.drop):
        said = Evidence(
            "place", "the interface found no SA for this packet: no policy with its if_id or key matches it"
        )
        return said, policies_to_send(case)
    return None


def _verdict(
    case: Case,
    said: Evidence,
    found: Policies,
    policy: XfrmPolicy,
    field: str,
    fix: tuple[Fix, ...],
) -> Verdict | None:
    """Certain where the policy is older than the drop, and the kernel itself said that it found none."""
    drop, flow = case.drop, found.flow
    note = drop.event.xfrm
    if flow is None:
        return None
    rows = comparison.with_policy(flow, policy, policy_fit(policy, flow))
    evidence = [said, *near_evidence(drop, found)]
    if note is not None and note.state is not None:
        evidence.insert(1, Evidence("SA at the drop", state_line(note.state)))
    if field == "if_id":
        evidence += _interfaces(case, policy)
    culprit = replace(objects.policy_object(policy), differs=comparison.differing(rows))
    checked = note is not None and note.check is not None
    proven = checked and objects.existed(policy.add_time, drop)
    return Verdict("certain" if proven else "likely", culprit, tuple(evidence), fix)


def _interfaces(case: Case, policy: XfrmPolicy) -> list[Evidence]:
    """The xfrm interfaces of this namespace beside the policy's if_id."""
    found = interfaces(case)
    if found is None:
        return [Evidence("netlink link", "the xfrm interfaces of this namespace could not be read")]
    if not any(one.kind == "xfrm" for one in found.values()):
        return [Evidence("netlink link", "this namespace has no xfrm interface")]
    known = [one.if_id for one in found.values() if one.kind == "xfrm"]
    if_ids = ", ".join("any" if if_id is None else f"{if_id:#x}" for if_id in known)
    there = policy.if_id in known
    text = "" if there or not policy.if_id else f"; none has {policy.if_id:#x}"
    return [Evidence("netlink link", f"if_id of the xfrm interfaces here: {if_ids}{text}")]
