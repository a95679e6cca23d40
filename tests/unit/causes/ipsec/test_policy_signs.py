"""What the signs of IPsec policies say of packets that __xfrm_policy_check refused, and when they keep silent."""

import errno
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.causes.ipsec.objects import default_policy
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.model.change import Change
from dropwatch.model.drop import Drop, Event, Frame, Packet, Verdict, Where
from dropwatch.model.ipsec import (
    Lifetime,
    Selector,
    XfrmCheck,
    XfrmLookup,
    XfrmNote,
    XfrmPolicy,
    XfrmSearch,
    XfrmState,
    XfrmTemplate,
)
from tests.unit.causes.verdicts import Judged
from tests.unit.told_host import ToldHost

A, B = ip_address("10.9.0.1"), ip_address("10.9.0.2")
TIME = 1795205701.5
DROPPED_AT = 83521935614
SA = XfrmState(
    4, A, B, "esp", 0x1001, "tunnel", reqid=1, state="valid", lifetime=Lifetime(add_time=int(TIME) - 60)
)
SELECTOR = Selector(family=4, saddr=A, prefixlen_s=32, daddr=B, prefixlen_d=32)
TEMPLATE = XfrmTemplate("esp", "tunnel", A, B, reqid=1)
POLICY = XfrmPolicy(SELECTOR, "in", "allow", 100, 8, templates=(TEMPLATE,))
BLOCK = replace(POLICY, action="block", templates=())
REASONS = [None, "NOT_SPECIFIED", "XFRM_POLICY"]


@pytest.fixture
def refused(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> Callable[..., Drop]:
    """A packet that was refused with this counter; the note's other fields and the packet's follow."""

    def build(
        counter: str | None = None,
        direction: str = "in",
        state: XfrmState | None = None,
        place: str = "udp_queue_rcv_one_skb",
        reason: str | None = "XFRM_POLICY",
        **fields: Any,
    ) -> Drop:
        notes = {
            key: fields.pop(key) for key in ("lookup", "outbound", "blackholed", "search") if key in fields
        }
        check = XfrmCheck(direction, (counter,)) if counter is not None else None
        note = XfrmNote(state=state, check=check, **notes) if (state or check or notes) else None
        source = fields.pop("source", "kfree_skb")
        frame = Frame(place, 1, None, 0)
        event = make_event(xfrm=note, source=source, ifindex=2)
        return make_drop(
            make_packet(**fields),
            event,
            time=TIME,
            where=Where(frame, "ipsec", "in"),
            stack=(frame,),
            reason=reason,
        )

    return build


@pytest.fixture
def judged() -> Judged:
    def judge(
        drop: Drop,
        *policies: XfrmPolicy,
        states: tuple[XfrmState, ...] = (),
        interfaces: dict[int, int | IpsecInterface] | None = None,
        missing: bool = False,
        changes: dict[Change, int | None] | None = None,
    ) -> Any:
        """`changes` are the times of the last one of each kind, None: nobody knows."""
        found = {
            index: IpsecInterface("xfrm", one) if isinstance(one, int) else one
            for index, one in (interfaces or {}).items()
        }
        config = None if missing else XfrmConfig(states, policies, DROPPED_AT + 2_000_000)
        host = ToldHost(
            xfrm=config,
            xfrm_interfaces=found,
            last_change=lambda inode, kind, read_at: (changes or {}).get(kind, 0),
        )
        cause, verdict = diagnose(drop, host)
        return (cause.id if cause is not None else None), verdict

    return judge


def texts(verdict: Verdict) -> list[str]:
    return [f"{fact.source}: {fact.text}" for fact in verdict.evidence]


@pytest.mark.parametrize("reason", [*REASONS, "NO_SOCKET"])
@pytest.mark.parametrize("place", ["udp_queue_rcv_one_skb", "__udp4_lib_rcv", "tcp_v4_rcv", "raw_rcv"])
def test_clear_text_where_the_policy_wants_ipsec(
    refused: Callable[..., Drop], judged: Judged, place: str, reason: str | None
) -> None:
    cause, verdict = judged(refused("XfrmInTmplMismatch", place=place, reason=reason), POLICY)
    assert (cause, verdict.confidence) == ("ipsec.template-mismatch", "certain")
    assert verdict.culprit.kind == "xfrm-policy"
    assert (verdict.culprit.index, verdict.culprit.differs) == (8, ("sa",))
    assert "clear text" in verdict.title
    assert "packet / template: sa none / esp tunnel reqid 1  <- differs" in texts(verdict)


@pytest.mark.parametrize(
    ("state", "differs"),
    [
        (replace(SA, reqid=2), ("reqid",)),
        (replace(SA, mode="transport"), ("mode",)),
        (replace(SA, proto="ah"), ("proto",)),
        (replace(SA, saddr=ip_address("10.9.0.9")), ("src",)),
    ],
)
def test_the_wrong_sa_is_compared_with_the_template(
    refused: Callable[..., Drop], judged: Judged, state: XfrmState, differs: tuple[str, ...]
) -> None:
    cause, verdict = judged(refused("XfrmInTmplMismatch", state=state), POLICY)
    assert (cause, verdict.confidence) == ("ipsec.template-mismatch", "certain")
    assert verdict.culprit.differs == differs
    assert len([line for line in texts(verdict) if line.endswith("<- differs")]) == 1


def test_a_policy_that_wants_no_protection_refuses_what_came_through_a_tunnel(
    refused: Callable[..., Drop], judged: Judged
) -> None:
    cause, verdict = judged(refused("XfrmInTmplMismatch", state=SA), replace(POLICY, templates=()))
    assert cause == "ipsec.template-mismatch"
    assert verdict.culprit.differs == ("sa",)


@pytest.mark.parametrize(
    ("state", "policies"),
    [
        (None, ()),
        (None, (replace(POLICY, templates=()),)),
        (None, (POLICY, replace(POLICY, index=16))),
        (None, (BLOCK,)),
        (SA, (POLICY,)),
    ],
)
def test_no_policy_is_named_that_does_not_explain_it(
    refused: Callable[..., Drop], judged: Judged, state: XfrmState | None, policies: tuple[XfrmPolicy, ...]
) -> None:
    """Changed since, several that can be it, or one that would have let it pass."""
    cause, verdict = judged(refused("XfrmInTmplMismatch", state=state), *policies)
    assert (cause, verdict.confidence) == ("ipsec.template-mismatch", "certain")
    assert verdict.culprit is None


def test_nothing_could_be_read(refused: Callable[..., Drop], judged: Judged) -> None:
    cause, verdict = judged(refused("XfrmInTmplMismatch"), missing=True)
    assert (cause, verdict.confidence, verdict.culprit) == ("ipsec.template-mismatch", "certain", None)
    assert "netlink xfrm: the SAs and policies of this namespace could not be read" in texts(verdict)


def test_the_selector_of_the_sa(refused: Callable[..., Drop], judged: Judged) -> None:
    selector = Selector(
        family=4, daddr=ip_address("10.8.0.0"), prefixlen_d=16, proto=17, dport=53, dport_mask=0xFFFF
    )
    state = replace(SA, selector=selector)
    cause, verdict = judged(refused("XfrmInStateMismatch", state=state, place="ip_forward"))
    assert (cause, verdict.confidence) == ("ipsec.selector-mismatch", "certain")
    assert verdict.culprit.differs == ("dst", "dport")
    assert "packet / selector of the SA: dst 10.9.0.2 / 10.8.0.0/16  <- differs" in texts(verdict)
    assert "packet / selector of the SA: proto udp / udp" in texts(verdict)


def test_another_sa_of_its_way_may_have_the_selector(refused: Callable[..., Drop], judged: Judged) -> None:
    state = replace(SA, selector=SELECTOR)
    cause, verdict = judged(refused("XfrmInStateMismatch", state=state))
    assert (cause, verdict.culprit) == ("ipsec.selector-mismatch", None)


@pytest.mark.parametrize("direction", ["in", "fwd"])
def test_no_policy_for_what_came_out_of_a_tunnel(
    refused: Callable[..., Drop], judged: Judged, direction: str
) -> None:
    other = replace(POLICY, dir=direction, selector=replace(SELECTOR, saddr=ip_address("10.9.0.9")))
    cause, verdict = judged(refused("XfrmInNoPols", direction, SA), other)
    assert (cause, verdict.confidence) == ("ipsec.no-policy", "certain")
    assert verdict.culprit.dir == direction
    assert any("differs in src" in line for line in texts(verdict))
    assert "packet / policy: src 10.9.0.1 / 10.9.0.9/32  <- differs" in texts(verdict)
    assert (
        f"dir {direction} tmpl src 10.9.0.1 dst 10.9.0.2 proto esp reqid 1 mode tunnel"
        in verdict.fix[0].command
    )


def test_a_policy_with_another_if_id(refused: Callable[..., Drop], judged: Judged) -> None:
    drop = refused("XfrmInNoPols", state=replace(SA, if_id=0x2A))
    cause, verdict = judged(drop, replace(POLICY, if_id=0x2A), interfaces={5: 0x2B})
    assert (cause, verdict.confidence) == ("ipsec.interface-mismatch", "likely")
    assert verdict.culprit.differs == ("if_id",)
    assert "netlink link: if_id of the xfrm interfaces here: 0x2b; none has 0x2a" in texts(verdict)
    assert not any("policy add" in (fix.command or "") for fix in verdict.fix), "none would be taken"


def test_a_policy_with_the_if_id_of_sa_and_interface_is_added(
    refused: Callable[..., Drop], judged: Judged
) -> None:
    drop = refused("XfrmInNoPols", state=replace(SA, if_id=0x2B))
    cause, verdict = judged(drop, replace(POLICY, if_id=0x2A), interfaces={2: 0x2B})
    assert cause == "ipsec.interface-mismatch"
    assert any(
        "policy add" in (fix.command or "") and "if_id 0x2b" in (fix.command or "") for fix in verdict.fix
    )


def test_it_came_through_an_xfrm_interface(refused: Callable[..., Drop], judged: Judged) -> None:
    """The if_id of the interface counts, so that a policy without one is not for it."""
    drop = refused("XfrmInNoPols", state=replace(SA, if_id=0x2A))
    assert judged(drop, POLICY, interfaces={2: 0x2A})[0] == "ipsec.interface-mismatch"
    assert judged(drop, replace(POLICY, if_id=0x2A), interfaces={2: 0x2A})[0] == "ipsec.no-policy"


def test_a_policy_with_a_mark(refused: Callable[..., Drop], judged: Judged) -> None:
    cause, verdict = judged(refused("XfrmInNoPols", state=SA), replace(POLICY, mark=5, mark_mask=0xFF))
    assert (cause, verdict.confidence) == ("ipsec.mark-mismatch", "likely")
    assert verdict.culprit.differs == ("mark",)
    assert "0x5/0xff" in verdict.fix[0].text


@pytest.mark.parametrize("direction", ["in", "fwd"])
def test_a_policy_that_blocks(refused: Callable[..., Drop], judged: Judged, direction: str) -> None:
    blocking = replace(BLOCK, dir=direction)
    cause, verdict = judged(refused("XfrmInPolBlock", direction), blocking)
    assert (cause, verdict.confidence) == ("ipsec.policy-block", "certain")
    assert verdict.culprit.index == 8
    assert verdict.fix[-1].command == f"ip netns exec b ip xfrm policy delete dir {direction} index 8"


def test_a_policy_that_was_deleted_since_is_not_guessed(refused: Callable[..., Drop], judged: Judged) -> None:
    for policies in ((), (POLICY,), (BLOCK, replace(BLOCK, index=16))):
        cause, verdict = judged(refused("XfrmInPolBlock"), *policies)
        assert (cause, verdict.confidence, verdict.culprit) == ("ipsec.policy-block", "certain", None)


@pytest.mark.parametrize("source", ["xfrm_lookup", "kfree_skb"])
def test_a_policy_that_blocks_what_is_to_leave(
    refused: Callable[..., Drop], judged: Judged, source: str
) -> None:
    place = "xfrm_lookup_with_ifid" if source == "xfrm_lookup" else "ip_forward"
    drop = refused(lookup=XfrmLookup(errno.EPERM), source=source, place=place)
    cause, verdict = judged(drop, replace(BLOCK, dir="out"))
    assert (cause, verdict.confidence) == ("ipsec.policy-block", "certain")
    assert verdict.culprit.dir == "out"


def test_the_default_policy_blocks_what_is_to_leave(refused: Callable[..., Drop], judged: Judged) -> None:
    cause, verdict = judged(
        refused(lookup=XfrmLookup(errno.EPERM), place="ip_forward"), replace(BLOCK, dir="in")
    )
    assert (cause, verdict.confidence) == ("ipsec.policy-block", "certain")
    assert verdict.culprit == default_policy("out")


def test_the_default_policy_blocks_clear_text(refused: Callable[..., Drop], judged: Judged) -> None:
    cause, verdict = judged(refused("XfrmInNoPols"))
    assert (cause, verdict.confidence) == ("ipsec.no-policy", "certain")
    assert verdict.culprit == default_policy("in")


def test_the_default_policy_where_no_policy_is_asked(refused: Callable[..., Drop], judged: Judged) -> None:
    cause, verdict = judged(refused(place="ip_forward"))
    assert (cause, verdict.confidence) == ("ipsec.no-policy", "likely")
    assert verdict.culprit.dir == "fwd"
    assert judged(refused(), POLICY)[0] is None, "then the kernel would have asked"
    assert judged(refused(reason=None))[0] is None
    assert judged(refused(), missing=True)[0] is None


CHANGED = "the policies of this namespace changed between the drop and the reading"


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"policies": DROPPED_AT + 1}, f"probe km_policy_notify: {CHANGED}"),
        ({"policies": None}, f"probe km_policy_notify: it is unknown whether {CHANGED}"),
        ({"policies": DROPPED_AT, "SAs": DROPPED_AT + 1, "routes": DROPPED_AT + 1}, None),
    ],
)
@pytest.mark.parametrize("counter", ["XfrmInPolBlock", "XfrmInTmplMismatch"])
def test_a_policy_that_was_read_after_a_change_is_likely(
    refused: Callable[..., Drop],
    judged: Judged,
    counter: str,
    changes: dict[Change, int | None],
    doubt: str | None,
) -> None:
    policy = BLOCK if counter == "XfrmInPolBlock" else POLICY
    _, verdict = judged(refused(counter), policy, changes=changes)
    assert verdict.culprit.index == 8
    assert verdict.confidence == ("certain" if doubt is None else "likely")
    assert [line for line in texts(verdict) if CHANGED in line] == ([] if doubt is None else [doubt])


SINCE: dict[Change, int | None] = {"policies": DROPPED_AT + 1}


@pytest.mark.parametrize(
    ("today", "become"),
    [
        (BLOCK, None),
        (replace(BLOCK, priority=7), "2.0 ms after the drop: it has been replaced by src 10.9.0.1/32"),
        (replace(BLOCK, add_time=9), "2.0 ms after the drop: it has been replaced by src 10.9.0.1/32"),
        (replace(BLOCK, index=16), "2.0 ms after the drop: it is gone"),
        (None, "2.0 ms after the drop: it is gone"),
    ],
)
def test_the_policy_of_the_drop_is_named_whatever_changed_since(
    refused: Callable[..., Drop], judged: Judged, today: XfrmPolicy | None, become: str | None
) -> None:
    for drop in (
        refused("XfrmInPolBlock", search=XfrmSearch(BLOCK)),
        refused(lookup=XfrmLookup(errno.EPERM), place="ip_forward", search=XfrmSearch(BLOCK)),
    ):
        cause, verdict = judged(drop, *([today] if today else []), changes=SINCE)
        assert (cause, verdict.confidence) == ("ipsec.policy-block", "certain")
        assert (verdict.culprit.index, verdict.culprit.priority) == (8, 100)
        assert (
            "policy at the drop: src 10.9.0.1/32 dst 10.9.0.2/32 dir in action block priority 100"
            in texts(verdict)
        )
        assert CHANGED not in "".join(texts(verdict))
        fates = [fact.text for fact in verdict.evidence if fact.source == "netlink xfrm"]
        assert [fate.partition(" dst ")[0] for fate in fates] == ([become] if become else [])
        deletes = [fix.command for fix in verdict.fix if "policy delete" in (fix.command or "")]
        assert bool(deletes) == (become is None), "what is gone is not deleted"


def test_a_policy_of_a_single_socket_is_its_programs(refused: Callable[..., Drop], judged: Judged) -> None:
    own = replace(BLOCK, dir="socket out", index=12)
    drop = refused(lookup=XfrmLookup(errno.EPERM), place="ip_forward", search=XfrmSearch(own))
    _, verdict = judged(drop, own)
    assert verdict.culprit.dir == "socket out"
    assert "IP_XFRM_POLICY" in verdict.fix[0].text
    assert [fix.command for fix in verdict.fix if "policy" in (fix.command or "")] == [
        "ip netns exec b ip xfrm policy list"
    ]


def test_the_policy_of_the_drop_where_nothing_can_be_read(
    refused: Callable[..., Drop], judged: Judged
) -> None:
    cause, verdict = judged(refused("XfrmInTmplMismatch", search=XfrmSearch(POLICY)), missing=True)
    assert (cause, verdict.confidence, verdict.culprit.index) == ("ipsec.template-mismatch", "certain", 8)
    assert verdict.culprit.differs == ("sa",)


def test_the_kernel_found_no_policy(refused: Callable[..., Drop], judged: Judged) -> None:
    """One that would match has been added since: the default policy blocked it, and that is certain."""
    drop = refused(lookup=XfrmLookup(errno.EPERM), place="ip_forward", search=XfrmSearch())
    cause, verdict = judged(drop, replace(BLOCK, dir="out"), changes=SINCE)
    assert (cause, verdict.confidence) == ("ipsec.policy-block", "certain")
    assert verdict.culprit == default_policy("out")


def test_the_policy_of_the_drop_does_not_explain_it(refused: Callable[..., Drop], judged: Judged) -> None:
    """It came through several SAs, and whydrop knows the last."""
    _, verdict = judged(refused("XfrmInTmplMismatch", state=SA, search=XfrmSearch(POLICY)), changes=SINCE)
    assert (verdict.confidence, verdict.culprit) == ("certain", None)
    assert "the policy has changed since" not in "".join(texts(verdict))


def test_what_names_no_policy_stays_certain_after_a_change(
    refused: Callable[..., Drop], judged: Judged
) -> None:
    changes = {"policies": DROPPED_AT + 1}
    for drop in (refused("XfrmInPolBlock"), refused(lookup=XfrmLookup(errno.EPERM), place="ip_forward")):
        cause, verdict = judged(drop, changes=changes)
        assert (cause, verdict.confidence, verdict.culprit) == ("ipsec.policy-block", "certain", None)
        assert CHANGED in "".join(texts(verdict))


@pytest.mark.parametrize(
    "counter", ["XfrmInPolError", "XfrmInHdrError", "XfrmInBufferError", "XfrmSomethingNew"]
)
def test_other_refusals_stay_unknown(refused: Callable[..., Drop], judged: Judged, counter: str) -> None:
    assert judged(refused(counter, state=SA), POLICY)[0] is None


def test_an_sa_alone_is_no_refusal(refused: Callable[..., Drop], judged: Judged) -> None:
    """It came out of IPsec, and died of something else."""
    assert judged(refused(state=SA, reason="NOT_SPECIFIED"), POLICY)[0] is None
    assert judged(refused(state=SA, reason=None, place="ip_forward"), BLOCK)[0] is None


def test_the_key_of_a_vti_interface_is_the_mark(refused: Callable[..., Drop], judged: Judged) -> None:
    """vti_rcv_cb has the policies asked while xfrm_input has the packet."""
    drop = refused("XfrmInNoPols", state=replace(SA, mark=0x2A, mark_mask=0xFFFFFFFF), place="xfrm_input")
    vti = {2: IpsecInterface("vti", ikey=0x2A)}
    policy = replace(POLICY, mark=0x2B, mark_mask=0xFFFFFFFF, add_time=int(TIME) - 60)
    cause, verdict = judged(drop, policy, interfaces=vti)
    assert (cause, verdict.confidence) == ("ipsec.mark-mismatch", "certain")
    assert verdict.culprit.differs == ("mark",)


@pytest.mark.parametrize(("added", "confidence"), [(-60, "certain"), (0, "likely"), (1, None)])
def test_a_policy_proves_something_only_if_it_is_older_than_the_drop(
    refused: Callable[..., Drop], judged: Judged, added: int, confidence: str
) -> None:
    policy = replace(POLICY, if_id=0x2A, add_time=int(TIME) + added)
    cause, verdict = judged(refused("XfrmInNoPols", state=replace(SA, if_id=0x2A)), policy)
    assert cause == ("ipsec.interface-mismatch" if confidence else "ipsec.no-policy")
    assert confidence is None or verdict.confidence == confidence
