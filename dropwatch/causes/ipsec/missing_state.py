"""Why an outbound policy finds no SA: those that come near its template, and those that are gone."""

from collections.abc import Iterator
from itertools import islice

from dropwatch.causes.ipsec import comparison, deleted_state, words
from dropwatch.causes.ipsec.case import Case, once
from dropwatch.causes.ipsec.policies_for import policies_to_send
from dropwatch.causes.ipsec.states_then import deleted_since, of_the_drop
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.text import state_line
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address, Evidence
from dropwatch.model.ipsec import XfrmPolicy, XfrmState

_ASKING = "a placeholder SA (SPI 0) exists: the kernel has asked an IKE daemon, which has not answered yet"
_DIFFERENT = (
    "the SA belongs to another policy, or its reqid, mode or addresses were mistyped or negotiated "
    "differently"
)
_NOT_REPLACED = "no new SA was set up: the IKE daemon is not running, or cannot reach the peer"
_FATE = {"expired": "used up", "deleted": "deleted"}
_LOOKED_AT = 64
_KIN = 2  # an SA that differs in more fields than this is for something else
_NOBODY = (
    "no IKE daemon has answered: none is running, it has no connection for this flow, or the peer does "
    "not reply"
)


@dataclass(frozen=True, slots=True)
class Missing:
    """The policy that wanted an SA; `nearest` is the SA that comes closest, and `differs` why it is not taken.

    `gone` is the SA that it had, and what happened to that.
    """

    policy: XfrmPolicy
    nearest: XfrmState | None = None
    differs: tuple[str, ...] = ()
    gone: deleted_state.Gone | None = None
    title: str | None = None
    evidence: tuple[Evidence, ...] = ()


@once
def missing_state(case: Case) -> Missing | None:
    """For a packet that is to leave. None where it is not known which policy it was, or the one that is there now
    does not ask for an SA.
    """
    found = policies_to_send(case)
    policy, flow, config = found.one, found.flow, found.config
    if policy is None or flow is None or config is None or policy.action != "allow":
        return None
    template = next((one for one in policy.templates if not one.optional), None)
    if template is None:
        return None
    ends = (flow.saddr, flow.daddr) if template.mode == "transport" else (template.saddr, template.daddr)
    read = tuple(_candidates(ends, config))
    then = of_the_drop(case, read)
    candidates = dict.fromkeys(then)
    rows = [
        (state, comparison.with_outbound_template(state, template, policy, flow))
        for state in candidates
        if state.spi
    ]
    if then is not read:  # the kernel would have found one that fits
        rows = [(state, compared) for state, compared in rows if comparison.differing(compared)]
    state, compared = min(rows, key=lambda one: len(comparison.differing(one[1])), default=(None, ()))
    differs = comparison.differing(compared)
    evidence: list[Evidence] = []
    if state is not None and len(differs) <= _KIN:
        is_gone = state in deleted_since(case)
        source = "probe __xfrm_state_delete" if is_gone else "netlink xfrm"
        since = "; deleted since" if is_gone else ""
        evidence.append(Evidence(source, f"nearest SA: {state_line(state)}{since}"))
        evidence += comparison.evidence("SA / template", compared)
    else:
        state, differs = None, ()
        evidence.append(Evidence("netlink xfrm", "no SA comes close to what this policy requires"))
    if any(not one.spi and one.daddr == ends[1] for one in candidates):
        evidence.append(Evidence("netlink xfrm", _ASKING))
    gone = deleted_state.sent_through(case.drop, case.host, template, *ends)
    if gone is None:
        evidence.append(words.story(_DIFFERENT if differs else _NOBODY))
        return Missing(policy, state, differs, evidence=tuple(evidence))
    evidence += [*gone.evidence(), words.story(_NOT_REPLACED)]
    title = f"the SA that an IPsec policy requires was {_FATE[gone.relation]}"
    return Missing(policy, state, differs, gone, title, tuple(evidence))


def _candidates(ends: tuple[Address | None, Address | None], config: XfrmConfig) -> Iterator[XfrmState]:
    """A few of each sort: a gateway has ten thousand SAs."""
    saddr, daddr = ends
    if saddr is not None and daddr is not None:
        yield from islice(config.states_by_hosts.get((saddr, daddr), ()), _LOOKED_AT)
    if daddr is not None:
        yield from islice(config.states_by_daddr.get(daddr, ()), _LOOKED_AT)
    yield from islice(config.states, _LOOKED_AT)
