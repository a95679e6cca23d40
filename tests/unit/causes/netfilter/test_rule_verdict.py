"""Which rule a drop is blamed on, how sure, and what is said beside."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.route import Route
from dropwatch.model.culprits import ChainPolicy, EbtablesRule, IptablesRule, NftRule
from dropwatch.model.drop import Drop, Interface
from dropwatch.model.netfilter import ConntrackNote, EbtNote, HookNote, NftChain, NftNote, XtNote
from tests.unit.causes.verdicts import Judged, commands, said
from tests.unit.told_host import ToldHost

DROP_NS = 83521935614
INPUT, UU = NftChain(1, "input"), NftChain(5, "uu")
NFT = NftNote("rule", "inet", "filter", 2, INPUT, 1, 0, "accept", UU, 7, "nft_immediate_eval", (UU,))
NFT_POLICY = replace(NFT, verdict="policy", policy="drop", chain=None, rule=None, expression=None, visited=())
NFT_RULE = ListedRule(
    NftRule("udp dport 5000 drop", "inet", "filter", "uu", 7),
    "nft",
    "nft -a list chain inet filter uu",
    read_at_ns=DROP_NS + 12_000_000,
)
XT = XtNote("ip", "filter", 1, 12, 2000, 1800, (640,), False, None, (152,), 0)
XT_RULE = ListedRule(
    IptablesRule("-A UU -p udp -m udp --dport 5000 -j DROP", "ip", "filter", "UU", 2),
    "iptables-legacy",
    "iptables-legacy -t filter -vnL UU --line-numbers",
    ("INPUT rule 1 jumps to UU",),
)
XT_POLICY = ListedRule(
    ChainPolicy("-P INPUT DROP", "ip", "filter", "INPUT"),
    "iptables-legacy",
    "iptables-legacy -t filter -vnL INPUT --line-numbers",
)
EBT = EbtNote("filter", 2, 9, (3, 7), 0)
EBT_RULE = ListedRule(
    EbtablesRule("-A FORWARD -p IPv4 --ip-dport 5000 -j DROP", "bridge", "filter", "FORWARD", 4),
    "ebtables-legacy",
    "ebtables-legacy -t filter -L FORWARD --Ln --Lc",
)


def nft_text(text: str | None, **known: Any) -> ListedRule:
    return replace(NFT_RULE, rule=replace(NFT_RULE.rule, text=text or "", **known))


def xt_text(text: str | None, **known: Any) -> ListedRule:
    return replace(XT_RULE, rule=replace(XT_RULE.rule, text=text or "", **known))


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("nft_do_chain", "NETFILTER_DROP"),
        ("nf_hook_slow", None),
        ("br_handle_frame", "NOT_SPECIFIED"),
        ("nf_hook_slow.cold", "NETFILTER_DROP"),
        ("nf_reinject", "NOT_SPECIFIED"),
    ],
)
def test_an_nft_rule_is_certain_with_its_listing(
    refused: Callable[..., Drop],
    firewall: Callable[..., ToldHost],
    judged: Judged,
    place: str,
    reason: str | None,
) -> None:
    cause, verdict = judged(refused((place, "ip_local_deliver"), reason, nft=NFT), firewall(NFT_RULE))
    assert (cause, verdict.confidence) == ("netfilter.nft-rule", "certain")
    assert verdict.culprit.kind == "nft-rule"
    assert verdict.culprit.text == "udp dport 5000 drop"
    assert verdict.culprit == NFT_RULE.rule
    assert "probe nft_immediate_eval: verdict drop for this packet: rule handle 7 in chain uu" in said(
        verdict
    )
    assert "base chain input (hook input, priority 0, policy accept)" in said(verdict)
    assert "after the drop: udp dport 5000 drop # handle 7" in said(verdict)
    assert commands(verdict) == [
        "ip netns exec b nft insert rule inet filter uu position 7 "
        "ip saddr 10.9.0.1 ip daddr 10.9.0.2 udp dport 5000 accept",
        "ip netns exec b nft -a list chain inet filter uu",
        "ip netns exec b nft delete rule inet filter uu handle 7",
    ]


def test_what_died_elsewhere_was_not_killed_by_a_rule(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    assert judged(refused(("udp_queue_rcv_one_skb",), "SOCKET_RCVBUFF", nft=NFT), firewall(NFT_RULE))[0] != (
        "netfilter.nft-rule"
    )
    assert judged(refused(("nf_queue",), None, nft=NFT), firewall(NFT_RULE))[0] != "netfilter.nft-rule"


def test_a_rule_that_is_gone_keeps_handle_and_chain(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    gone = replace(nft_text(None), gone=True, problem="the rule was deleted or replaced since")
    cause, verdict = judged(refused(nft=NFT), firewall(gone))
    assert (cause, verdict.confidence) == ("netfilter.nft-rule", "certain")
    assert verdict.culprit.text == "rule handle 7 in chain uu of table inet filter"
    assert "deleted or replaced since" in said(verdict)
    assert commands(verdict) == ["ip netns exec b nft -a list chain inet filter uu"]


def test_a_namespace_that_is_gone_still_gives_the_handle(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    cause, verdict = judged(refused(nft=NFT), firewall(None))
    assert (cause, verdict.confidence) == ("netfilter.nft-rule", "certain")
    assert verdict.culprit.text == "rule handle 7 in chain uu of table inet filter"
    assert "could not be read" in said(verdict)


def test_the_text_of_another_handle_is_never_shown(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    other = nft_text(NFT_RULE.text, handle=8)
    _, verdict = judged(refused(nft=NFT), firewall(other))
    assert verdict.culprit.text == "rule handle 7 in chain uu of table inet filter"
    assert "udp dport 5000 drop" not in said(verdict)


def test_a_changed_table_is_told(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    _, verdict = judged(refused(nft=NFT), firewall(replace(NFT_RULE, changed=True)))
    assert verdict.culprit.text == "udp dport 5000 drop"
    assert "the table has changed since the drop, this rule has not" in said(verdict)


@pytest.mark.parametrize(
    ("expression", "text", "cause"),
    [
        ("nft_reject_inet_eval", "reject with icmpx admin-prohibited", "netfilter.nft-reject"),
        ("nft_reject_ipv4_eval", "reject", "netfilter.nft-reject"),
        (
            "nft_target_eval_xt",
            "-A INPUT -p udp -j REJECT --reject-with icmp-port-unreachable",
            "netfilter.nft-reject",
        ),
        ("nft_target_eval_xt", '-A INPUT -m comment --comment "REJECT" -j TPROXY', "netfilter.nft-rule"),
        ("nft_synproxy_ipv4_eval", "synproxy mss 1460 wscale 7", "netfilter.synproxy"),
        ("nft_lookup_eval", "udp dport vmap { 5000 : drop }", "netfilter.nft-rule"),
    ],
)
def test_the_expression_tells_the_kind_of_drop(
    refused: Callable[..., Drop],
    firewall: Callable[..., ToldHost],
    judged: Judged,
    expression: str,
    text: str,
    cause: str,
) -> None:
    found, verdict = judged(refused(nft=replace(NFT, expression=expression)), firewall(nft_text(text)))
    assert (found, verdict.confidence) == (cause, "certain")
    assert f"probe {expression}" in said(verdict)


def test_a_rule_that_could_not_be_placed_is_likely_and_no_object(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    lost = replace(NFT, verdict="unplaced", rule=None, chain=None)
    cause, verdict = judged(refused(nft=lost), firewall(NFT_RULE))
    assert (cause, verdict.confidence, verdict.culprit) == ("netfilter.nft-rule", "likely", None)
    assert "inet filter" in verdict.title


def test_the_policy_of_a_chain(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    listed = ListedRule(
        ChainPolicy(
            "type filter hook input priority filter; policy drop;", "inet", "filter", "input", "drop"
        ),
        "nft",
        "nft -a list chain inet filter input",
    )
    cause, verdict = judged(refused(nft=NFT_POLICY), firewall(listed))
    assert (cause, verdict.confidence) == ("netfilter.chain-policy", "certain")
    assert verdict.culprit.kind == "chain-policy"
    assert "the policy drop of chain input in table inet filter applied" in said(verdict)
    assert str(commands(verdict)[0]).startswith(
        "ip netns exec b nft add rule inet filter input ip saddr 10.9.0.1"
    )


def test_a_policy_of_accept_kills_nobody(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    accepting = replace(NFT_POLICY, policy="accept")
    cause, verdict = judged(refused(nft=accepting), firewall(None))
    assert (cause, verdict.confidence, verdict.culprit) == ("netfilter.nft-rule", "likely", None)


def test_a_broken_header_makes_the_policy_of_iptables_nft_likely_only(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    listed = replace(XT_POLICY, tool="iptables-nft")
    drop = refused(nft=NFT_POLICY, header_error="cut short in the UDP header")
    assert judged(drop, firewall(listed))[1].confidence == "likely"
    assert judged(drop, firewall(replace(listed, tool="nft")))[1].confidence == "certain"


def test_conntrack_contradicts_a_rule(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    drop = refused(nft=NFT, conntrack=ConntrackNote(refused="nf_conntrack_in"))
    assert judged(drop, firewall(NFT_RULE))[1].confidence == "likely"


def test_rules_of_iptables_nft_are_changed_with_their_own_tool(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    listed = replace(
        XT_RULE,
        rule=NftRule("-A INPUT -p udp -j DROP", "ip", "filter", "INPUT", 7, number=3),
        tool="iptables-nft",
    )
    cause, verdict = judged(refused(nft=NFT), firewall(listed))
    assert cause == "netfilter.nft-rule"
    assert verdict.culprit.text == "-A INPUT -p udp -j DROP"
    assert verdict.culprit.number == 3
    assert "# rule 3 of INPUT, handle 7" in said(verdict)
    assert "INPUT rule 1 jumps to UU" in said(verdict)
    assert commands(verdict)[-1] == "ip netns exec b iptables-nft -t filter -D INPUT -p udp -j DROP"


def test_a_legacy_rule(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    cause, verdict = judged(refused(xt=XT), firewall((XT_RULE,)))
    assert (cause, verdict.confidence) == ("netfilter.iptables-rule", "certain")
    assert verdict.culprit.text == "-A UU -p udp -m udp --dport 5000 -j DROP"
    assert verdict.culprit == XT_RULE.rule
    rose = (
        "the counter of the rule at byte 640 rose, and no other of those that drop: table filter, hook INPUT"
    )
    assert rose in said(verdict)
    assert (
        "ip netns exec b iptables-legacy -t filter -I UU 2 -s 10.9.0.1 -d 10.9.0.2 -p udp --dport 5000 -j ACCEPT"
        in (commands(verdict))
    )


@pytest.mark.parametrize(
    ("note", "listed", "cause", "confidence"),
    [
        (replace(XT, exact=True, target="reject_tg"), XT_RULE, "netfilter.iptables-reject", "certain"),
        (replace(XT, exact=True, target="reject_tg6"), XT_RULE, "netfilter.iptables-reject", "certain"),
        (replace(XT, exact=True, target="synproxy_tg4"), XT_RULE, "netfilter.synproxy", "certain"),
        (replace(XT, candidates=(1800,)), XT_POLICY, "netfilter.chain-policy", "certain"),
        (replace(XT, family="arp"), XT_RULE, "netfilter.arptables-rule", "certain"),
        (replace(XT, accounted=False), XT_RULE, "netfilter.iptables-rule", "likely"),
        (XT, replace(xt_text(None), gone=True), "netfilter.iptables-rule", "likely"),
        (XT, replace(XT_RULE, gone=True), "netfilter.iptables-rule", "certain"),
        (XT, replace(xt_text(None), problem="not installed"), "netfilter.iptables-rule", "certain"),
    ],
)
def test_what_a_legacy_table_tells(
    refused: Callable[..., Drop],
    firewall: Callable[..., ToldHost],
    judged: Judged,
    note: dict[str, Any],
    listed: Any,
    cause: str,
    confidence: str,
) -> None:
    found, verdict = judged(refused(xt=note), firewall((listed,)))
    assert (found, verdict.confidence) == (cause, confidence)
    assert verdict.culprit is not None


def test_a_legacy_rule_that_was_read_before_it_went_keeps_its_text(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    _, verdict = judged(refused(xt=XT), firewall((replace(XT_RULE, gone=True),)))
    assert verdict.culprit.text == XT_RULE.text
    assert "at the drop it was: -A UU" in said(verdict)
    assert len(verdict.fix) == 1


def test_no_candidate_is_no_rule(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    assert judged(refused(xt=replace(XT, candidates=())), firewall(()))[0] is None


def test_one_of_several_candidates_when_only_one_can_be_reached(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    several = replace(XT, candidates=(640, 1200))
    assert judged(refused(xt=several), firewall((XT_RULE,)))[1].confidence == "certain"


def test_of_several_candidates_the_one_that_fits_the_packet(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    """Packets that were passed over moved the other counter: this packet's port cannot have."""
    other = xt_text("-A UU -p udp -m udp --dport 53 -j DROP")
    for accounted, confidence in ((True, "certain"), (False, "likely")):
        several = replace(XT, candidates=(300, 640), accounted=accounted)
        cause, verdict = judged(refused(xt=several), firewall((other, XT_RULE)))
        assert (cause, verdict.confidence) == ("netfilter.iptables-rule", confidence)
        assert verdict.culprit.text == XT_RULE.text
        assert "not for this packet: -A UU -p udp -m udp --dport 53 -j DROP" in said(verdict)


def test_of_candidates_that_look_alike_none_is_named(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    cause, verdict = judged(refused(xt=replace(XT, candidates=(300, 640))), firewall((XT_RULE, XT_RULE)))
    assert (cause, verdict.confidence, verdict.culprit) == ("netfilter.iptables-rule", "likely", None)
    assert verdict.title == "one of 2 rules or policies of table filter drops it"


def test_an_ebtables_rule(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    drop = refused(("br_handle_frame",), "NOT_SPECIFIED", ebt=EBT)
    cause, verdict = judged(drop, firewall(EBT_RULE))
    assert (cause, verdict.confidence) == ("netfilter.ebtables-rule", "certain")
    assert verdict.culprit.number == 4
    assert "the counters of these rules rose for this frame (by index): 3, 7" in said(verdict)


def test_ebtables_that_do_not_tell(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    cause, verdict = judged(refused(ebt=replace(EBT, counted=None)), firewall(None))
    assert (cause, verdict.confidence, verdict.culprit) == ("netfilter.ebtables-rule", "likely", None)


def test_the_policy_of_ebtables(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    listed = replace(EBT_RULE, rule=ChainPolicy("-P FORWARD DROP", "bridge", "filter", "FORWARD"))
    assert judged(refused(ebt=replace(EBT, counted=())), firewall(listed))[0] == "netfilter.chain-policy"


@pytest.mark.parametrize(
    ("conntrack", "text", "cause"),
    [
        (None, "ct state invalid drop", "netfilter.conntrack-invalid"),
        (None, "ct state invalid,untracked drop", "netfilter.nft-rule"),
        (ConntrackNote(invalid=True), "ct state { invalid, untracked } drop", "netfilter.conntrack-invalid"),
        (ConntrackNote(words="bad checksum"), "ct state invalid,new drop", "netfilter.conntrack-invalid"),
        (ConntrackNote(invalid=False), "ct state invalid,new drop", "netfilter.nft-rule"),
        (ConntrackNote(invalid=True), "ct state != invalid drop", "netfilter.nft-rule"),
        (ConntrackNote(invalid=True), "udp dport 5000 drop", "netfilter.nft-rule"),
    ],
)
def test_rules_about_invalid_packets(
    refused: Callable[..., Drop],
    firewall: Callable[..., ToldHost],
    judged: Judged,
    conntrack: ConntrackNote | None,
    text: str,
    cause: str,
) -> None:
    found, verdict = judged(refused(nft=NFT, conntrack=conntrack), firewall(nft_text(text)))
    assert (found, verdict.confidence) == (cause, "certain")
    assert verdict.culprit.text == text


@pytest.mark.parametrize("words", ["ct state invalid", "fib saddr . iif oif missing"])
def test_a_comment_with_quotes_is_not_what_the_rule_asks_for(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged, words: str
) -> None:
    comment = f'a" {words} comment "b'
    listed = nft_text(f'udp dport 5000 drop comment "{comment}"', comment=comment)
    assert judged(refused(nft=NFT), firewall(listed))[0] == "netfilter.nft-rule"


def test_why_a_packet_was_invalid(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    words = ConntrackNote(words="SEQ is over the upper bound", invalid=True)
    _, verdict = judged(
        refused(xt=XT, conntrack=words), firewall((xt_text("-A X -m state --state INVALID -j DROP"),))
    )
    assert "this packet is INVALID: SEQ is over the upper bound" in said(verdict)
    silent = refused(nft=NFT, conntrack=ConntrackNote(invalid=True), proto="tcp", tcp_flags="RA")
    _, verdict = judged(silent, firewall(nft_text("ct state invalid drop")))
    assert "a TCP segment with RST ACK cannot start a connection: probably" in said(verdict)
    assert "nf_conntrack_tcp_be_liberal=1" in str(commands(verdict))


def test_a_check_of_the_way_back(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    drop = refused(xt=replace(XT, table="raw", hook=0), iface=Interface(3, "va"))
    listed = xt_text("-A PREROUTING -m rpfilter --invert -j DROP", table="raw", chain="PREROUTING")
    cause, verdict = judged(drop, firewall((listed,), route=Route("vb", "10.8.0.1")))
    assert (cause, verdict.confidence) == ("netfilter.rpfilter-match", "certain")
    assert verdict.culprit.text == "-A PREROUTING -m rpfilter --invert -j DROP"
    assert (
        "ip route get 10.9.0.1: after the drop: the route back to 10.9.0.1 leaves through vb via 10.8.0.1, "
        "the packet came in through va"
    ) in said(verdict)
    assert commands(verdict)[0] == "ip netns exec b ip route get 10.9.0.1"


def test_no_way_back_at_all(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    listed = nft_text("fib saddr . mark . iif oif missing drop")
    cause, verdict = judged(
        refused(nft=NFT), firewall(listed, route=Route(None, refusal="the network is unreachable"))
    )
    assert cause == "netfilter.rpfilter-match"
    assert "there is no route back to 10.9.0.1: the network is unreachable" in said(verdict)


def test_both_implementations_are_told(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    _, verdict = judged(refused(xt=XT), firewall((XT_RULE,), nft=["inet x", "ip y"], legacy=["ip filter"]))
    assert (
        "nftables and legacy iptables rules are both in use here; this one is of legacy iptables. "
        "nftables: inet x, ip y; legacy: ip filter"
    ) in said(verdict)
    _, verdict = judged(refused(xt=XT), firewall((XT_RULE,), legacy=["ip filter"]))
    assert "nftables and legacy" not in said(verdict)


def test_a_bridged_frame_that_an_ip_rule_judged(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    stack = ("nf_hook_slow", "br_nf_pre_routing", "br_handle_frame")
    _, verdict = judged(refused(stack, xt=XT), firewall((XT_RULE,)))
    assert "net.bridge.bridge-nf-call-iptables is 1" in said(verdict)
    assert commands(verdict)[-1] == "ip netns exec b sysctl -w net.bridge.bridge-nf-call-iptables=0"
    _, verdict = judged(refused(stack, ebt=EBT), firewall(EBT_RULE))
    assert "bridge-nf-call" not in said(verdict)


def test_the_owner_of_a_chain_and_the_comment(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    listed = xt_text("-A ufw-user-input -p udp -j DROP", chain="ufw-user-input", comment="no games")
    _, verdict = judged(refused(xt=XT), firewall((listed,)))
    assert "ufw-user-input: ufw makes it" in said(verdict)
    assert "its comment: no games" in said(verdict)
    assert commands(verdict) == [
        "ip netns exec b ufw allow proto udp from 10.9.0.1 to 10.9.0.2 port 5000",
        "ip netns exec b ufw status numbered",
        listed.command and f"ip netns exec b {listed.command}",
    ]


def test_a_rule_comes_before_another_hook(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    assert (
        judged(refused(nft=NFT, hook=HookNote("ip_vs_in_hook")), firewall(NFT_RULE))[0]
        == "netfilter.nft-rule"
    )


def test_without_a_note_nothing_is_known(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    assert judged(refused(), firewall(NFT_RULE))[0] is None


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ("SEQ is over the upper bound (over the window of the receiver)", [0]),
        ("invalid new deleting", []),
        (None, [-1]),
    ],
)
def test_windows_are_only_given_up_for_what_lies_outside_of_one(
    refused: Callable[..., Drop],
    firewall: Callable[..., ToldHost],
    judged: Judged,
    words: str | None,
    places: list[int],
) -> None:
    """Last of all where conntrack said nothing."""
    note = ConntrackNote(words=words, invalid=True)
    drop = refused(nft=NFT, conntrack=note, proto="tcp", tcp_flags="A")
    _, verdict = judged(drop, firewall(nft_text("ct state invalid drop")))
    opens = [one or "" for one in commands(verdict) if "sysctl" in str(one) or "accept" in str(one)]
    assert len(opens) == 1 + len(places)
    assert all("be_liberal" in opens[place] for place in places)
