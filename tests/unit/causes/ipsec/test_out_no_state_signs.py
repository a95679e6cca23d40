"""What is said of packets that are to leave and whose SA does not exist, and when nothing is."""

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.model.change import Change
from dropwatch.model.drop import Drop
from dropwatch.model.ipsec import (
    GoneState,
    Lifetime,
    XfrmLookup,
    XfrmSearch,
)
from tests.unit.causes.ipsec.outbound import (
    DROPPED_AT,
    LIFE,
    NETNS,
    POLICY,
    SA,
    TIME,
    texts,
)
from tests.unit.causes.verdicts import Judged

NO_SA: list[dict[str, Any]] = [
    {"place": "dst_discard_out", "stack": ("ip_send_skb",), "note": {"blackholed": True}},
    {"place": "ip_forward", "note": {"lookup": XfrmLookup(errno.EREMOTE)}},
    {"place": "xfrmi_xmit", "note": {"lookup": XfrmLookup(errno.EREMOTE)}},
    {"place": "xfrm_lookup_with_ifid", "source": "xfrm_lookup", "note": {"lookup": XfrmLookup(errno.EAGAIN)}},
    {"place": "xdst_queue_output", "note": None},
    {
        "place": "skb_queue_purge_reason",
        "stack": ("xfrm_policy_queue_process",),
        "reason": "QUEUE_PURGE",
        "note": None,
    },
]
no_sa = pytest.mark.parametrize("fields", NO_SA, ids=lambda fields: fields["place"])


@no_sa
def test_a_policy_without_an_sa(leaving: Callable[..., Drop], judged: Judged, fields: dict[str, Any]) -> None:
    cause, verdict = judged(leaving(**fields), POLICY)
    assert (cause, verdict.confidence) == ("ipsec.out-no-state", "certain")
    assert (verdict.culprit.kind, verdict.culprit.index) == ("xfrm-policy", 9)
    assert "netlink xfrm: no SA comes close to what this policy requires" in texts(verdict)


@no_sa
def test_the_nearest_sa_is_compared_with_the_template(
    leaving: Callable[..., Drop], judged: Judged, fields: dict[str, Any]
) -> None:
    other = replace(SA, reqid=2)
    _, verdict = judged(leaving(**fields), POLICY, states=(other,))
    assert verdict.culprit.differs == ("reqid",)
    assert "SA / template: reqid 2 / 1  <- differs" in texts(verdict)
    (change,) = [fix.command for fix in verdict.fix if "policy update" in (fix.command or "")]
    assert "reqid 2 mode" in change
    assert "dir out" in change
    _, verdict = judged(leaving(**fields), POLICY, states=(replace(other, mode="transport"),))
    assert not any("policy update" in (fix.command or "") for fix in verdict.fix), "more than that differs"


SINCE: dict[Change, int | None] = {"policies": DROPPED_AT + 1, "SAs": DROPPED_AT + 1}


def test_the_policy_of_the_drop_and_the_nearest_sa_of_its_time(
    leaving: Callable[..., Drop], judged: Judged
) -> None:
    """Both were replaced before they could be read."""
    note = {"lookup": XfrmLookup(errno.EREMOTE), "search": XfrmSearch(POLICY)}
    old, new = replace(SA, reqid=2), replace(SA, reqid=3, lifetime=Lifetime(add_time=int(TIME) + 1))
    gone = GoneState(DROPPED_AT + 1, NETNS, old, 812, "ip")
    today = replace(POLICY, index=17)
    cause, verdict = judged(
        leaving("ip_forward", None, note), today, states=(new,), gone=(gone,), changes=SINCE
    )
    assert (cause, verdict.confidence) == ("ipsec.out-no-state", "certain")
    assert (verdict.culprit.index, verdict.culprit.differs) == (9, ("reqid",))
    assert "SA / template: reqid 2 / 1  <- differs" in texts(verdict)
    assert any(text.endswith("; deleted since") for text in texts(verdict))


def test_an_if_id_may_have_been_updated(leaving: Callable[..., Drop], judged: Judged) -> None:
    state = replace(SA, if_id=0x2B)
    note = {"lookup": XfrmLookup(errno.EREMOTE, 0x2A), "search": XfrmSearch(replace(POLICY, if_id=0x2A))}
    drop = leaving("xfrmi_xmit", None, note)
    for updated, confidence in ((0, "certain"), (DROPPED_AT + 1, "likely"), (None, "likely")):
        changes = SINCE | {"SA updates": updated}
        cause, verdict = judged(drop, states=(state,), interfaces={2: 0x2A}, changes=changes)
        assert (cause, verdict.confidence) == ("ipsec.interface-mismatch", confidence)


def test_the_kernel_asked_and_nobody_answered(leaving: Callable[..., Drop], judged: Judged) -> None:
    larval = replace(SA, spi=0)
    _, verdict = judged(leaving(**NO_SA[0]), POLICY, states=(larval,))
    assert any("the kernel has asked an IKE daemon" in line for line in texts(verdict))


@pytest.mark.parametrize(("state", "relation"), [("expired", "expired"), ("valid", "deleted")])
def test_the_sa_that_there_was(
    leaving: Callable[..., Drop], judged: Judged, state: str, relation: str
) -> None:
    lifetime = LIFE if relation == "expired" else Lifetime()
    before = GoneState(DROPPED_AT - 10**9, NETNS, replace(SA, state=state, lifetime=lifetime), 812, "charon")
    cause, verdict = judged(leaving(**NO_SA[0]), POLICY, gone=(before,))
    assert cause == "ipsec.out-no-state"
    assert verdict.culprit.relation == relation
    assert verdict.culprit.spi == "0x00001001"
    after = replace(before, monotonic_ns=DROPPED_AT + 1)
    assert judged(leaving(**NO_SA[0]), POLICY, gone=(after,))[1].culprit.relation is None


def test_no_policy_is_named_where_it_is_not_sure(leaving: Callable[..., Drop], judged: Judged) -> None:
    for policies in ((), (POLICY, replace(POLICY, index=17)), (replace(POLICY, templates=()),)):
        cause, verdict = judged(leaving(**NO_SA[0]), *policies)
        assert (cause, verdict.confidence, verdict.culprit) == ("ipsec.out-no-state", "certain", None)


def test_only_the_discarding_function_kills_by_a_blackhole(
    leaving: Callable[..., Drop], judged: Judged
) -> None:
    cause, _ = judged(leaving("nf_hook_slow", "NETFILTER_DROP", {"blackholed": True}), POLICY)
    assert cause is None or not cause.startswith("ipsec.")


def test_other_failures_of_the_search_stay_unknown(leaving: Callable[..., Drop], judged: Judged) -> None:
    for number in (errno.EHOSTUNREACH, errno.ENOMEM, errno.EINVAL):
        assert judged(leaving("ip_forward", None, {"lookup": XfrmLookup(number)}), POLICY)[0] is None


@pytest.mark.parametrize(("added", "confidence"), [(-60, "certain"), (0, "likely"), (1, None)])
def test_an_sa_with_another_if_id(
    leaving: Callable[..., Drop], judged: Judged, added: int, confidence: str
) -> None:
    state = replace(SA, if_id=0x2B, lifetime=Lifetime(add_time=int(TIME) + added))
    drop = leaving("xfrmi_xmit", None, {"lookup": XfrmLookup(errno.EREMOTE, 0x2A)})
    cause, verdict = judged(drop, replace(POLICY, if_id=0x2A), states=(state,))
    assert cause == ("ipsec.interface-mismatch" if confidence else "ipsec.out-no-state")
    assert confidence is None or verdict.confidence == confidence
    assert verdict.culprit.differs == ("if_id",)


def test_an_sa_with_a_mark_that_the_policy_has_not(leaving: Callable[..., Drop], judged: Judged) -> None:
    state = replace(SA, mark=5, mark_mask=0xFF)
    cause, verdict = judged(leaving(**NO_SA[1]), POLICY, states=(state,))
    assert (cause, verdict.confidence) == ("ipsec.mark-mismatch", "certain")
    assert verdict.culprit.differs == ("mark",)


def test_an_xfrm_interface_without_a_policy_of_its_if_id(
    leaving: Callable[..., Drop], judged: Judged
) -> None:
    drop = leaving("xfrmi_xmit")
    cause, verdict = judged(drop, replace(POLICY, if_id=0x2B), interfaces={2: 0x2A})
    assert (cause, verdict.confidence) == ("ipsec.interface-mismatch", "likely")
    assert verdict.culprit.differs == ("if_id",)
    cause, verdict = judged(drop, interfaces={2: 0x2A})
    assert (cause, verdict.confidence, verdict.culprit) == ("ipsec.no-policy", "likely", None)
    assert judged(drop, replace(POLICY, if_id=0x2A), interfaces={2: 0x2A})[0] is None, "something else"


def test_the_key_of_a_vti_interface_is_the_mark(leaving: Callable[..., Drop], judged: Judged) -> None:
    drop = leaving("vti_tunnel_xmit")
    vti = {2: IpsecInterface("vti", okey=0x2A)}
    cause, verdict = judged(drop, replace(POLICY, mark=0x2B, mark_mask=0xFFFFFFFF), interfaces=vti)
    assert (cause, verdict.confidence) == ("ipsec.mark-mismatch", "likely")
    assert "packet / policy: mark 0x2a / 0x2b/0xffffffff  <- differs" in texts(verdict)
    assert judged(drop, interfaces=vti)[0] == "ipsec.no-policy"
