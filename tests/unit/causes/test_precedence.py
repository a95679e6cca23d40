"""A family is asked once about a drop, and asks the host once for what it needs."""

import errno
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.cause import Cause
from dropwatch.causes.diagnose import diagnose
from dropwatch.causes.family import Family, Judgement, in_order
from dropwatch.causes.precedence import FAMILIES
from dropwatch.host.host import Host
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.host.listed_rule import ListedRule
from dropwatch.model.culprits import EbtablesRule, IptablesRule, NftRule
from dropwatch.model.drop import Drop, Frame, Verdict, Where
from dropwatch.model.ipsec import (
    Selector,
    XfrmCheck,
    XfrmLookup,
    XfrmNote,
    XfrmPolicy,
    XfrmState,
    XfrmTemplate,
)
from dropwatch.model.netfilter import EbtNote, NftChain, NftNote, QueueNote, XtNote
from tests.unit.told_host import ToldHost

A, B = ip_address("10.9.0.1"), ip_address("10.9.0.2")
NFT = NftNote(
    "rule", "inet", "filter", 2, NftChain(1, "input"), 1, 0, "accept", None, 7, "nft_immediate_eval"
)
XT = XtNote("ip", "filter", 1, 12, 2000, 1800, (640, 800), False, None, (152,), 0)
LISTED = {
    "nft_rule": ListedRule(
        NftRule("udp dport 5000 drop", "inet", "filter", "input", 7), "nft", "nft list ruleset"
    ),
    "xt_rules": (
        ListedRule(
            IptablesRule("-A INPUT -j DROP", "ip", "filter", "INPUT", 2), "iptables-legacy", "iptables-save"
        ),
    )
    * 2,
    "ebt_rule": ListedRule(
        EbtablesRule("-A FORWARD -j DROP", "bridge", "filter", "FORWARD", 4), "ebtables", "ebtables -L"
    ),
}
TEMPLATE = XfrmTemplate("esp", "tunnel", A, B, reqid=1)
POLICY = XfrmPolicy(Selector(4, daddr=B, prefixlen_d=32), "out", "allow", 100, 9, templates=(TEMPLATE,))
SA = XfrmState(4, A, B, "esp", 0x1001, "tunnel", reqid=2, state="valid")


@pytest.mark.parametrize(
    ("notes", "place", "question", "cause_id"),
    [
        ({"nft": NFT}, "nf_hook_slow", "nft_rule", "netfilter.nft-rule"),
        (
            {"nft": replace(NFT, expression="nft_reject_inet_eval")},
            "nf_hook_slow",
            "nft_rule",
            "netfilter.nft-reject",
        ),
        (
            {"nft": replace(NFT, expression="nft_synproxy_eval")},
            "nf_hook_slow",
            "nft_rule",
            "netfilter.synproxy",
        ),
        (
            {"nft": replace(NFT, expression="nft_queue_eval"), "queue": QueueNote(5, 3)},
            "nf_queue",
            "nft_rule",
            "netfilter.queue-unheard",
        ),
        ({"xt": XT}, "nf_hook_slow", "xt_rules", "netfilter.iptables-rule"),
        ({"ebt": EbtNote("filter", 2, 9, (3, 7), 0)}, "nf_hook_slow", "ebt_rule", "netfilter.ebtables-rule"),
    ],
)
def test_a_drop_by_a_rule_asks_for_its_rule_once(
    refused: Callable[..., Drop],
    firewall: Callable[..., ToldHost],
    notes: dict[str, Any],
    place: str,
    question: str,
    cause_id: str,
) -> None:
    host = firewall(LISTED[question])
    cause, _ = diagnose(refused((place,), **notes), host)
    assert cause is not None
    assert cause.id == cause_id
    asked = {name: host.asked[name] for name in LISTED}
    assert asked == {**dict.fromkeys(LISTED, 0), question: 1}
    assert host.asked["firewalls"] <= 1


@pytest.mark.parametrize(
    ("note", "place", "interfaces", "cause_id"),
    [
        (
            XfrmNote(frozenset({"notfound"}), ("XfrmInNoStates",), spi=0x1001),
            "xfrm_input",
            1,
            "ipsec.no-state",
        ),
        (
            XfrmNote(frozenset(), (), state=SA, check=XfrmCheck("in", ("XfrmInNoPols",))),
            "udp_queue_rcv_one_skb",
            1,
            "ipsec.no-policy",
        ),
        (
            XfrmNote(frozenset(), (), lookup=XfrmLookup(errno.EAGAIN)),
            "ip_route_output_flow",
            0,
            "ipsec.out-no-state",
        ),
        (None, "xfrmi_xmit2", 1, "ipsec.no-policy"),
    ],
)
def test_a_drop_by_ipsec_asks_for_its_configuration_once(
    make_drop: Callable[..., Drop],
    make_event: Callable[..., Any],
    note: XfrmNote | None,
    place: str,
    interfaces: int,
    cause_id: str,
) -> None:
    frame = Frame(place, 1, None, 0)
    drop = make_drop(event=make_event(xfrm=note), where=Where(frame, "ipsec", "in"), stack=(frame,))
    policies = (POLICY,) if cause_id == "ipsec.out-no-state" else ()
    host = ToldHost(
        xfrm=XfrmConfig((SA,), policies, drop.event.monotonic_ns + 1),
        xfrm_interfaces={2: IpsecInterface("xfrm", 7)},
    )
    cause, _ = diagnose(drop, host)
    assert cause is not None
    assert cause.id == cause_id
    assert (host.asked["xfrm"], host.asked["xfrm_interfaces"]) == (1, interfaces)


def test_each_family_is_asked_once_until_one_knows(
    make_drop: Callable[..., Drop], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def noted(family: Family) -> Family:
        def judge(drop: Drop, host: Host) -> Judgement | None:
            asked.append(family.name)
            return family.evidence(drop, host)

        return replace(family, evidence=judge)

    monkeypatch.setattr("dropwatch.causes.diagnose.FAMILIES", tuple(map(noted, FAMILIES)))
    names = [family.name for family in FAMILIES]
    diagnose(make_drop(), ToldHost())
    assert asked == names
    asked.clear()
    diagnose(make_drop(reason="IP_RPFILTER"), ToldHost())
    assert asked == names[: names.index("routing") + 1]


def test_the_first_sign_decides_and_a_reason_only_where_none_does(make_drop: Callable[..., Drop]) -> None:
    causes = tuple(
        Cause(f"x.{name}", "t", "w", "c", (), reasons)
        for name, reasons in (("a", ("XDP",)), ("b", ()), ("c", ()))
    )
    first, second = Verdict("likely"), Verdict("certain")
    by_reason = Family("x", causes, in_order(("x.b", lambda drop, host: None)))
    by_sign = replace(
        by_reason, evidence=in_order(("x.b", lambda drop, host: first), ("x.c", lambda drop, host: second))
    )
    drop = make_drop(reason="XDP")
    assert by_sign.judge(drop, ToldHost()) == ("x.b", first)
    settled = by_reason.judge(drop, ToldHost())
    assert settled is not None
    assert (settled[0], settled[1].confidence) == ("x.a", "certain")
    assert by_reason.judge(make_drop(reason="TC_INGRESS"), ToldHost()) is None
    assert by_reason.judge(make_drop(reason=None), ToldHost()) is None
