"""Functions at hooks whose answers no probe sees: named when one is left, listed when several are."""

from collections.abc import Callable

import pytest

from dropwatch.model import culprits
from dropwatch.model.drop import Drop
from dropwatch.model.netfilter import ConntrackNote, FunctionsAtHook, HookFunction, HookNote
from tests.unit.causes.verdicts import Judged, said
from tests.unit.told_host import ToldHost

INPUT = ("nf_hook_slow", "ip_local_deliver", "ip_rcv")
OURS = HookFunction("lb_in", "lb")
OTHER = HookFunction("shape_in", "shape")
RULES = HookFunction("nft_do_chain_ipv4", "nf_tables", watched=True)
NAT = HookFunction("nf_nat_ipv4_local_in", "nf_nat")
LABELS = HookFunction("apparmor_ip_postroute")


def at(*functions: HookFunction, hook: int = 1, family: str = "ip", complete: bool = True) -> FunctionsAtHook:
    return FunctionsAtHook(family, hook, functions, complete)


def test_the_only_one(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    drop = refused(INPUT, at_hooks=(at(OTHER, hook=0), at(RULES, OURS, NAT), at(OTHER, hook=4)))
    cause, verdict = judged(drop, firewall())
    assert (cause, verdict.confidence) == ("netfilter.hook-other", "likely")
    assert verdict.title == "lb_in drops it at a netfilter hook"
    assert (verdict.culprit.kind, verdict.culprit.text) == ("hook-function", "lb_in [lb]")
    assert verdict.culprit == culprits.HookFunction("lb_in [lb]", "lb_in", "lb", "ip input")
    assert "lb_in [lb] is the only function at hook ip input" in said(verdict)
    assert "also at the hook: nft_do_chain_ipv4 [nf_tables], nf_nat_ipv4_local_in [nf_nat];" in said(verdict)


def test_one_that_whydrop_usually_watches(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    drop = refused(INPUT, None, at_hooks=(at(HookFunction("ip_vs_in_hook", "ip_vs")),))
    cause, verdict = judged(drop, firewall())
    assert (cause, verdict.confidence) == ("netfilter.hook-other", "likely")
    assert verdict.title == "IPVS drops it at a netfilter hook"
    assert verdict.fix[0].command == "ip netns exec b ipvsadm -Ln --stats"


def test_several_are_listed(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    cause, verdict = judged(refused(INPUT, at_hooks=(at(OURS, RULES, OTHER),)), firewall())
    assert (cause, verdict.confidence, verdict.culprit) == ("netfilter.hook-other", "likely", None)
    assert "no probe sees their verdicts: lb_in [lb], shape_in [shape]" in said(verdict)


@pytest.mark.parametrize(
    ("stack", "at_hooks", "expected"),
    [
        (("nf_hook_slow", "NF_HOOK.constprop.0", "ip_local_deliver"), (at(OTHER, hook=0), at(OURS)), "lb_in"),
        (("nf_hook_slow", "nf_hook_slow_list", "ip_sublist_rcv"), (at(OURS, hook=0), at(OTHER)), "lb_in"),
        (("nf_hook_slow", "some_tunnel_rcv"), (at(OURS, hook=0), at(OURS)), "lb_in"),
        (("nf_hook_slow", "some_tunnel_rcv"), (at(OURS, hook=0), at(OTHER)), None),
        (("nf_hook_slow", "arp_rcv"), (at(OURS, family="arp", hook=0), at(OTHER, family="arp")), "lb_in"),
        (
            ("nf_hook_slow", "br_forward_finish"),
            (at(OTHER, hook=4), at(OURS, family="bridge", hook=4)),
            "lb_in",
        ),
        (("nf_hook_slow", "__br_forward"), (at(OURS, family="bridge", hook=2),), "lb_in"),
    ],
)
def test_the_caller_tells_the_hook(
    refused: Callable[..., Drop],
    firewall: Callable[..., ToldHost],
    judged: Judged,
    stack: tuple[str, ...],
    at_hooks: tuple[FunctionsAtHook, ...],
    expected: str | None,
) -> None:
    cause, verdict = judged(refused(stack, at_hooks=at_hooks), firewall())
    assert cause == "netfilter.hook-other"
    assert (verdict.culprit and verdict.culprit.function) == expected


@pytest.mark.parametrize(
    ("stack", "at_hooks"),
    [
        (INPUT, ()),
        (INPUT, (at(RULES, NAT),)),  # an answer that a probe missed, of nobody knows which
        (INPUT, (at(OURS, HookFunction("nft_do_chain_ipv4")),)),  # nf_tables has no probe
        (INPUT, (at(HookFunction("ipv4_synproxy_hook")),)),
        (INPUT, (at(OURS, HookFunction(None)),)),
        (INPUT, (at(OURS, complete=False),)),
        (("nf_hook_slow", "__netif_receive_skb_core"), (at(OURS),)),
        (("nf_hook_slow", "ip_output"), (at(HookFunction("nf_confirm", None, True), LABELS, hook=4),)),
        (("ip_rcv", "__netif_receive_skb"), (at(OURS, hook=0),)),
    ],
)
def test_nothing_is_said(
    refused: Callable[..., Drop],
    firewall: Callable[..., ToldHost],
    judged: Judged,
    stack: tuple[str, ...],
    at_hooks: tuple[FunctionsAtHook, ...],
) -> None:
    cause, _ = judged(refused(stack, at_hooks=at_hooks), firewall())
    assert cause != "netfilter.hook-other"


def test_a_security_module_alone(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    cause, verdict = judged(
        refused(("nf_hook_slow", "ip_output"), at_hooks=(at(LABELS, hook=4),)), firewall()
    )
    assert (cause, verdict.culprit.text) == ("netfilter.hook-other", "apparmor_ip_postroute")
    assert "it belongs to AppArmor" in said(verdict)


def test_what_a_probe_saw_comes_first(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    _, verdict = judged(refused(INPUT, hook=HookNote("ip_vs_in_hook"), at_hooks=(at(OURS),)), firewall())
    assert verdict.confidence == "certain"
    conntrack = ConntrackNote("__nf_conntrack_confirm")
    cause, _ = judged(refused(INPUT, conntrack=conntrack, at_hooks=(at(OURS),)), firewall())
    assert cause == "netfilter.conntrack-clash"
