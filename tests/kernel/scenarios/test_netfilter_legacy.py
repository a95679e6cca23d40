"""Legacy iptables and ip6tables: the one rule that killed the packet, though the kernel calls nothing by its number."""

import re
from collections.abc import Iterator

import pytest
from scenarios import traffic
from scenarios.blame import blame, blame_policy, deaths
from scenarios.firewalls import Rule, legacy, legacy_rules, nft, nft_rules, snapshot, the_rule
from scenarios.namespaces import Lab, Namespace, joined_pair
from scenarios.roads import BEYOND4, BEYOND6, turn_around
from scenarios.waiting import eventually
from scenarios.whydrop_process import KPROBE_EVENTS, Whydrop, programs_are_gone

from dropwatch.kernel import btf

RULES = """*filter
-A INPUT -p udp -m udp --dport 5999 -j ACCEPT
-A INPUT -p udp -m udp --dport 5000 -j DROP
-A INPUT -p udp -m udp --dport 5001 -j user
-A INPUT -p udp -m udp --dport 5002 -j outer
-A INPUT -p udp -m udp --dport 5003 -g user
-A INPUT -p udp -m udp --dport 5004 -j REJECT --reject-with {unreachable}
-A INPUT -p tcp -m tcp --dport 5005 -j REJECT --reject-with tcp-reset
-A INPUT -p udp -m udp --dport 5006 -j refuse
-A INPUT -p udp -m udp --dport 5007 -m comment --comment "no games" -j DROP
-A INPUT -p udp -m multiport --dports 5008,5108 -m conntrack --ctstate NEW -j DROP
-A INPUT -p udp -m udp --dport 5009 -m limit --limit 100/sec --limit-burst 100 -j DROP
-A INPUT -p udp -m udp --dport 5010 -j returns
-A INPUT -p udp -m udp --dport 5010 -j DROP
-A INPUT -p udp -m udp --dport 5011 -j user
-A INPUT -p udp -m udp --dport 5011 -j all
-A FORWARD -p udp -m udp --dport 5012 -j DROP
-A OUTPUT -p udp -m udp --dport 5013 -j DROP
-A user -p udp -m udp --dport 5001 -j DROP
-A user -p udp -m udp --dport 5003 -j DROP
-A outer -p udp -m udp --dport 5102 -j DROP
-A outer -p udp -m udp --dport 5002 -j middle
-A middle -p udp -m udp --dport 5002 -j inner
-A inner -p udp -m udp --dport 5002 -j DROP
-A refuse -j REJECT --reject-with {prohibited}
-A returns -p udp -m udp --dport 5110 -j DROP
-A returns -j RETURN
-A all -j DROP
*raw
-A PREROUTING -p udp -m udp --dport 5020 -j DROP
-A OUTPUT -p udp -m udp --dport 5021 -j DROP
*mangle
-A PREROUTING -p udp -m udp --dport 5030 -j DROP
-A INPUT -p udp -m udp --dport 5031 -j DROP
-A FORWARD -p udp -m udp --dport 5032 -j DROP
-A OUTPUT -p udp -m udp --dport 5033 -j DROP
-A POSTROUTING -p udp -m udp --dport 5034 -j DROP
*security
-A INPUT -p udp -m udp --dport 5040 -j DROP
-A FORWARD -p udp -m udp --dport 5041 -j DROP
-A OUTPUT -p udp -m udp --dport 5042 -j DROP
*nat
-A PREROUTING -p udp -m udp --dport 5998 -j DNAT --to-destination {target}
"""
# destination port: chain of the rule, chains before it, and whether the packet is forwarded or sent by b itself
PLACES = {
    5000: ("INPUT", (), ""),
    5001: ("user", ("INPUT",), ""),
    5002: ("inner", ("INPUT", "outer", "middle"), ""),
    5003: ("user", ("INPUT",), ""),
    5004: ("INPUT", (), ""),
    5005: ("INPUT", (), ""),
    5006: ("refuse", ("INPUT",), ""),
    5007: ("INPUT", (), ""),
    5008: ("INPUT", (), ""),
    5009: ("INPUT", (), ""),
    5010: ("INPUT", (), ""),
    5011: ("all", ("INPUT",), ""),
    5012: ("FORWARD", (), "through"),
    5013: ("OUTPUT", (), "out"),
    5020: ("PREROUTING", (), ""),
    5021: ("OUTPUT", (), "out"),
    5030: ("PREROUTING", (), ""),
    5031: ("INPUT", (), ""),
    5032: ("FORWARD", (), "through"),
    5033: ("OUTPUT", (), "out"),
    5034: ("POSTROUTING", (), "out"),
    5040: ("INPUT", (), ""),
    5041: ("FORWARD", (), "through"),
    5042: ("OUTPUT", (), "out"),
}
VERSIONS = {4: "iptables-legacy", 6: "ip6tables-legacy"}


@pytest.fixture(scope="module")
def ruled(whydrop: Whydrop) -> Iterator[Lab]:
    """The same rules for both versions of IP, in every table."""
    with joined_pair() as lab:
        turn_around(lab)
        words = {"unreachable": "icmp-port-unreachable", "prohibited": "icmp-admin-prohibited"}
        legacy(lab.b, RULES.format(**words, target=lab.b.v4), VERSIONS[4])
        words = {"unreachable": "icmp6-port-unreachable", "prohibited": "icmp6-adm-prohibited"}
        legacy(lab.b, RULES.format(**words, target=lab.b.v6), VERSIONS[6])
        before = snapshot(lab.b)
        yield lab
        assert snapshot(lab.b) == before


def blamed(end: Namespace, port: int, chain: str, version: int = 4) -> Rule:
    """The rule that has to be blamed: in this chain, for this port if the chain has several rules."""
    own = [rule for rule in legacy_rules(end, VERSIONS[version]) if rule.chain == chain]
    return ([rule for rule in own if f" {port} " in rule.text.replace(",", " ")] or own)[-1]


@pytest.mark.twice
@pytest.mark.parametrize("port", PLACES)
@pytest.mark.parametrize("version", VERSIONS)
def test_rule(ruled: Lab, whydrop: Whydrop, version: int, port: int) -> None:
    chain, way, road = PLACES[port]
    start, end = (ruled.b, ruled.a) if road == "out" else (ruled.a, ruled.b)
    source, target = (start.v4, end.v4) if version == 4 else (start.v6, end.v6)
    if road == "through":
        target = BEYOND4 if version == 4 else BEYOND6
    if port == 5005:
        traffic.segments(start, (source, target), (40000, port), count=5)
    else:
        traffic.datagrams(start, target, [port] * 5)
    eventually(lambda: blamed(ruled.b, port, chain, version).packets == 5, "the rule counts five packets")
    rule = blamed(ruled.b, port, chain, version)
    found = deaths(whydrop, ruled.b, 5, port, lambda line: line["packet"]["family"] == version)
    cause = "netfilter.iptables-reject" if "REJECT" in rule.text else "netfilter.iptables-rule"
    blame(found, rule, cause, way=way)


@pytest.mark.parametrize("version", VERSIONS)
def test_policy(lab: Lab, whydrop: Whydrop, version: int) -> None:
    """Neighbours must find each other, so ICMP is let in."""
    icmp = "icmp" if version == 4 else "ipv6-icmp"
    rules = f":INPUT DROP [0:0]\n-A INPUT -p {icmp} -j ACCEPT\n-A INPUT -p udp -m udp --dport 5051 -j DROP\n"
    legacy(lab.b, f"*filter\n{rules}", VERSIONS[version])
    traffic.datagrams(lab.a, lab.b.v4 if version == 4 else lab.b.v6, [5050, 5051] * 7)
    save = f"{VERSIONS[version]}-save -c"
    eventually(lambda: ":INPUT DROP [7:" in lab.b.run(save).stdout, "the policy counts seven packets")
    blame_policy(deaths(whydrop, lab.b, 7, 5050), "filter", "INPUT", legacy=True)
    rule = the_rule(legacy_rules(lab.b, VERSIONS[version]), "--dport 5051")
    blame(deaths(whydrop, lab.b, 7, 5051), rule, "netfilter.iptables-rule")


def test_look_alikes(lab: Lab, whydrop: Whydrop) -> None:
    """Thirty equal rules, of which the first does it, and sixty twins that differ in the port, one packet for each."""
    same = ["-A INPUT -p udp -m udp --dport 5060 -j DROP"] * 30
    twins = [f"-A INPUT -p udp -m udp --dport {port} -j DROP" for port in range(5200, 5260)]
    legacy(lab.b, "*filter\n" + "\n".join([*same, *twins]))
    traffic.datagrams(lab.a, lab.b.v4, [5060] * 7)
    traffic.datagrams(lab.a, lab.b.v4, range(5200, 5260))
    rules = legacy_rules(lab.b)
    assert [rule.packets for rule in rules] == [7] + [0] * 29 + [1] * 60
    blame(deaths(whydrop, lab.b, 7, 5060), rules[0], "netfilter.iptables-rule")
    for port in range(5200, 5260):
        rule = the_rule(rules, f"--dport {port}")
        blame(deaths(whydrop, lab.b, 1, port), rule, "netfilter.iptables-rule")


def test_rules_alternate_at_speed(lab: Lab, whydrop: Whydrop) -> None:
    """Three rules take turns, one of them in a user chain, and the policy is a fourth."""
    legacy(
        lab.b,
        """*filter
        :INPUT DROP [0:0]
        -A INPUT -p udp -m udp --dport 5070 -j DROP
        -A INPUT -p udp -m udp --dport 5071 -j DROP
        -A INPUT -p udp -m udp --dport 5072 -j user
        -A user -p udp -m udp --dport 5072 -j DROP""",
    )
    traffic.datagrams(lab.a, lab.b.v4, [5070, 5071, 5070, 5072, 5071, 5073] * 167)
    rules = legacy_rules(lab.b)
    for port, times, number in ((5070, 334, 0), (5071, 334, 1), (5072, 167, 3)):
        assert rules[number].packets == times
        blame(deaths(whydrop, lab.b, times, port), rules[number], "netfilter.iptables-rule")
    blame_policy(deaths(whydrop, lab.b, 167, 5073), "filter", "INPUT", legacy=True)


def test_five_thousand_rules(lab: Lab, whydrop: Whydrop) -> None:
    """The rule in the middle and the one at the end, among 5,000 that drop something else."""
    rules = [
        f"-A INPUT -s 10.{100 + n // 250}.{n % 250}.1/32 -p udp -m udp --dport 5080 -j DROP"
        for n in range(4998)
    ]
    rules.insert(2500, "-A INPUT -p udp -m udp --dport 5081 -j DROP")
    rules.append("-A INPUT -p udp -m udp --dport 5082 -j DROP")
    legacy(lab.b, "*filter\n" + "\n".join(rules))
    traffic.datagrams(lab.a, lab.b.v4, [5081, 5082] * 11)
    listed = legacy_rules(lab.b)
    for port, number in ((5081, 2501), (5082, 5000)):
        rule = the_rule(listed, f"--dport {port}")
        assert (rule.packets, rule.number) == (11, number)
        blame(deaths(whydrop, lab.b, 11, port), rule, "netfilter.iptables-rule")


def test_twenty_thousand_rules(lab: Lab, whydrop: Whydrop) -> None:
    """More than programs that follow each other can read: one reads them all. Equal ones are told together, as ever."""
    if "BPF_FUNC_loop" not in (btf.vmlinux().enum("bpf_func_id") or {}):
        pytest.skip("feature bpf-loop: this kernel has no such helper")
    rules = [
        f"-A INPUT -s 10.{100 + n // 250}.{n % 250}.1/32 -p udp -m udp --dport 5083 -j DROP"
        for n in range(19998)
    ]
    rules.insert(16500, "-A INPUT -p udp -m udp --dport 5084 -j DROP")
    rules.append("-A INPUT -p udp -m udp --dport 5085 -j DROP")
    legacy(lab.b, "*filter\n" + "\n".join(rules))
    traffic.datagrams(lab.a, lab.b.v4, [5084, 5085] * 3)
    listed = legacy_rules(lab.b)
    for port, number in ((5084, 16501), (5085, 20000)):
        rule = the_rule(listed, f"--dport {port}")
        assert (rule.packets, rule.number) == (3, number)
        blame(deaths(whydrop, lab.b, 3, port), rule, "netfilter.iptables-rule")


def test_a_rule_goes_and_another_comes(lab: Lab, whydrop: Whydrop) -> None:
    """Numbers move up when a rule before goes: what is shown is the rule that dropped, in its number of then or now."""
    legacy(
        lab.b,
        """*filter
        -A INPUT -p udp -m udp --dport 5090 -j DROP
        -A INPUT -p udp -m udp --dport 5091 -j DROP
        -A INPUT -p udp -m udp --dport 5092 -j DROP""",
    )
    traffic.datagrams(lab.a, lab.b.v4, [5091] * 3)
    assert legacy_rules(lab.b)[1].packets == 3
    blame(deaths(whydrop, lab.b, 3, 5091), legacy_rules(lab.b)[1], "netfilter.iptables-rule")
    lab.b.run("iptables-legacy -D INPUT 1")
    lab.b.run("iptables-legacy -A INPUT -p udp -m udp --dport 5090 -j DROP")
    traffic.datagrams(lab.a, lab.b.v4, [5092] * 3)
    assert legacy_rules(lab.b)[1].packets == 3
    blame(deaths(whydrop, lab.b, 3, 5092), legacy_rules(lab.b)[1], "netfilter.iptables-rule")


def test_both_rulesets(lab: Lab, whydrop: Whydrop) -> None:
    """Of two firewalls it is said which one did it, and that the other is there too."""
    drop = "udp dport 5095 counter drop"
    nft(lab.b, f"table inet t {{ chain c {{ type filter hook input priority -5;\n{drop}\n}} }}")
    legacy(lab.b, "*filter\n-A INPUT -p udp -m udp --dport 5096 -j DROP\n")
    traffic.datagrams(lab.a, lab.b.v4, [5095, 5096] * 5)
    of_nft, of_legacy = the_rule(nft_rules(lab.b), drop.replace("counter ", "")), legacy_rules(lab.b)[0]
    assert (of_nft.packets, of_legacy.packets) == (5, 5)
    by_nft = deaths(whydrop, lab.b, 5, 5095)
    by_legacy = deaths(whydrop, lab.b, 5, 5096)
    blame(by_nft, of_nft)
    blame(by_legacy, of_legacy, "netfilter.iptables-rule")
    for line in by_nft + by_legacy:
        said = str(line["evidence"]).lower()
        assert re.search("nft|nf_tables", said), line
        assert re.search("legacy|iptables", said), line


@pytest.mark.once
def test_ruleset_is_untouched(lab: Lab) -> None:
    """Also when it is killed in the middle of its work; and none of its programs is left."""
    kprobes = KPROBE_EVENTS.read_text()
    legacy(lab.b, "*filter\n-A INPUT -p udp -m udp --dport 5097 -j DROP\n")
    nft(
        lab.b, "table inet t { chain c { type filter hook input priority -5; udp dport 5098 counter drop; } }"
    )
    before, before_a = snapshot(lab.b), snapshot(lab.a)
    with Whydrop("--netns", lab.b.name) as running:
        traffic.datagrams(lab.a, lab.b.v4, [5097, 5098] * 5)
        deaths(running, lab.b, 5, 5097)
        deaths(running, lab.b, 5, 5098)
        assert snapshot(lab.b) == before
        traffic.datagrams(lab.a, lab.b.v4, [5097, 5098] * 500)
    # leaving the block has killed it with SIGKILL
    eventually(lambda: snapshot(lab.b) == before, "the ruleset is what it was")
    programs_are_gone(kprobes)
    assert snapshot(lab.a) == before_a == ""
