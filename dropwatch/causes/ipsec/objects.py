"""SAs and policies as the object of a finding, and how long after the drop they were read."""

from typing import Any

from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.text import policy_line, selector_text, spi_text, state_line
from dropwatch.model.drop import Culprit, Drop, Evidence
from dropwatch.model.ipsec import XfrmPolicy, XfrmState


def state_object(state: XfrmState, **more: Any) -> Culprit:
    """The SA with what identifies it; `more` are keys of the finding."""
    details = {
        "spi": spi_text(state.spi),
        "saddr": str(state.saddr),
        "daddr": str(state.daddr),
        "proto": state.proto,
        "mode": state.mode,
        "reqid": state.reqid,
        "if_id": state.if_id,
        "mark": state.mark,
        "mark_mask": state.mark_mask,
        "state": state.state,
    }
    return Culprit("xfrm-state", state_line(state), details | more)


def policy_object(policy: XfrmPolicy, **more: Any) -> Culprit:
    """The policy with what identifies it. `templates` are the protections that it asks for."""
    details = {
        "dir": policy.dir,
        "action": policy.action,
        "priority": policy.priority,
        "index": policy.index,
        "selector": selector_text(policy.selector),
        "if_id": policy.if_id,
        "mark": policy.mark,
        "mark_mask": policy.mark_mask,
        "templates": [
            {
                "proto": one.proto,
                "mode": one.mode,
                "saddr": None if one.saddr is None else str(one.saddr),
                "daddr": None if one.daddr is None else str(one.daddr),
                "spi": spi_text(one.spi) if one.spi else None,
                "reqid": one.reqid,
            }
            for one in policy.templates
        ],
    }
    return Culprit("xfrm-policy", policy_line(policy), details | more)


def default_policy(direction: str) -> Culprit:
    """What `ip xfrm policy setdefault` has set for flows without a policy."""
    details = {"dir": direction, "action": "block", "default": True}
    return Culprit("xfrm-policy", f"default policy of direction {direction}: block", details)


def read_later(drop: Drop, config: XfrmConfig) -> str:
    """`3.2 ms after the drop`."""
    return f"{(config.read_at_ns - drop.event.monotonic_ns) / 1e6:.1f} ms after the drop"


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
