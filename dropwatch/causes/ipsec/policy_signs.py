"""Signs of IPsec policies: what __xfrm_policy_check refused to let in or through, and why."""

import errno
from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.delay import delay
from dropwatch.causes.ipsec import comparison, fixes, flow, objects, words
from dropwatch.causes.ipsec.case import Case, config, doubts, if_unchanged
from dropwatch.causes.ipsec.policies_for import (
    Policies,
    near_evidence,
    policies_checked,
    policies_to_send,
    taken_evidence,
)
from dropwatch.host.ipsec.policy_search import selector_fit
from dropwatch.host.ipsec.text import spi_text, state_line
from dropwatch.model.culprits import Culprit
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.model.ipsec import XfrmCheck, XfrmNote, XfrmState, XfrmTemplate

_CLEAR_TEXT = "it came in clear text; the policy requires an SA"
_DEFAULT_BLOCKS = "no IPsec policy matches it, and the default is block"
_FORWARDING = frozenset({"ip_forward", "ip6_forward"})
_OTHER_SA = "the kernel checked another SA of this packet"
_CHECKED = "probe __xfrm_policy_check"


def selector_mismatch(case: Case) -> Verdict | None:
    """An SA that the packet came through is not for what was inside. whydrop knows the last SA of its way."""
    drop = case.drop
    note, check = _refused(drop, "XfrmInStateMismatch")
    if note is None or check is None or note.state is None:
        return None
    state, checked = note.state, flow.checked(case)
    evidence = [_said(drop, check, "outside the selector of an SA that it came through")]
    culprit = None
    rows: tuple[comparison.Row, ...] = ()
    if checked is not None and state.selector is not None and any(selector_fit(state.selector, checked)):
        rows = comparison.with_selector(checked, state.selector)
        culprit = replace(objects.state_object(state), differs=comparison.differing(rows))
    evidence += comparison.evidence("packet / selector of the SA", rows)
    evidence.append(Evidence("SA at the drop", state_line(state)))
    if culprit is not None:
        evidence.append(words.story("the two ends have different traffic selectors: the sender's are wider"))
    return Verdict(
        "certain",
        culprit,
        tuple(evidence),
        (*fixes.show_states(state), *fixes.ask_ike(case.host)),
    )


def template_mismatch(case: Case) -> Verdict | None:
    """A policy is for the packet, and the SAs that it came through are not those of the policy's template."""
    drop = case.drop
    note, check = _refused(drop, "XfrmInTmplMismatch")
    if note is None or check is None:
        return None
    state = note.state
    found = policies_checked(case)
    if state is None:
        evidence = [_said(drop, check, "it came in clear text, through no SA"), *taken_evidence(drop, found)]
        evidence.append(
            words.story(
                "the sender has no policy or SA for this flow, or another of its policies takes precedence"
            )
        )
    else:
        evidence = [_said(drop, check, "it did not come through the SA that the policy requires")]
        evidence.append(Evidence("SA at the drop", state_line(state)))
        evidence += taken_evidence(drop, found)
    culprit, more = _template_culprit(found, state)
    fix = (
        *fixes.show_policies(check.dir),
        *fixes.who_sends_clear(drop, state, found.one),
        *fixes.ask_ike(case.host),
    )
    title = _CLEAR_TEXT if state is None else None
    return if_unchanged(case, Verdict("certain", culprit, (*evidence, *more), fix, title), *found.may_change)


def no_policy(case: Case) -> Verdict | None:
    """It came through an SA in tunnel mode, and no policy is for it; or in clear text, and the default is to block."""
    drop = case.drop
    note, check = _refused(drop, "XfrmInNoPols")
    if note is None or check is None:
        return _blocked_by_default(case) or _no_policy_to_send(case)
    found = policies_checked(case)
    if note.state is None:
        said = _said(drop, check, "no policy matches it, and the default policy is block")
        evidence = (said, *near_evidence(drop, found))
        default, fix = objects.default_policy(check.dir), fixes.change_default(check.dir)
        return Verdict("certain", default, evidence, fix, _DEFAULT_BLOCKS)
    evidence = (
        _said(drop, check, "no policy matches what came out of the SA"),
        Evidence("SA at the drop", state_line(note.state)),
        *near_evidence(drop, found),
    )
    culprit = replace(objects.state_object(note.state), dir=check.dir)
    fix = (*fixes.add_policy(drop, check.dir, note.state), *fixes.show_policies(check.dir))
    return Verdict("certain", culprit, evidence, (*fix, *fixes.ask_ike(case.host)))


def _blocked_by_default(case: Case) -> Verdict | None:
    """Where there is no policy of this direction at all, the default policy decides without __xfrm_policy_check
    (__xfrm_policy_check2 in include/net/xfrm.h), and only the reason tells. The same holds for forwarding.
    """
    drop = case.drop
    note = drop.event.xfrm
    if drop.reason != "XFRM_POLICY" or (note is not None and (note.check or note.lookup or note.state)):
        return None
    direction = "fwd" if kernel_word.place(drop) in _FORWARDING else "in"
    there = config(case)
    if there is None or there.policies_by_dir.get(direction):
        return None
    when = delay(drop, there.read_at_ns)
    evidence = (
        Evidence("reason XFRM_POLICY", "the kernel refused it, and no probe saw a search for a policy"),
        Evidence(
            "netlink xfrm",
            f"{when}: there is no policy of direction {direction}, so the default decides: block",
        ),
    )
    culprit = objects.default_policy(direction)
    return Verdict("likely", culprit, evidence, fixes.change_default(direction), _DEFAULT_BLOCKS)


def _no_policy_to_send(case: Case) -> Verdict | None:
    """An xfrm interface found no SA for what it is to send, and no policy is for it. Only likely: it was read later."""
    drop = case.drop
    if not flow.refused_to_send(drop):
        return None
    found = policies_to_send(case)
    if found.config is None or found.flow is None or found.taken:
        return None
    said = Evidence("place", "an xfrm interface sends only what a policy with its if_id protects")
    fix = (*fixes.show_policies("out"), *fixes.ask_ike(case.host))
    title = "no policy protects what this xfrm interface sends"
    return Verdict("likely", None, (said, *near_evidence(drop, found)), fix, title)


def policy_block(case: Case) -> Verdict | None:
    """A policy that blocks, or for what is to leave the default policy."""
    drop = case.drop
    note = drop.event.xfrm
    if note is not None and note.lookup is not None and note.lookup.errno == errno.EPERM:
        said = Evidence("probe xfrm_lookup_with_ifid", "returned EPERM: a policy blocks this flow")
        return _blocked(case, said, policies_to_send(case))
    check = note.check if note is not None else None
    if note is not None and check is not None and check.counters == ("XfrmInPolBlock",):
        said = _said(drop, check, "a policy blocks this packet")
        return _blocked(case, said, policies_checked(case))
    return None


def _blocked(case: Case, said: Evidence, found: Policies) -> Verdict:
    """`certain` is that policies block it; which one, if it was read later, is no more than likely after a change."""
    drop = case.drop
    evidence = (said, *taken_evidence(drop, found))
    nobody = not found.taken and (found.at_drop or (found.flow is not None and found.config is not None))
    if nobody and found.direction == "out" and not doubts(case, *found.may_change):
        evidence = (*evidence, words.story("the default policy of direction out is block"))
        culprit = objects.default_policy("out")
        return Verdict("certain", culprit, evidence, fixes.change_default("out"), _DEFAULT_BLOCKS)
    blocking = [policy for policy in found.taken if policy.action == "block"]
    policy = blocking[0] if len(blocking) == 1 else None
    culprit_policy = objects.policy_object(policy) if policy is not None else None
    fix = fixes.show_policies(policy.dir if policy is not None else found.direction)
    if not found.is_gone:
        fix = (*fix, *fixes.delete_policy(policy))
    verdict = Verdict("certain", culprit_policy, evidence, (*fix, *fixes.ask_ike(case.host)))
    return if_unchanged(case, verdict, *found.may_change)


def _refused(drop: Drop, counter: str) -> tuple[XfrmNote | None, XfrmCheck | None]:
    """The note, if this packet was refused, and with this counter alone."""
    note = drop.event.xfrm
    if note is None or note.check is None or note.check.counters != (counter,):
        return None, None
    return note, note.check


def _said(drop: Drop, check: XfrmCheck, text: str) -> Evidence:
    counters = ", ".join(check.counters)
    return Evidence(_CHECKED, f"{counters} in direction {check.dir}: {text}: {words.flow(drop.packet)}")


def _template_culprit(
    found: Policies, state: XfrmState | None
) -> tuple[Culprit | None, tuple[Evidence, ...]]:
    """The policy, if exactly one is for the packet and it explains the refusal; and the SA beside its template."""
    policy = found.one
    if policy is None or policy.action != "allow":
        return None, ()
    demanded = [one for one in policy.templates if not one.optional]
    if state is None:
        if not demanded:
            return None, (_unexplained(found),)
        rows: tuple[comparison.Row, ...] = (comparison.Row("sa", "none", _asked(demanded), True),)
        culprit = replace(objects.policy_object(policy), differs=("sa",))
        return culprit, comparison.evidence("packet / template", rows)
    if not policy.templates:
        rows = (comparison.Row("sa", spi_text(state.spi), "none", True),)
    else:
        rows = min((comparison.with_template(state, one) for one in policy.templates), key=_differences)
    differs = comparison.differing(rows)
    if not differs and len(demanded) == 1:
        return None, (_unexplained(found),)
    culprit = replace(objects.policy_object(policy), differs=differs)
    return culprit, comparison.evidence("SA / template", rows)


def _unexplained(found: Policies) -> Evidence:
    """The policy would have accepted the SA that whydrop knows of."""
    why = _OTHER_SA if found.at_drop else f"the policy has changed since, or {_OTHER_SA}"
    return Evidence("netlink xfrm", f"this does not explain the drop: {why}")


def _differences(rows: tuple[comparison.Row, ...]) -> int:
    return len(comparison.differing(rows))


def _asked(templates: list[XfrmTemplate]) -> str:
    """`esp tunnel reqid 1`."""
    return ", ".join(f"{one.proto} {one.mode} reqid {one.reqid}" for one in templates)
