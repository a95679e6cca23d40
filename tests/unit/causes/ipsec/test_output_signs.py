"""What the signs of the IPsec output path say, and when they keep silent."""

import errno
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.model.drop import Drop, Event, Frame, Packet, Verdict, Where
from dropwatch.model.ipsec import (
    GoneState,
    Lifetime,
    Selector,
    XfrmLookup,
    XfrmNote,
    XfrmPolicy,
    XfrmState,
    XfrmTemplate,
)
from tests.unit.causes.verdicts import Judged
from tests.unit.told_host import ToldHost

A, B = ip_address("10.9.0.1"), ip_address("10.9.0.2")
TIME = 1795205701.5
DROPPED_AT, NETNS = 83521935614, 4026532234
LIFE = Lifetime(add_time=int(TIME) - 60, hard_packets=20, packets=20)
SA = XfrmState(4, A, B, "esp", 0x1001, "tunnel", reqid=1, state="valid", lifetime=LIFE)
POLICY = XfrmPolicy(
    Selector(family=4, daddr=B, prefixlen_d=32),
    "out",
    "allow",
    100,
    9,
    templates=(XfrmTemplate("esp", "tunnel", A, B, reqid=1),),
)
ENCRYPTING = ["xfrm_output_resume", "xfrm_output_one", "xfrm_output"]
DF, NO_DF = bytes((0x45, 0, 0, 0, 0, 0, 0x40)), bytes((0x45, 0, 0, 0, 0, 0, 0))


@pytest.fixture
def leaving(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> Callable[..., Drop]:
    """A packet on its way out; `note` are fields of its XfrmNote."""

    def build(
        place: str = "xfrm_output_resume",
        reason: str | None = None,
        note: dict[str, Any] | None = None,
        stack: tuple[str, ...] = (),
        raw: bytes = NO_DF,
        source: str = "kfree_skb",
        **packet: Any,
    ) -> Drop:
        frames = tuple(Frame(name, 1, None, 0) for name in (place, *stack))
        xfrm = XfrmNote(**note) if note is not None else None
        return make_drop(
            make_packet(**packet),
            make_event(xfrm=xfrm, packet=raw, source=source),
            time=TIME,
            where=Where(frames[0], "ipsec", "out"),
            stack=frames,
            reason=reason,
        )

    return build


@pytest.fixture
def judged() -> Judged:
    def judge(
        drop: Drop,
        *policies: XfrmPolicy,
        states: tuple[XfrmState, ...] = (),
        gone: tuple[GoneState, ...] = (),
        interfaces: dict[int, int | IpsecInterface] | None = None,
        mtu: int | None = None,
    ) -> Any:
        found = {
            index: IpsecInterface("xfrm", one) if isinstance(one, int) else one
            for index, one in (interfaces or {}).items()
        }
        host = ToldHost(
            xfrm=XfrmConfig(states, policies, DROPPED_AT + 2_000_000),
            xfrm_interfaces=found,
            mtu=mtu,
            gone_states=tuple(gone),
        )
        cause, verdict = diagnose(drop, host)
        return (cause.id if cause is not None else None), verdict

    return judge


def through(state: XfrmState = SA, **more: Any) -> Any:
    return {"state": state, "outbound": True} | more


def texts(verdict: Verdict) -> list[str]:
    return [f"{fact.source}: {fact.text}" for fact in verdict.evidence]


@pytest.mark.parametrize("place", ENCRYPTING)
def test_an_sa_that_ran_out(leaving: Callable[..., Drop], judged: Judged, place: str) -> None:
    cause, verdict = judged(leaving(place, note=through(replace(SA, state="expired"))))
    assert (cause, verdict.confidence) == ("ipsec.out-expired", "certain")
    assert verdict.culprit.spi == "0x00001001"
    assert "SA at the drop: 20 packets, limit 20" in texts(verdict)


def test_an_sa_that_ran_out_and_was_deleted_at_once(leaving: Callable[..., Drop], judged: Judged) -> None:
    assert judged(leaving(note=through(replace(SA, state="dead"))))[0] == "ipsec.out-expired"


@pytest.mark.parametrize("state", ["acq", "dead", "error"])
def test_an_sa_that_is_not_valid(leaving: Callable[..., Drop], judged: Judged, state: str) -> None:
    cause, verdict = judged(leaving(note=through(replace(SA, state=state, lifetime=Lifetime()))))
    assert (cause, verdict.confidence) == ("ipsec.state-invalid", "certain")
    assert f"not valid but {state}" in texts(verdict)[0]


def test_sequence_numbers_used_up(leaving: Callable[..., Drop], judged: Judged) -> None:
    state = replace(SA, oseq=0xFFFFFFFF, lifetime=Lifetime())
    note = through(state, audit=frozenset({"overflow"}))
    cause, verdict = judged(leaving(note=note))
    assert (cause, verdict.confidence) == ("ipsec.out-seq-overflow", "certain")
    assert verdict.culprit.oseq == 0xFFFFFFFF
    cause, verdict = judged(leaving(note=through(state)))
    assert (cause, verdict.confidence) == ("ipsec.out-seq-overflow", "likely"), (
        "without the kernel's own word"
    )
    assert judged(leaving(note=through(replace(state, oseq=7))))[0] is None
    assert judged(leaving(note=through(replace(state, esn=True))))[0] is None


@pytest.mark.parametrize("place", ["nf_hook_slow", "ip_finish_output2", "__dev_queue_xmit", "xfrm_input"])
def test_another_place_is_another_cause(leaving: Callable[..., Drop], judged: Judged, place: str) -> None:
    """The SA that it was to leave through has nothing to do with it."""
    for state in ("expired", "dead", "valid"):
        note = through(replace(SA, state=state, oseq=0xFFFFFFFF), audit=frozenset({"overflow"}), mtu=100)
        cause, _ = judged(leaving(place, note=note, raw=DF, length=1400))
        assert cause is None or not cause.startswith("ipsec."), (state, cause)


def test_an_sa_that_it_came_through_is_not_the_one_it_leaves_through(
    leaving: Callable[..., Drop], judged: Judged
) -> None:
    assert judged(leaving(note={"state": replace(SA, state="expired")}))[0] is None


@pytest.mark.parametrize(
    ("place", "reason"), [("ip_forward", "PKT_TOO_BIG"), ("ip_forward", None), ("xfrm_output_resume", None)]
)
def test_too_long_for_its_way(
    leaving: Callable[..., Drop], judged: Judged, place: str, reason: str | None
) -> None:
    cause, verdict = judged(leaving(place, reason, through(mtu=1400), raw=DF, length=1401))
    assert (cause, verdict.confidence) == ("ipsec.out-mtu", "certain")
    assert (verdict.culprit.mtu, verdict.culprit.length) == (1400, 1401)
    assert "packet / way through the SA: length 1401 / 1400 at most  <- differs" in texts(verdict)


def test_what_fits_or_may_be_cut_is_not_too_long(leaving: Callable[..., Drop], judged: Judged) -> None:
    assert judged(leaving(note=through(mtu=1400), raw=DF, length=1400))[0] is None
    assert judged(leaving(note=through(mtu=1400), raw=NO_DF, length=1500))[0] is None
    assert judged(leaving(note=through(), raw=DF, length=1500))[0] is None
    assert (
        judged(leaving("ip_forward", "NETFILTER_DROP", through(mtu=1400), raw=DF, length=1500))[0]
        != "ipsec.out-mtu"
    )


def test_ipv6_is_never_cut_and_takes_1280_bytes_everywhere(
    leaving: Callable[..., Drop], judged: Judged
) -> None:
    six = {"family": 6, "saddr": "fd00::1", "daddr": "fd00::2"}
    assert judged(leaving(note=through(mtu=1400), length=1401, **six))[0] == "ipsec.out-mtu"
    assert judged(leaving(note=through(mtu=1000), length=1280, **six))[0] is None


def test_tcp_may_still_be_many_packets_in_one(leaving: Callable[..., Drop], judged: Judged) -> None:
    drop = leaving(note=through(mtu=1400), raw=DF, length=14000, proto="tcp")
    assert judged(drop)[1].confidence == "likely"


ESP = {"proto": "esp", "spi": 0x1001, "sport": None, "dport": None}


@pytest.mark.parametrize("place", ["ip_fragment", "ip6_fragment"])
def test_too_long_after_protection(leaving: Callable[..., Drop], judged: Judged, place: str) -> None:
    """Transport mode: the packet is measured when ESP has been added, and its route is a plain one."""
    drop = leaving(place, raw=DF, length=1532, **ESP)
    cause, verdict = judged(drop, states=(SA,), mtu=1500)
    assert (cause, verdict.confidence) == ("ipsec.out-mtu", "certain")
    assert verdict.culprit.spi == "0x00001001"
    assert "packet / interface vb: length 1532 / 1500 at most  <- differs" in texts(verdict)
    assert judged(drop, states=(SA,), mtu=9000)[1].confidence == "likely", "the way beyond takes less"


def test_esp_of_others_is_not_too_long_because_of_ipsec_here(
    leaving: Callable[..., Drop], judged: Judged
) -> None:
    for states in ((), (replace(SA, saddr=B),), (replace(SA, spi=0x1002),)):
        cause, _ = judged(leaving("ip_fragment", raw=DF, length=1532, **ESP), states=states, mtu=1500)
        assert cause != "ipsec.out-mtu"
    cause, _ = judged(leaving("ip_fragment", raw=NO_DF, length=1532, **ESP), states=(SA,), mtu=1500)
    assert cause != "ipsec.out-mtu"


def test_a_packet_too_long_is_not_blamed_on_the_sas_state(
    leaving: Callable[..., Drop], judged: Judged
) -> None:
    drop = leaving(note=through(replace(SA, state="dead"), mtu=1400), raw=DF, length=1401)
    assert judged(drop)[0] == "ipsec.out-mtu"


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
    assert "netlink xfrm: no SA comes near what this policy asks for" in texts(verdict)


@no_sa
def test_the_nearest_sa_is_compared_with_the_template(
    leaving: Callable[..., Drop], judged: Judged, fields: dict[str, Any]
) -> None:
    other = replace(SA, reqid=2)
    _, verdict = judged(leaving(**fields), POLICY, states=(other,))
    assert verdict.culprit.differs == ("reqid",)
    assert "SA / template: reqid 2 / 1  <- differs" in texts(verdict)


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
