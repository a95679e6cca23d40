"""Rules that iptables-nft and ip6tables-nft made are shown as iptables shows them."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from scenarios import traffic
from scenarios.blame import blame, blame_policy, deaths
from scenarios.firewalls import Rule, legacy, legacy_rules, nft_rules
from scenarios.namespaces import Lab, Namespace, joined_pair
from scenarios.waiting import eventually
from scenarios.whydrop_process import Whydrop

RULES = """*filter
:INPUT DROP [0:0]
-A INPUT -p udp -m udp --dport 5100 -j DROP
-A INPUT -p udp -m udp --dport 5101 -m comment --comment "two words" -j DROP
-A INPUT -p udp -m udp --dport 5102 -j user
-A INPUT -p udp -m udp --dport 5103 -j outer
-A INPUT -p udp -m udp --dport 5104 -g user
-A INPUT -p udp -m udp --dport 5105 -j REJECT --reject-with {reject}
-A INPUT -p tcp -m tcp --dport 5106 -j REJECT --reject-with tcp-reset
-A INPUT -p udp -m multiport --dports 5107,5108 -m conntrack --ctstate NEW -j DROP
-A INPUT -p udp -m udp --dport 5110 -j ACCEPT
-A user -p udp -m udp --dport 5199 -j DROP
-A user -p udp -m udp --dport 5102 -j DROP
-A user -p udp -m udp --dport 5104 -j DROP
-A outer -p udp -m udp --dport 5103 -j inner
-A inner -j DROP
*mangle
-A PREROUTING -p udp -m udp --dport 5109 -j DROP
"""
V6_EXTRA = "-A INPUT -p ipv6-icmp -j ACCEPT\n"
TOOLS = {"iptables-nft": ("ip", 4), "ip6tables-nft": ("ip6", 6)}
WAYS = {
    5100: ("INPUT",),
    5101: ("INPUT",),
    5102: ("INPUT", "user"),
    5103: ("INPUT", "outer", "inner"),
    5104: ("INPUT", "user"),
    5105: ("INPUT",),
    5106: ("INPUT",),
    5107: ("INPUT",),
    5109: ("PREROUTING",),
}


@pytest.fixture(scope="module")
def ruled(whydrop: Whydrop) -> Iterator[tuple[Lab, dict[str, list[Rule]]]]:
    """The same rules for both versions of IP, with their lists; neighbours must find each other, so ICMPv6 comes in."""
    with joined_pair() as lab:
        legacy(lab.b, RULES.format(reject="icmp-port-unreachable"), "iptables-nft")
        text = RULES.replace("*mangle", V6_EXTRA + "*mangle").format(reject="icmp6-port-unreachable")
        legacy(lab.b, text, "ip6tables-nft")
        yield lab, {tool: legacy_rules(lab.b, tool) for tool in TOOLS}


def the_own(saved: list[Rule], port: int) -> Rule:
    """The rule to blame, as the tool lists it: in the last chain on the way, for the port if it names one."""
    inside = [rule for rule in saved if rule.chain == WAYS[port][-1]]
    (own,) = [rule for rule in inside if f" {port}" in rule.text.replace(",", " ") or len(inside) == 1]
    return own


def in_nf_tables(end: Namespace, family: str, own: Rule) -> Rule:
    """The same rule as nf_tables has it, with its handle."""
    place = (family, own.table, own.chain)
    same = [rule for rule in nft_rules(end) if (rule.family, rule.table, rule.chain) == place]
    assert own.number is not None
    return same[own.number - 1]


@pytest.mark.twice
@pytest.mark.parametrize("port", WAYS)
@pytest.mark.parametrize("tool", TOOLS)
def test_rule_of_iptables_nft(
    ruled: tuple[Lab, dict[str, list[Rule]]], whydrop: Whydrop, tool: str, port: int
) -> None:
    lab, saved = ruled
    family, version = TOOLS[tool]
    source, target = (lab.a.v4, lab.b.v4) if version == 4 else (lab.a.v6, lab.b.v6)
    if port == 5106:
        traffic.segments(lab.a, (source, target), (40000, port), count=5)
    else:
        traffic.datagrams(lab.a, target, [port] * 5)
    own = the_own(saved[tool], port)
    eventually(lambda: in_nf_tables(lab.b, family, own).packets == 5, "the rule counts five packets")
    handle = in_nf_tables(lab.b, family, own).handle
    found = deaths(whydrop, lab.b, 5, port, lambda line: line["packet"]["family"] == version)
    cause = "netfilter.nft-reject" if "REJECT" in own.text else "netfilter.nft-rule"
    blame(found, replace(own, family=family, handle=handle), cause, way=WAYS[port])


@pytest.mark.parametrize("version", [4, 6])
def test_policy_of_iptables_nft(
    ruled: tuple[Lab, dict[str, list[Rule]]], whydrop: Whydrop, version: int
) -> None:
    lab, _ = ruled
    traffic.datagrams(lab.a, lab.b.v4 if version == 4 else lab.b.v6, [5111] * 3)
    found = deaths(whydrop, lab.b, 3, 5111, lambda line: line["packet"]["family"] == version)
    for line in found:  # either tool's words are good
        by_iptables = line["object"]["text"].startswith("-P ")
        blame_policy([line], "filter", "INPUT", legacy=by_iptables)
