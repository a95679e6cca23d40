"""What the text of a changing rule tells: where it sends, for which packets, which mark it sets."""

from ipaddress import ip_address

import pytest

from dropwatch.causes.past import rule_words
from dropwatch.model.culprits import IptablesRule, NftRule
from dropwatch.model.past import Ends


def ends(source: str, sport: int, destination: str, dport: int) -> Ends:
    return Ends(ip_address(source), ip_address(destination), sport, dport)


BEFORE = ends("10.9.0.1", 40000, "10.96.0.10", 53)
AFTER = ends("10.9.0.254", 7001, "10.244.0.5", 5353)
BEFORE6, AFTER6 = ends("fd09::1", 1, "fd96::10", 53), ends("fd09::1", 1, "fd44::5", 5353)


def nft(text: str, family: str = "ip") -> NftRule:
    return NftRule(text, family, "nat", "prerouting", 4)


def xt(text: str, family: str = "ip") -> IptablesRule:
    return IptablesRule(text, family, "nat", "PREROUTING", 1)


@pytest.mark.parametrize(
    "rule",
    [
        nft("udp dport 53 dnat to 10.244.0.5:5353"),
        nft("udp dport 53 dnat ip to 10.244.0.5:5353", "inet"),
        nft("dnat to 10.244.0.1-10.244.0.9:5000-6000"),
        nft("dnat to numgen inc mod 2 map { 0 : 10.1.1.1, 1 : 10.244.0.5 }"),
        xt("-A KUBE-SEP-X -p udp -m udp -j DNAT --to-destination 10.244.0.5:5353"),
        xt("-A PREROUTING -p udp -m udp --dport 53 -j DNAT --to-destination 10.244.0.1-10.244.0.9:5353"),
        xt("-A PREROUTING -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353"),
        nft("udp dport 53 redirect to :5353"),
    ],
)
def test_it_sends_there(rule: rule_words.ChangingRule) -> None:
    assert rule_words.sends_to(rule, BEFORE, AFTER)
    assert not rule_words.comes_from(rule, BEFORE, AFTER)


@pytest.mark.parametrize(
    "rule",
    [
        nft("udp dport 53 dnat to 10.244.0.6:5353"),
        nft("udp dport 53 dnat to 10.244.0.5:5354"),
        nft("udp dport 53 dnat to 10.244.0.5"),
        nft("udp dport 53 counter accept"),
        nft('udp dport 53 counter accept comment "dnat to 10.244.0.5:5353"'),
        nft("dnat to [fd44::5]:5353", "ip6"),
        xt("-A PREROUTING -j REDIRECT --to-ports 5354"),
        xt('-A X -m comment --comment "-j DNAT --to-destination 10.244.0.5:5353" -j ACCEPT'),
    ],
)
def test_it_does_not(rule: rule_words.ChangingRule) -> None:
    assert not rule_words.sends_to(rule, BEFORE, AFTER)


def test_of_ipv6() -> None:
    before, after = ends("fd09:9::1", 1, "fd09:9::2", 53), ends("fd09:9::1", 1, "fd09:9::2", 5353)
    assert rule_words.sends_to(nft("udp dport 53 dnat ip6 to [fd09:9::2]:5353", "inet"), before, after)
    assert rule_words.sends_to(nft("udp dport 53 dnat ip6 to [fd44::5]:5353", "inet"), BEFORE6, AFTER6)
    assert not rule_words.sends_to(nft("udp dport 53 dnat ip to 10.244.0.5:5353", "inet"), BEFORE6, AFTER6)
    assert rule_words.sends_to(
        xt("-A PREROUTING -p udp -j DNAT --to-destination [fd44::5]:5353", "ip6"), BEFORE6, AFTER6
    )


@pytest.mark.parametrize(
    ("rule", "does"),
    [
        (nft('oifname "eth0" masquerade'), True),
        (nft("masquerade to :7000-7099"), True),
        (nft("masquerade to :8000-8099"), False),
        (nft("snat to 10.9.0.254"), True),
        (nft("snat to 10.9.0.253"), False),
        (xt("-A POSTROUTING -o eth0 -j MASQUERADE"), True),
        (xt("-A POSTROUTING -j SNAT --to-source 10.9.0.254"), True),
    ],
)
def test_the_source(rule: rule_words.ChangingRule, does: bool) -> None:
    assert rule_words.comes_from(rule, BEFORE, AFTER) is does


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("udp dport 53 dnat to 1.2.3.4", True),
        ("tcp dport 53 dnat to 1.2.3.4", False),
        ("udp dport 54 dnat to 1.2.3.4", False),
        ("udp dport 50-60 dnat to 1.2.3.4", True),
        ("udp dport != 53 dnat to 1.2.3.4", True),
        ("ip daddr 10.96.0.10 dnat to 1.2.3.4", True),
        ("ip daddr 10.96.0.0/24 udp dport 53 dnat to 1.2.3.4", True),
        ("ip daddr 10.97.0.0/24 udp dport 53 dnat to 1.2.3.4", False),
        ("ip saddr 10.9.0.2 dnat to 1.2.3.4", False),
        ("-A X -d 10.96.0.10/32 -p udp -m udp --dport 53 -j DNAT", True),
        ("-A X -d 10.97.0.10/32 -p udp -m udp --dport 53 -j DNAT", False),
        ("-A X ! -d 10.97.0.10/32 -p udp -j DNAT", True),
        ("-A X -p tcp -j DNAT", False),
    ],
)
def test_for_which_packets(text: str, may: bool) -> None:
    assert rule_words.may_be_for(nft(text), "udp", BEFORE) is may


@pytest.mark.parametrize(
    ("text", "mark", "sets"),
    [
        ("meta mark set 0x00000017", 0x17, True),
        ("meta mark set 0x00000017", 0x18, False),
        ("ct mark set 0x00000017", 0x17, False),
        ("-A X -j MARK --set-xmark 0x4000/0x4000", 0x4001, True),
        ("-A X -j MARK --set-xmark 0x4000/0x4000", 0x8000, False),
        ("-A X -j CONNMARK --set-xmark 0x17/0xffffffff", 0x17, False),
        ('-A X -m comment --comment "-j MARK --set-xmark 0x17" -j ACCEPT', 0x17, False),
    ],
)
def test_who_sets_a_mark(text: str, mark: int, sets: bool) -> None:
    assert rule_words.sets_mark(nft(text), mark) is sets


@pytest.mark.parametrize(
    ("text", "tests"),
    [
        ("meta mark 0x00000017 counter drop", True),
        ("meta mark & 0x000000ff == 0x00000017 drop", True),
        ("meta mark set 0x00000017", False),
        ("ct mark 0x00000017 drop", False),
        ("udp dport 5 drop", False),
        ("-A INPUT -m mark --mark 0x5 -j DROP", True),
        ("-A INPUT -m connmark --mark 0x5 -j DROP", False),
        ('udp dport 5 drop comment "meta mark 0x5"', False),
    ],
)
def test_who_looks_at_the_mark(text: str, tests: bool) -> None:
    assert rule_words.tests_mark(text) is tests


def test_a_mark_that_a_connection_kept() -> None:
    assert rule_words.restores_mark(xt("-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xf --ctmask 0xf"))
    assert rule_words.restores_mark(nft("meta mark set ct mark"))
    assert not rule_words.restores_mark(nft("ct mark set meta mark"))


@pytest.mark.parametrize(
    "rule",
    [
        nft("udp dport 5000 counter queue to 5"),
        nft("udp dport 5000 counter queue num 5"),
        nft("queue flags bypass to 5"),
        nft("queue flags bypass,fanout to 4-8"),
        nft("queue to numgen inc mod 3"),
        xt("-A INPUT -p udp -m udp --dport 5000 -j NFQUEUE --queue-num 5"),
        xt("-A INPUT -j NFQUEUE --queue-balance 4:8 --queue-bypass"),
    ],
)
def test_it_may_send_to_the_queue(rule: NftRule | IptablesRule) -> None:
    assert rule_words.queues_to(rule, 5)


@pytest.mark.parametrize(
    "rule",
    [
        nft("queue to 6"),
        nft("queue to 50"),
        nft("queue to 6-9"),
        nft("queue"),
        nft('drop comment "queue to 5"'),
        xt("-A INPUT -j NFQUEUE"),
        xt("-A INPUT -j NFQUEUE --queue-num 50"),
        xt('-A INPUT -m comment --comment "-j NFQUEUE --queue-num 5" -j DROP'),
    ],
)
def test_it_sends_to_another_queue_or_none(rule: NftRule | IptablesRule) -> None:
    assert not rule_words.queues_to(rule, 5)


def test_without_a_number_it_is_the_first() -> None:
    assert rule_words.queues_to(xt("-A INPUT -j NFQUEUE"), 0)
    assert rule_words.queues_to(nft("queue"), 0)
