"""Legacy tables while most of what dies in them is not asked for, and while they change before anybody looks."""

import pytest
from scenarios import traffic
from scenarios.blame import blame, deaths
from scenarios.firewalls import legacy, legacy_rules, the_rule
from scenarios.namespaces import Lab
from scenarios.whydrop_process import Whydrop, stopped

WANTED = 5000


@pytest.fixture
def whydrop(filtered: Whydrop) -> Whydrop:
    return filtered


@pytest.mark.once
def test_five_thousand_rules_that_drop_other_packets(lab: Lab, whydrop: Whydrop) -> None:
    """The counters of a table this long are not read for each packet that nobody asked for."""
    others = range(6000, 6006)
    rules = [
        f"-A INPUT -s 10.{100 + n // 250}.{n % 250}.1/32 -p udp -m udp --dport 5080 -j DROP"
        for n in range(4993)
    ]
    rules += [f"-A INPUT -p udp -m udp --dport {port} -j DROP" for port in (*others, WANTED)]
    legacy(lab.b, "*filter\n" + "\n".join(rules))
    for turn in range(10):
        traffic.datagrams(lab.a, lab.b.v4, [*others[: turn % 6 + 1], WANTED, *others])
    rule = the_rule(legacy_rules(lab.b), f"--dport {WANTED}")
    assert (rule.packets, rule.number) == (10, 5000)
    blame(deaths(whydrop, lab.b, 10, WANTED), rule, "netfilter.iptables-rule")


@pytest.mark.parametrize(("then", "moved"), [("-D INPUT 1", 1), ("-A INPUT -p udp --dport 9 -j DROP", 0)])
def test_the_table_changed_before_anybody_looked(lab: Lab, whydrop: Whydrop, then: str, moved: int) -> None:
    """The rule is still there, in the first case with another number: its bytes tell."""
    drop = f"-A INPUT -p udp -m udp --dport {WANTED} -m comment --comment wanted -j DROP"
    legacy(lab.b, f"*filter\n-A INPUT -p udp --dport 8 -j DROP\n{drop}")
    with stopped(whydrop):
        traffic.datagrams(lab.a, lab.b.v4, [WANTED] * 3)
        rule = the_rule(legacy_rules(lab.b), f"--dport {WANTED}")
        assert rule.packets == 3
        lab.b.run(f"iptables-legacy {then}")
    for line in deaths(whydrop, lab.b, 3, WANTED):
        assert line["cause"]["id"] == "netfilter.iptables-rule", line
        assert line["object"]["number"] == 2 - moved, line
        assert "wanted" in line["object"]["text"], line
        assert "change" in str(line["evidence"]), line


def test_another_rule_has_its_place_before_anybody_looked(lab: Lab, whydrop: Whydrop) -> None:
    """What stands there now is never shown."""
    legacy(lab.b, f"*filter\n-A INPUT -p udp -m udp --dport {WANTED} -j DROP")
    with stopped(whydrop):
        traffic.datagrams(lab.a, lab.b.v4, [WANTED] * 3)
        assert legacy_rules(lab.b)[0].packets == 3
        lab.b.run("iptables-legacy -R INPUT 1 -p udp -m udp --dport 5601 -j DROP")
    for line in deaths(whydrop, lab.b, 3, WANTED):
        assert "5601" not in str(line["object"]), line
        assert line["cause"]["confidence"] != "certain" or line["object"]["number"] is None, line
