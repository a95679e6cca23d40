"""The policies that can have decided over a packet, as they were read after its death."""

from dropwatch.causes.ipsec import comparison, flow, objects
from dropwatch.causes.ipsec.case import Case, config, once
from dropwatch.host.ipsec import policy_search
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.policy_search import Fit, Flow
from dropwatch.host.ipsec.text import policy_line
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Drop, Evidence
from dropwatch.model.ipsec import XfrmPolicy

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Policies:
    """`taken` are those of which the kernel takes one for the flow; `near`, where there is
    none, those that come near, nearest first.

    `config` is None where nothing could be read; `flow` where too little of the packet is known.
    """

    direction: str
    flow: Flow | None
    config: XfrmConfig | None
    taken: tuple[XfrmPolicy, ...] = ()
    near: tuple[tuple[XfrmPolicy, Fit], ...] = ()

    @property
    def one(self) -> XfrmPolicy | None:
        """The policy that the kernel takes, where exactly one can be it."""
        return self.taken[0] if len(self.taken) == 1 else None

    def only_differing_in(self, field: str) -> XfrmPolicy | None:
        """Where nothing fits: a policy that would, but for this field."""
        if self.taken:
            return None
        return next((policy for policy, fit in self.near if fit.differs == (field,)), None)


@once
def policies_to_send(case: Case) -> Policies:
    """Those for a packet that is to leave."""
    return _policies(case, "out", flow.leaving(case))


@once
def policies_checked(case: Case) -> Policies:
    """Those that __xfrm_policy_check looked through when it refused the packet."""
    note = case.drop.event.xfrm
    direction = note.check.dir if note is not None and note.check is not None else "in"
    return _policies(case, direction, flow.checked(case))


def _policies(case: Case, direction: str, wanted: Flow | None) -> Policies:
    found, time = config(case), case.drop.time
    if found is None or wanted is None:
        return Policies(direction, wanted, found)
    taken = policy_search.taken(found, direction, wanted, time)
    near = () if taken else policy_search.nearly(found, direction, wanted, time)
    return Policies(direction, wanted, found, taken, near)


def taken_evidence(drop: Drop, found: Policies) -> list[Evidence]:
    """Which policy it is, or which it may be."""
    if found.config is None:
        return [objects.not_readable()]
    when = objects.read_later(drop, found.config)
    if found.flow is None:
        return [Evidence("packet", "too little of it is known to tell which policy is for it")]
    if not found.taken:
        return [Evidence("netlink xfrm", f"{when} no policy of direction {found.direction} fits this packet")]
    if found.one is not None:
        text = f"{when} the policy for this packet is {policy_line(found.one)}"
        return [Evidence("netlink xfrm", text)]
    return [
        Evidence("netlink xfrm", f"{when} {len(found.taken)} policies can be the one for this packet:"),
        *(Evidence("netlink xfrm", policy_line(policy)) for policy in found.taken[:_SHOWN]),
    ]


def near_evidence(drop: Drop, found: Policies) -> list[Evidence]:
    """Where none fits: the nearest ones, and the packet beside the first of them."""
    evidence = taken_evidence(drop, found)
    if found.taken or found.flow is None or not found.near:
        return evidence
    for at, (policy, fit) in enumerate(found.near[:_SHOWN]):
        differs = ", ".join(fit.differs)
        evidence.append(Evidence("netlink xfrm", f"{policy_line(policy)}: another {differs}"))
        if not at:
            evidence += comparison.evidence(
                "packet / policy", comparison.with_policy(found.flow, policy, fit)
            )
    return evidence
