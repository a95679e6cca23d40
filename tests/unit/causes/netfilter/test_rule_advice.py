"""What to do about a rule: the flow let past it, unless its port is a client's or the chain is a program's."""

from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.causes.netfilter.rule_advice import fixes
from dropwatch.host.listed_rule import ListedRule
from dropwatch.model.culprits import ChainPolicy, EbtablesRule, IptablesRule, NftRule, Rule
from dropwatch.model.drop import Drop, Fix

Refused = Callable[..., Drop]


def nft(chain: str = "input", table: str = "filter", family: str = "inet") -> ListedRule:
    return ListedRule(
        NftRule("drop", family, table, chain, 7), "nft", f"nft -a list chain {family} {table} {chain}"
    )


def xt(text: str, chain: str = "INPUT", table: str = "filter") -> ListedRule:
    rule = IptablesRule(text, "ip", table, chain, 3)
    return ListedRule(rule, "iptables-legacy", f"iptables-legacy -t {table} -vnL {chain} --line-numbers")


def commands(drop: Drop, listed: ListedRule, **more: Any) -> list[str | None]:
    return [fix.command for fix in fixes(drop, listed.rule, listed, **more)]


@pytest.mark.parametrize(
    ("packet", "accept"),
    [
        ({}, "ip saddr 10.9.0.1 ip daddr 10.9.0.2 udp dport 5000 accept"),
        (
            {"proto": "tcp", "tcp_flags": "S", "dport": 51820},
            "ip saddr 10.9.0.1 ip daddr 10.9.0.2 tcp dport 51820 accept",
        ),
        (
            {"proto": "tcp", "tcp_flags": "SA", "sport": 443, "dport": 51820},
            "ct state established,related accept",
        ),
        ({"sport": 53, "dport": 40000}, "ct state established,related accept"),
        ({"proto": "esp", "dport": None}, "ip saddr 10.9.0.1 ip daddr 10.9.0.2 meta l4proto esp accept"),
        ({"proto": "ospf", "dport": None}, "ip saddr 10.9.0.1 ip daddr 10.9.0.2 meta l4proto 89 accept"),
        ({"proto": "113", "dport": None}, "ip saddr 10.9.0.1 ip daddr 10.9.0.2 meta l4proto 113 accept"),
    ],
    ids=["a service", "a new connection", "an answer", "an answer of DNS", "esp", "ospf", "by number"],
)
def test_the_flow_is_let_past_the_rule(refused: Refused, packet: dict[str, Any], accept: str) -> None:
    first = commands(refused(**packet), nft())[0]
    assert first == f"nft insert rule inet filter input position 7 {accept}"


def test_an_answer_in_the_raw_table_has_no_connection_yet(refused: Refused) -> None:
    answer = refused(sport=53, dport=40000)
    listed = xt("-A PREROUTING -j DROP", "PREROUTING", "raw")
    assert not any("ACCEPT" in str(one) for one in commands(answer, listed))
    assert any(
        "--ctstate ESTABLISHED,RELATED -j ACCEPT" in str(one)
        for one in commands(answer, xt("-A INPUT -j DROP"))
    )


@pytest.mark.parametrize(
    ("rule", "tool", "out"),
    [
        (
            EbtablesRule("-A FORWARD -p IPv4 -j DROP", "bridge", "filter", "FORWARD", 1),
            "ebtables-legacy",
            "ebtables-legacy -t filter -D FORWARD -p IPv4 -j DROP",
        ),
        (
            IptablesRule("-j DROP -i * -o * -s 10.9.0.1", "arp", "filter", "INPUT", 3),
            "arptables-legacy",
            "arptables-legacy -t filter -D INPUT 3",
        ),
    ],
)
def test_a_rule_for_frames_is_taken_out(refused: Refused, rule: Rule, tool: str, out: str) -> None:
    """No flow of IP is let past it: it looks at other things."""
    first, _ = fixes(refused(), rule, ListedRule(rule, tool, f"{tool} -L"))
    assert (first.command, first.weakens) == (out, "whatever it blocks can pass")


def test_arp_has_no_flow_of_ip(refused: Refused) -> None:
    arp = refused(proto="arp", family=None, sport=None, dport=None)
    assert not any("accept" in str(one) for one in commands(arp, nft(family="arp")))


def test_a_rule_is_taken_out_by_its_own_words(refused: Refused) -> None:
    """Not by its number: that is another one once a rule was put before it."""
    listed = xt('-A INPUT -p udp -m comment --comment "it\'s $(reboot)" -j DROP')
    *_, last, _ = commands(refused(), listed)
    assert last == (
        "iptables-legacy -t filter -D INPUT -p udp -m comment --comment 'it'\"'\"'s $(reboot)' -j DROP"
    )
    assert not any(" -D " in str(one) for one in commands(refused(), xt("-A OTHER -j DROP")))
    assert not any(" -D " in str(one) for one in commands(refused(), xt('-A INPUT --comment "half')))


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        (xt("-A DOCKER -j DROP", "DOCKER"), "publish the port of the container"),
        (xt("-A KUBE-FORWARD -j DROP", "KUBE-FORWARD"), "ready endpoint"),
        (nft("filter_IN_public", "firewalld"), "have firewalld allow the port"),
        (nft("f2b-chain", "f2b-table"), "remove the ban"),
    ],
    ids=["Docker", "kube-proxy", "firewalld", "fail2ban"],
)
def test_a_program_is_told_and_its_chain_left_alone(refused: Refused, listed: ListedRule, told: str) -> None:
    found = fixes(refused(), listed.rule, listed)
    assert told in found[0].text
    for fix in found:
        assert not any(
            word in str(fix.command) for word in ("insert", "delete rule", " -I ", " -D ", " -A ")
        ), fix


def test_the_program_is_told_of_this_flow(refused: Refused) -> None:
    firewalld, fail2ban = nft("filter_IN_public", "firewalld"), nft("f2b-chain", "f2b-table")
    assert commands(refused(), firewalld)[0] == (
        "firewall-cmd --zone=$(firewall-cmd --get-zone-of-interface=vb) --add-port=5000/udp"
    )
    assert commands(refused(), fail2ban)[0] == "fail2ban-client unban 10.9.0.1"
    answer = refused(sport=53, dport=40000)
    assert not any("--add-port" in str(one) for one in commands(answer, firewalld)[1:])


def test_dockers_chain_for_users_is_theirs(refused: Refused) -> None:
    listed = xt("-A DOCKER-USER -j DROP", "DOCKER-USER")
    assert commands(refused(), listed)[0] == (
        "iptables-legacy -t filter -I DOCKER-USER 3 -s 10.9.0.1 -d 10.9.0.2 -p udp --dport 5000 -j ACCEPT"
    )


def test_past_a_rule_that_checks_is_past_a_protection(refused: Refused) -> None:
    found = fixes(refused(), nft().rule, nft(), protects="forged packets pass")
    assert [getattr(fix, "weakens", None) for fix in found] == [
        "forged packets pass",
        "whatever it blocks can pass",
        None,
    ]


def test_the_policy_of_a_chain_gets_a_rule(refused: Refused) -> None:
    policy = ListedRule(ChainPolicy("-P FORWARD DROP", "ip", "filter", "FORWARD"), "iptables-legacy", "x")
    assert fixes(refused(), policy.rule, policy) == (
        Fix(
            "accept this flow",
            "iptables-legacy -t filter -A FORWARD -s 10.9.0.1 -d 10.9.0.2 -p udp --dport 5000 -j ACCEPT",
        ),
        Fix("list the chain", "x"),
    )


@pytest.mark.parametrize(
    "name", ["a -M /tmp/x -tq", "a --modp=/tmp/x", "a --ta raw", "a -nM/tmp/x", "a -F", "a -", "--"]
)
def test_an_interface_is_no_option_of_the_tool(name: str, refused: Refused) -> None:
    """It may have blanks in a rule, anybody's in a namespace of his own, and iptables does not quote it."""
    found = commands(refused(), xt(f"-A INPUT ! -i {name} -p udp -j DROP"))
    assert found
    assert not any(" -D " in str(one) for one in found)


def test_options_of_rules_are_taken(refused: Refused) -> None:
    rule = "INPUT -p tcp -m tcp --tcp-flags SYN SYN -m statistic --mode random -m mark --mark 7 -j DROP"
    assert f"iptables-legacy -t filter -D {rule}" in commands(refused(), xt(f"-A {rule}"))
