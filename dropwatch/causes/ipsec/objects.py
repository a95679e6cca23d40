"""SAs and policies as the object of a finding."""

from dropwatch.host.ipsec.text import policy_line, selector_text, spi_text, state_line
from dropwatch.model import culprits
from dropwatch.model.drop import Drop, Evidence
from dropwatch.model.ipsec import XfrmPolicy, XfrmState, XfrmTemplate


def state_object(state: XfrmState) -> culprits.XfrmState:
    """The SA with what identifies it."""
    return culprits.XfrmState(
        text=state_line(state),
        spi=spi_text(state.spi),
        saddr=str(state.saddr),
        daddr=str(state.daddr),
        proto=state.proto,
        mode=state.mode,
        reqid=state.reqid,
        if_id=state.if_id,
        mark=state.mark,
        mark_mask=state.mark_mask,
        state=state.state,
    )


def policy_object(policy: XfrmPolicy) -> culprits.XfrmPolicy:
    """The policy with what identifies it."""
    return culprits.XfrmPolicy(
        text=policy_line(policy),
        dir=policy.dir,
        action=policy.action,
        priority=policy.priority,
        index=policy.index,
        selector=selector_text(policy.selector),
        if_id=policy.if_id,
        mark=policy.mark,
        mark_mask=policy.mark_mask,
        templates=tuple(map(_template, policy.templates)),
    )


def _template(asked: XfrmTemplate) -> culprits.Template:
    return culprits.Template(
        proto=asked.proto,
        mode=asked.mode,
        saddr=None if asked.saddr is None else str(asked.saddr),
        daddr=None if asked.daddr is None else str(asked.daddr),
        spi=spi_text(asked.spi) if asked.spi else None,
        reqid=asked.reqid,
    )


def default_policy(direction: str) -> culprits.XfrmPolicy:
    """What `ip xfrm policy setdefault` has set for flows without a policy."""
    text = f"default policy of direction {direction}: block"
    return culprits.XfrmPolicy(text, direction, "block", default=True)


def existed(added: int, drop: Drop) -> bool | None:
    """Whether an SA or policy that was added at this time was there when the packet died; None: it was in that very
    second, or is not known.

    Sure, because what is changed or added again gets another time. It is told in whole seconds.
    """
    if not added or int(added) == int(drop.time):
        return None
    return added < drop.time


def not_readable() -> Evidence:
    return Evidence("netlink xfrm", "the SAs and policies of this namespace could not be read")
