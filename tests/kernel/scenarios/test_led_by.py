"""What led to a drop: translation, mark, bridge, SA and conntrack's word, each beside a second witness."""

import socket
import subprocess
from collections.abc import Iterator

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.esp import GOOD_KEY, aead, connection
from scenarios.firewalls import legacy, legacy_rules, nft, nft_rules, the_rule
from scenarios.namespaces import Lab
from scenarios.roads import bridge, through_the_bridge
from scenarios.whydrop_process import Line, Whydrop, told

BACKEND = 5391


def the_decision(line: Line, *words: str) -> Line:
    found = [one for one in line["led_by"] if all(word in one["text"] for word in words)]
    assert len(found) == 1, told(line)
    return dict(found[0])


@pytest.mark.parametrize("version", ["v4", "v6"])
def test_dnat_by_the_only_rule_that_does_it(lab: Lab, whydrop: Whydrop, version: str) -> None:
    address = getattr(lab.b, version)
    nft(
        lab.b,
        f"""
        table inet gate {{
            chain translate {{ type nat hook prerouting priority dstnat;
                udp dport 5301 dnat ip to {lab.b.v4}:{BACKEND}
                udp dport 5301 dnat ip6 to [{lab.b.v6}]:{BACKEND}
                udp dport 5302 dnat ip to {lab.b.v4}:{BACKEND}
            }}
            chain judge {{ type filter hook input priority 0;
                udp dport {BACKEND} counter drop
            }}
        }}
        """,
    )
    traffic.datagrams(lab.a, address, [5301] * 3, sport=41101)
    shown = f"[{address}]:5301" if version == "v6" else f"{address}:5301"
    for line in deaths(whydrop, lab.b, 3, BACKEND):
        decision = the_decision(line, f"was for {shown} until DNAT by")
        assert decision["confidence"] == "likely", told(line)
        rule = the_rule(nft_rules(lab.b), f"udp dport 5301 dnat {'ip' if version == 'v4' else 'ip6'} to")
        assert decision["object"]["handle"] == rule.handle, told(line)
        assert decision["object"]["chain"] == "translate", told(line)


def test_equal_drops_have_each_its_own_past(lab: Lab, whydrop: Whydrop) -> None:
    """Two services that end at the same port: whatever is remembered or folded, no packet has the other one's past."""
    legacy(
        lab.b,
        f"""
*nat
-A PREROUTING -p udp -m udp --dport 5303 -j REDIRECT --to-ports {BACKEND}
-A PREROUTING -p udp -m udp --dport 5304 -j REDIRECT --to-ports {BACKEND}
*filter
-A INPUT -p udp -m udp --dport {BACKEND} -j DROP
""",
    )
    for _ in range(5):
        traffic.datagrams(lab.a, lab.b.v4, [5303] * 7, sport=41103)
        traffic.datagrams(lab.a, lab.b.v4, [5304] * 4, sport=41104)
    services = {5303: 0, 5304: 0}
    for line in deaths(whydrop, lab.b, 55, BACKEND):
        port = {41103: 5303, 41104: 5304}[line["packet"]["sport"]]
        decision = the_decision(line, f"was for {lab.b.v4}:{port} until DNAT by")
        assert f"--dport {port} -j REDIRECT" in decision["object"]["text"], told(line)
        services[port] += line["count"]
    assert services == {5303: 35, 5304: 20}
    assert the_rule(legacy_rules(lab.b), "-A INPUT").packets == 55


def test_an_entry_that_is_older_than_the_rules(lab: Lab, whydrop: Whydrop) -> None:
    rules = """
    table ip gate {{
        chain translate {{ type nat hook prerouting priority dstnat; {} }}
        chain judge {{ type filter hook input priority 0; udp dport {} counter drop }}
    }}
    """
    nft(lab.b, rules.format(f"udp dport 5305 dnat to {lab.b.v4}:{BACKEND}", BACKEND + 1))
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((lab.b.v4, BACKEND))
        server.settimeout(60)
        traffic.datagrams(lab.a, lab.b.v4, [5305], sport=41105)
        server.recv(99)
        lab.b.run("nft delete table ip gate")
        nft(lab.b, rules.format(f"udp dport 5306 dnat to {lab.b.v4}:{BACKEND}", BACKEND))
        traffic.datagrams(lab.a, lab.b.v4, [5305] * 2, sport=41105)
    for line in deaths(whydrop, lab.b, 2, BACKEND):
        decision = the_decision(line, f"was for {lab.b.v4}:5305 until DNAT; no current rule does so")
        assert decision["object"] is None
        assert decision["confidence"] == "likely", told(line)
    forget = next(fix["command"] for fix in line["fix"] if "conntrack -D" in (fix["command"] or ""))
    lab.b.run(forget.removeprefix(f"ip netns exec {lab.b.name} "))  # which finds the entry, or fails


def test_masquerade_and_what_dies_behind_it(lab: Lab, whydrop: Whydrop) -> None:
    nft(
        lab.a,
        """
        table ip out { chain post { type nat hook postrouting priority srcnat;
            udp dport 5307 masquerade to :7000-7099 } }
        """,
    )
    lab.a.run(f"tc qdisc add dev {lab.a.iface} clsact")
    lab.a.run(f"tc filter add dev {lab.a.iface} egress protocol ip matchall action drop")
    traffic.datagrams(lab.a, lab.b.v4, [5307], sport=41107)
    (line,) = deaths(whydrop, lab.a, 1, 5307)
    decision = the_decision(line, f"was from {lab.a.v4}:41107 until SNAT by", "masquerade")
    assert decision["object"]["kind"] == "nft-rule", told(line)


def test_the_rule_that_set_the_mark(lab: Lab, whydrop: Whydrop) -> None:
    nft(
        lab.b,
        """
        table inet t {
            chain early { type filter hook prerouting priority mangle;
                udp dport 5308 meta mark set 0x00000017
                udp dport 5309 meta mark set 0x00000018
            }
            chain judge { type filter hook input priority 0;
                meta mark 0x00000017 counter drop
            }
        }
        """,
    )
    traffic.datagrams(lab.a, lab.b.v4, [5308] * 3)
    for line in deaths(whydrop, lab.b, 3, 5308):
        decision = the_decision(line, "got its mark 0x17 from", "meta mark set 0x00000017")
        rule = the_rule(nft_rules(lab.b), "udp dport 5308 meta mark set")
        assert decision["object"]["handle"] == rule.handle, told(line)
        assert decision["confidence"] == "likely"


def test_a_mark_that_its_connection_kept(lab: Lab, whydrop: Whydrop) -> None:
    legacy(
        lab.b,
        """
*mangle
-A PREROUTING -p udp -m udp --dport 5310 -j CONNMARK --set-xmark 0x5/0xffffffff
-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff
*filter
-A INPUT -m mark --mark 0x5 -j DROP
""",
    )
    traffic.datagrams(lab.a, lab.b.v4, [5310] * 2)
    for line in deaths(whydrop, lab.b, 2, 5310):
        decision = the_decision(line, "got its mark 0x5 from", "--restore-mark")
        assert any("its connection has the mark 0x5" in text for text in decision["evidence"]), told(line)


def test_why_a_packet_was_invalid(lab: Lab, whydrop: Whydrop) -> None:
    nft(
        lab.b,
        "table inet t { chain c { type filter hook input priority 0;\n ct state invalid counter drop\n } }",
    )
    traffic.spoilt_datagram(lab.a, (lab.a.v4, lab.b.v4), (41111, 5311), cut=False)
    (line,) = deaths(whydrop, lab.b, 1, 5311)
    decision = the_decision(line, "conntrack found it INVALID: ", "checksum")
    assert decision["confidence"] == "certain"


@pytest.fixture
def bridge_netfilter() -> Iterator[None]:
    """It hands bridged packets to iptables in every namespace, so it must go again."""
    subprocess.run(["modprobe", "br_netfilter"], check=True)
    yield
    subprocess.run(["modprobe", "-r", "br_netfilter"], check=True)


def test_a_bridged_frame_that_meets_iptables(bridge_netfilter: None, lab: Lab, whydrop: Whydrop) -> None:
    bridge(lab)
    legacy(lab.b, "*filter\n-A FORWARD -p udp -m udp --dport 5312 -j DROP")
    through_the_bridge(lab, 5312, 3)
    sysctl = "net.bridge.bridge-nf-call-iptables"
    assert lab.b.run(f"sysctl -n {sysctl}").stdout.strip() == "1"
    for line in deaths(whydrop, lab.b, 3, 5312):
        decision = the_decision(
            line, f"bridged frame of port {lab.b.iface}, passed to iptables because {sysctl} is 1"
        )
        assert decision["confidence"] == "certain", told(line)
        assert (decision["object"]["kind"], decision["object"]["name"]) == ("sysctl", sysctl)
    assert legacy_rules(lab.b)[0].packets == 3


@pytest.mark.parametrize("mode", ["transport", "tunnel"])
def test_a_packet_that_came_out_of_an_sa(lab: Lab, whydrop: Whydrop, mode: str) -> None:
    """IPsec was right with it; nobody listens."""
    secured = connection(lab, 4, mode, 0x5313)
    for end in (lab.a, lab.b):
        secured.add_state(end, aead(GOOD_KEY))
    secured.add_policies()
    secured.send(3)
    for line in deaths(whydrop, lab.b, 3, 5000):
        assert line["cause"]["id"] in ("socket.udp-no-listener", "unknown"), told(
            line
        )  # the latter without reasons
        decision = the_decision(line, "came out of SA 0x00005313")
        assert decision["confidence"] == "certain"
        assert decision["object"]["spi"] == "0x00005313"


def test_what_is_not_translated_has_no_such_past(lab: Lab, whydrop: Whydrop) -> None:
    """Also where conntrack knows it, and other connections are translated."""
    nft(
        lab.b,
        f"""
        table inet gate {{
            chain translate {{ type nat hook prerouting priority dstnat;
                udp dport 5314 dnat ip to {lab.b.v4}:{BACKEND} }}
            chain judge {{ type filter hook input priority 0; udp dport 5315 counter drop }}
        }}
        """,
    )
    traffic.datagrams(lab.a, lab.b.v4, [5315] * 3)
    assert not any(line["led_by"] for line in deaths(whydrop, lab.b, 3, 5315))
