"""The policies that can have decided over a packet: the one that a probe saw, else those that were read afterwards."""

from dropwatch.causes.delay import delay
from dropwatch.causes.ipsec import comparison, flow, objects
from dropwatch.causes.ipsec.case import Case, config, once
from dropwatch.host.ipsec import policy_search
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.policy_search import Fit, Flow
from dropwatch.host.ipsec.text import policy_line
from dropwatch.model.change import Change
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Drop, Evidence
from dropwatch.model.ipsec import XfrmPolicy, XfrmSearch

_SHOWN = 3
_FINDING = "probe xfrm_policy_lookup_bytype"


@dataclass(frozen=True, slots=True)
class Policies:
    """`taken` are those of which the kernel takes one for the flow; `near`, where there is
    none, those that come near, nearest first.

    `config` is None where nothing could be read; `flow` where too little of the packet is known. `at_drop`: `taken` is
    what the kernel found when it refused the packet, and nothing else is.
    """

    direction: str
    flow: Flow | None
    config: XfrmConfig | None
    taken: tuple[XfrmPolicy, ...] = ()
    near: tuple[tuple[XfrmPolicy, Fit], ...] = ()
    at_drop: bool = False

    @property
    def may_change(self) -> tuple[Change, ...]:
        """What must not have changed for `taken` to be those of the drop."""
        return () if self.at_drop else ("policies",)

    @property
    def is_gone(self) -> bool:
        """Whether the policy of the drop was no longer there when the others were read."""
        return self.at_drop and self.one is not None and _today(self) != self.one

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
    note = case.drop.event.xfrm
    seen = note.search if note is not None and note.lookup is not None else None
    return _policies(case, "out", flow.leaving(case), seen)


@once
def policies_checked(case: Case) -> Policies:
    """Those that __xfrm_policy_check looked through when it refused the packet."""
    note = case.drop.event.xfrm
    check = note.check if note is not None else None
    direction = check.dir if check is not None else "in"
    seen = note.search if note is not None and check is not None else None
    return _policies(case, direction, flow.checked(case), seen)


def _policies(case: Case, direction: str, wanted: Flow | None, seen: XfrmSearch | None) -> Policies:
    found, time = config(case), case.drop.time
    if seen is not None:
        near = (
            policy_search.nearly(found, direction, wanted, time)
            if found and wanted and not seen.policy
            else ()
        )
        return Policies(direction, wanted, found, (seen.policy,) if seen.policy else (), near, at_drop=True)
    if found is None or wanted is None:
        return Policies(direction, wanted, found)
    taken = policy_search.taken(found, direction, wanted, time)
    near = () if taken else policy_search.nearly(found, direction, wanted, time)
    return Policies(direction, wanted, found, taken, near)


def taken_evidence(drop: Drop, found: Policies) -> list[Evidence]:
    """Which policy it is, or which it may be."""
    if found.at_drop:
        return _seen(drop, found)
    if found.config is None:
        return [objects.not_readable()]
    when = delay(drop, found.config.read_at_ns)
    if found.flow is None:
        return [Evidence("packet", "too little of the packet is known to tell which policy matches it")]
    if not found.taken:
        return [
            Evidence("netlink xfrm", f"{when}: no policy of direction {found.direction} matches this packet")
        ]
    if found.one is not None:
        text = f"{when}: the policy for this packet is {policy_line(found.one)}"
        return [Evidence("netlink xfrm", text)]
    return [
        Evidence(
            "netlink xfrm",
            f"{when}: {len(found.taken)} policies match this packet, and the kernel takes one of them:",
        ),
        *(Evidence("netlink xfrm", policy_line(policy)) for policy in found.taken[:_SHOWN]),
    ]


def _seen(drop: Drop, found: Policies) -> list[Evidence]:
    """What the kernel found, and what has become of it."""
    policy = found.one
    if policy is None:
        return [Evidence(_FINDING, f"no policy of direction {found.direction} matches this packet")]
    evidence = [Evidence("policy at the drop", policy_line(policy))]
    if found.is_gone and found.config is not None:
        when, today = delay(drop, found.config.read_at_ns), _today(found)
        replaced = f"it has been replaced by {policy_line(today)}" if today is not None else "it is gone"
        evidence.append(Evidence("netlink xfrm", f"{when}: {replaced}"))
    return evidence


def _today(found: Policies) -> XfrmPolicy | None:
    """The policy that has the index of the one of the drop; that itself where nothing could be read."""
    if found.config is None or found.one is None:
        return found.one
    there = found.config.policies_by_dir.get(found.one.dir, ())
    return next((policy for policy in there if policy.index == found.one.index), None)


def near_evidence(drop: Drop, found: Policies) -> list[Evidence]:
    """Where none fits: the nearest ones, and the packet beside the first of them."""
    evidence = taken_evidence(drop, found)
    if found.taken or found.flow is None or not found.near:
        return evidence
    for at, (policy, fit) in enumerate(found.near[:_SHOWN]):
        differs = ", ".join(fit.differs)
        evidence.append(Evidence("netlink xfrm", f"{policy_line(policy)}: differs in {differs}"))
        if not at:
            evidence += comparison.evidence(
                "packet / policy", comparison.with_policy(found.flow, policy, fit)
            )
    return evidence
