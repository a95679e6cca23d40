"""What led to a drop: each decision with its object, and as sure as what it rests on."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.causes.past.decisions import led_by
from dropwatch.host.listed_rule import ChangingRules
from dropwatch.host.sysctls import SysctlValue
from dropwatch.model.culprits import IptablesRule, NftRule, Queue, Sysctl
from dropwatch.model.drop import Decision, Drop, Event, Frame, Packet, Verdict
from dropwatch.model.ipsec import XfrmNote, XfrmState
from dropwatch.model.netfilter import ConntrackNote, NetfilterNote
from dropwatch.model.past import Connection, Ends, PastNote
from tests.unit.told_host import ToldHost

DNAT = NftRule("udp dport 53 dnat to 10.9.0.2:5000", "ip", "gate", "translate", 4)
OTHER = NftRule('udp dport 53 dnat to 10.9.0.2:5000 comment "twice"', "ip", "gate", "translate", 5)
TO_ELSEWHERE = NftRule("udp dport 53 dnat to 10.9.0.3:5000", "ip", "gate", "translate", 6)
MASQUERADE = IptablesRule("-A POSTROUTING -o eth0 -j MASQUERADE", "ip", "nat", "POSTROUTING", 1)
MARKING = NftRule("udp dport 5000 meta mark set 0x00000017", "inet", "t", "early", 7)
BY_MARK = NftRule("meta mark 0x00000017 counter drop", "inet", "t", "judge", 8)
PLAIN = Verdict("certain", NftRule("udp dport 5000 counter drop", "inet", "t", "judge", 9))
RULE = "netfilter.nft-rule"
NO_CONNECTION = "skb->_nfct, at the drop: no connection"


def ends(source: str, sport: int, destination: str, dport: int) -> Ends:
    return Ends(ip_address(source), ip_address(destination), sport, dport)


def to_a_service(**more: Any) -> Connection:
    """10.9.0.1:40000 > 10.9.0.2:5000 was for 10.96.0.10:53."""
    usual = Connection(
        "udp",
        ends("10.9.0.1", 40000, "10.96.0.10", 53),
        ends("10.9.0.2", 5000, "10.9.0.1", 40000),
        False,
        "new",
        destination_nat=True,
    )
    return replace(usual, **more)


def rules(*known: NftRule | IptablesRule, complete: bool = True) -> ToldHost:
    return ToldHost(changing_rules=ChangingRules(known, 1, complete))


@pytest.fixture
def of_connection(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> Callable[..., Drop]:
    def made(connection: Connection, packet: Packet | None = None, **event: Any) -> Drop:
        return make_drop(packet, make_event(past=PastNote(connection), **event))

    return made


def the_one(drop: Drop, host: ToldHost, cause: str | None = RULE, verdict: Verdict = PLAIN) -> Decision:
    (found,) = led_by(drop, host, cause, verdict)
    return found


def test_the_only_rule_that_translates_so(of_connection: Callable[..., Drop]) -> None:
    found = the_one(of_connection(to_a_service()), rules(TO_ELSEWHERE, DNAT, MASQUERADE))
    assert found.text == (
        "was for 10.96.0.10:53 until DNAT by `udp dport 53 dnat to 10.9.0.2:5000` "
        "(table ip gate, chain translate, handle 4)"
    )
    assert (found.confidence, found.culprit) == ("likely", DNAT)
    assert found.evidence[:2] == (
        "conntrack entry of the packet, at the drop",
        "udp new src=10.9.0.1 dst=10.96.0.10 dport=53 src=10.9.0.2 dst=10.9.0.1 sport=5000",
    )


def test_of_several_rules_none_is_the_object(of_connection: Callable[..., Drop]) -> None:
    found = the_one(of_connection(to_a_service()), rules(DNAT, OTHER))
    assert found.text == "was for 10.96.0.10:53 until DNAT by one of 2 rules"
    assert found.culprit is None
    assert sum(fact.startswith("current: ") for fact in found.evidence) == 2


def test_a_connection_that_is_older_than_the_rules(of_connection: Callable[..., Drop]) -> None:
    found = the_one(of_connection(to_a_service(state="established")), rules(TO_ELSEWHERE))
    assert found.text.endswith("; no current rule does so: the connection is older than the rules")
    assert (found.confidence, found.culprit) == ("likely", None)
    assert found.fix is not None
    assert found.fix.command == "conntrack -D -p udp -s 10.9.0.1 -d 10.96.0.10 --sport 40000 --dport 53"


def test_what_deletes_an_old_entry_names_its_family_and_zone(of_connection: Callable[..., Drop]) -> None:
    asked = Ends(ip_address("fd00::1"), ip_address("fd00::9"))
    back = Ends(ip_address("fd00::2"), ip_address("fd00::1"))
    to_fd00 = to_a_service(proto="gre", original=asked, reply=back, zone=7)
    drop = of_connection(to_fd00)
    packet = replace(
        drop.packet, saddr=asked.saddr, daddr=back.saddr, proto="gre", sport=None, dport=None, family=6
    )
    found = the_one(replace(drop, packet=packet), rules(TO_ELSEWHERE))
    assert found.fix is not None
    assert found.fix.command == "conntrack -D -f ipv6 -p gre -s fd00::1 -d fd00::9 -w 7"


def test_the_fix_of_a_decision_stands_among_those_of_the_finding(of_connection: Callable[..., Drop]) -> None:
    _, verdict = diagnose(of_connection(to_a_service()), rules(TO_ELSEWHERE))
    assert "conntrack -D -p udp" in (verdict.fix[-1].command or "")
    _, verdict = diagnose(of_connection(to_a_service()), rules(DNAT))
    assert not any("conntrack -D" in (fix.command or "") for fix in verdict.fix)


@pytest.mark.parametrize("host", [ToldHost(), rules(TO_ELSEWHERE, complete=False)])
def test_the_translation_itself_is_certain(of_connection: Callable[..., Drop], host: ToldHost) -> None:
    found = the_one(of_connection(to_a_service()), host)
    assert (found.text, found.confidence) == ("was for 10.96.0.10:53 until DNAT", "certain")


def test_a_change_of_ipvs_is_no_rule(of_connection: Callable[..., Drop]) -> None:
    found = the_one(of_connection(to_a_service(destination_nat=False)), rules(DNAT))
    assert "IPVS" in found.text
    assert found.culprit is None


def test_what_ipvs_sent_to_a_real_server(of_connection: Callable[..., Drop]) -> None:
    """A probe saw it, and no rule does that."""
    sent = to_a_service(by_ipvs=True, state="untracked", destination_nat=False)
    found = the_one(of_connection(sent), rules(DNAT))
    assert found.text == "was for 10.96.0.10:53 until IPVS sent it to a real server"
    assert (found.confidence, found.culprit) == ("certain", None)
    assert found.evidence == ("probe ip_vs_nat_xmit, which had this packet before",)


def test_what_was_not_yet_translated(
    of_connection: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    packet = make_packet(daddr="10.96.0.10", dport=53)
    assert led_by(of_connection(to_a_service(), packet), rules(DNAT), RULE, PLAIN) == ()


def test_the_source(of_connection: Callable[..., Drop], make_packet: Callable[..., Packet]) -> None:
    connection = Connection(
        "udp",
        ends("10.9.0.1", 40000, "10.9.0.2", 5000),
        ends("10.9.0.2", 5000, "192.0.2.1", 7000),
        False,
        "new",
        source_nat=True,
    )
    packet = make_packet(saddr="192.0.2.1", sport=7000)
    found = the_one(of_connection(connection, packet), rules(DNAT, MASQUERADE))
    assert found.text == (
        "was from 10.9.0.1 until SNAT by `-A POSTROUTING -o eth0 -j MASQUERADE` (table ip nat)"
    )
    assert led_by(of_connection(connection), rules(MASQUERADE), RULE, PLAIN) == ()


def test_an_answer(of_connection: Callable[..., Drop], make_packet: Callable[..., Packet]) -> None:
    answer = make_packet(saddr="10.9.0.2", daddr="10.9.0.1", sport=5000, dport=40000)
    connection = to_a_service(is_reply=True, state="established")
    found = the_one(of_connection(connection, answer), rules(DNAT))
    assert found.text.startswith("replies to a packet that was for 10.96.0.10:53 until DNAT by ")


def test_who_set_the_mark_that_the_rule_looks_at(
    make_drop: Callable[..., Drop], make_event: Callable[..., Event]
) -> None:
    drop = make_drop(event=make_event(mark=0x17))
    found = the_one(drop, rules(DNAT, MARKING), verdict=Verdict("certain", BY_MARK))
    assert found.text.startswith("got its mark 0x17 from `udp dport 5000 meta mark set 0x00000017`")
    assert (found.confidence, found.culprit) == ("likely", MARKING)
    assert led_by(drop, rules(MARKING), RULE, PLAIN) == ()
    assert led_by(drop, rules(DNAT), RULE, Verdict("certain", BY_MARK)) == ()


def test_a_mark_that_the_connection_kept(of_connection: Callable[..., Drop]) -> None:
    own, back = ends("10.9.0.1", 40000, "10.9.0.2", 5000), ends("10.9.0.2", 5000, "10.9.0.1", 40000)
    restoring = IptablesRule("-A PREROUTING -j CONNMARK --restore-mark", "ip", "mangle", "PREROUTING", 2)
    drop = of_connection(Connection("udp", own, back, False, "established", mark=0x17), mark=0x17)
    found = the_one(drop, rules(restoring), verdict=Verdict("certain", BY_MARK))
    assert found.culprit == restoring
    assert any("its connection has the mark 0x17" in fact for fact in found.evidence)
    other = of_connection(Connection("udp", own, back, False, "established", mark=0x18), mark=0x17)
    assert led_by(other, rules(restoring), RULE, Verdict("certain", BY_MARK)) == ()


def invalid(make_event: Callable[..., Event], **note: Any) -> Event:
    return make_event(netfilter=NetfilterNote(conntrack=ConntrackNote(invalid=True, **note)))


def test_why_it_was_invalid(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> None:
    drop = make_drop(event=invalid(make_event, words="bad checksum "))
    found = the_one(drop, ToldHost(), "netfilter.conntrack-invalid")
    assert found.text == "conntrack found it INVALID: bad checksum "
    assert found.confidence == "certain"
    silent = the_one(make_drop(event=invalid(make_event)), ToldHost(), "netfilter.conntrack-invalid")
    assert silent.text == "conntrack found it INVALID, without giving a reason"
    assert silent.evidence == (NO_CONNECTION,)


def test_what_is_invalid_and_dies_of_something_else(
    make_drop: Callable[..., Drop], make_event: Callable[..., Event]
) -> None:
    """But where NAT left it alone because of that."""
    drop = make_drop(event=invalid(make_event, words="over the bound"))
    assert led_by(drop, ToldHost(), RULE, PLAIN) == ()
    of_nat = make_drop(event=invalid(make_event, words="over the bound", nat=True))
    assert the_one(of_nat, ToldHost(), "socket.tcp-no-listener").text.endswith("so NAT did not translate it")
    refused = make_drop(event=invalid(make_event, words="over the bound", refused="nf_conntrack_in"))
    assert led_by(refused, ToldHost(), "netfilter.conntrack-invalid", PLAIN) == ()


def test_a_bridged_frame(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> None:
    stack = (Frame("nf_hook_slow", 1, None, 1), Frame("br_nf_forward_ip", 1, "br_netfilter", 2))
    drop = make_drop(event=make_event(past=PastNote(None, 4)), stack=stack)
    name = "net.bridge.bridge-nf-call-iptables"
    told = {"interface_name": "p0", "sysctl": SysctlValue(1, 99)}
    found = the_one(drop, ToldHost(**told))
    assert found.text == f"bridged frame of port p0, passed to iptables because {name} is 1"
    assert (found.confidence, found.culprit) == ("certain", Sysctl(f"{name} = 1", name, 1))
    changed = the_one(drop, ToldHost(**told, last_change=drop.event.monotonic_ns + 1))
    assert changed.confidence == "likely"
    by_bridge = the_one(drop, ToldHost(interface_name="p0", sysctl=SysctlValue(0, 99)))
    assert (by_bridge.confidence, by_bridge.culprit) == ("likely", None)
    routed = replace(drop, stack=stack[:1])
    assert led_by(routed, ToldHost(**told), RULE, PLAIN) == ()


def test_out_of_an_sa(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> None:
    state = XfrmState(4, ip_address("10.9.0.1"), ip_address("10.9.0.2"), "esp", 0x1001, "transport")
    drop = make_drop(event=make_event(xfrm=XfrmNote(state=state)))
    found = the_one(drop, ToldHost(), "socket.udp-no-listener")
    assert found.text.startswith("came out of SA 0x00001001")
    assert found.confidence == "certain"
    assert led_by(drop, ToldHost(), "ipsec.policy-in", PLAIN) == ()
    leaving = make_drop(event=make_event(xfrm=XfrmNote(state=state, outbound=True)))
    assert led_by(leaving, ToldHost(), None, PLAIN) == ()


QUEUEING = NftRule("udp dport 5000 counter queue to 5", "inet", "t", "judge", 9)
IN_QUEUE = Verdict("certain", Queue("queue 5", 5))


def test_the_only_rule_that_sends_to_the_queue(make_drop: Callable[..., Drop]) -> None:
    others = (
        replace(QUEUEING, text="udp dport 5000 queue to 6"),
        replace(QUEUEING, text="udp dport 1 queue to 5"),
    )
    found = the_one(make_drop(), rules(QUEUEING, *others), "netfilter.queue-verdict", IN_QUEUE)
    assert found.text == (
        "sent to queue 5 by `udp dport 5000 counter queue to 5` (table inet t, chain judge, handle 9)"
    )
    assert (found.confidence, found.culprit) == ("likely", QUEUEING)


def test_several_rules_that_send_to_the_queue(make_drop: Callable[..., Drop]) -> None:
    second = replace(QUEUEING, handle=10)
    found = the_one(make_drop(), rules(QUEUEING, second), "netfilter.queue-verdict", IN_QUEUE)
    assert (found.text, found.culprit) == ("sent to queue 5 by one of 2 rules", None)
    found = the_one(make_drop(), rules(QUEUEING, complete=False), "netfilter.queue-verdict", IN_QUEUE)
    assert found.culprit is None
    assert led_by(make_drop(), rules(), "netfilter.queue-verdict", IN_QUEUE) == ()
