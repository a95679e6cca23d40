"""Rules as iptables-nft and its sisters show them."""

from pathlib import Path

import pytest

from dropwatch.host.nft.compat import Compat, find_rule, saved, says_all, tool_of
from dropwatch.host.nft.kernel import Chain, Expression, Rule, Table
from dropwatch.host.nft.reading import Reading
from tests.unit.host.nft.structure import packed

DATA = Path(__file__).parents[2] / "data/nft"


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def meta(key: int) -> Expression:
    return Expression("meta", {1: number(1), 2: number(key)})


def payload(header: int, offset: int) -> Expression:
    return Expression("payload", {1: number(1), 2: number(header), 3: number(offset), 4: number(2)})


def made(chain: str, handle: int, steps: tuple[Expression, ...]) -> Rule:
    return Rule(chain, handle, packed(*steps))


CMP = Expression("cmp", {})
COUNTER = Expression("counter", {})
DROP = Expression("immediate", {})
UDP_53 = (meta(16), CMP, payload(2, 2), CMP, COUNTER, DROP)


@pytest.mark.parametrize(
    ("family", "table", "chains", "tool"),
    [
        ("ip", "filter", ["INPUT"], "iptables-nft"),
        ("ip6", "mangle", ["PREROUTING", "INPUT", "FORWARD"], "ip6tables-nft"),
        ("bridge", "filter", ["FORWARD"], "ebtables-nft"),
        ("arp", "filter", ["INPUT", "OUTPUT"], "arptables-nft"),
        ("inet", "filter", ["INPUT"], None),
        ("ip", "filter", ["input"], None),
        ("ip", "filter", ["INPUT", "mine"], None),
        ("ip", "filter", ["PREROUTING"], None),
        ("ip", "filter", [], None),
        ("ip", "mine", ["INPUT"], None),
    ],
)
def test_whose_table_it_is(family: str, table: str, chains: list[str], tool: str | None) -> None:
    assert tool_of(family, table, chains) == tool


def test_what_a_save_tool_writes() -> None:
    compat = saved("ebtables-nft", "filter", (DATA / "ebtables-nft-save.txt").read_text())
    assert compat.policies == {"INPUT": "ACCEPT", "FORWARD": "DROP", "OUTPUT": "ACCEPT", "EE": "DROP"}
    assert compat.rules == {
        "INPUT": ("-A INPUT -s 00:11:22:33:44:55 -j DROP",),
        "FORWARD": ("-A FORWARD -p IPv4 --ip-proto udp -j EE",),
        "EE": ("-A EE -p ARP -j DROP",),
    }


@pytest.mark.parametrize("written", ["*nat", "*filter"])
def test_where_there_seem_to_be_two_tables_none_is_believed(written: str) -> None:
    two = f'*filter\n:INPUT DROP [7:9]\n-A INPUT -m comment --comment "\n{written}\n" -j B\nCOMMIT\n'
    assert saved("x", "filter", two) == Compat("x", {}, {})


def test_a_policy_that_a_comment_repeats_is_not_believed() -> None:
    text = (
        '*filter\n:INPUT DROP [7:9]\n-A INPUT -m comment --comment "\n:INPUT ACCEPT [0:0]\n" -j B\nCOMMIT\n'
    )
    assert saved("x", "filter", text).policies == {}


def test_a_comment_may_have_lines() -> None:
    text = '*filter\n-A U -m comment --comment "x\ny" -j DROP\nCOMMIT\n# Completed\n'
    assert saved("x", "filter", text).rules == {"U": ('-A U -m comment --comment "x\ny" -j DROP',)}


def test_a_comment_that_looks_like_a_rule_hides_the_lines_of_the_chain() -> None:
    text = '*filter\n-A U -m comment --comment "x\n-A U -s 1.2.3.4/32 -j DROP\n" -j B\n-A U -j DROP\nCOMMIT\n'
    rules = (made("U", 4, (COUNTER, DROP)), made("U", 5, (COUNTER, DROP)))
    compat = saved("iptables-nft", "filter", text)
    assert find_rule(reading("ip", *rules), compat, rules[1]) is None


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (UDP_53, "-A U -p udp -m udp --dport 53 -j DROP"),
        ((COUNTER, DROP), "-A U -j DROP"),
        ((Expression("match", {}), COUNTER, Expression("target", {})), "-A U -m ttl --ttl-eq 1 -j REJECT"),
        ((meta(6), CMP, payload(1, 12), CMP, COUNTER, DROP), "-A U -s 10.0.0.0/8 ! -i eth0 -j DROP"),
    ],
)
def test_a_line_that_says_all(steps: tuple[Expression, ...], text: str) -> None:
    assert says_all("ip", made("U", 4, steps), text)


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (UDP_53, "-A U -p udp -j DROP"),  # the tool knows nothing of native ports
        ((payload(1, 1), CMP, COUNTER, DROP), "-A U -j DROP"),  # ip dscp
        ((meta(16), CMP, payload(2, 0), CMP, COUNTER, DROP), "-A U -p icmp -j DROP"),  # icmp type
        ((meta(10), CMP, COUNTER, DROP), "-A U -j DROP"),  # skuid
        ((meta(16), CMP, Expression("lookup", {}), COUNTER, DROP), "-A U -p udp -j DROP"),
        ((Expression("ct", {}), CMP, COUNTER, DROP), "-A U -j DROP"),
        ((DROP,), "-A U -j DROP"),  # no counter: not made by these tools
        ((COUNTER, Expression("log", {}), DROP), "-A U -j DROP"),
        ((Expression("limit", {5: number(1)}), COUNTER, DROP), "-A U -m limit --limit 5/sec -j DROP"),
        ((*UDP_53[2:4], *UDP_53), "-A U -p udp -m udp --dport 53 -j DROP"),  # two conditions on one field
        ((Expression("meta", {3: number(1), 2: number(3)}), COUNTER, DROP), "-A U -m mark --mark 1 -j DROP"),
    ],
)
def test_a_line_that_leaves_something_out(steps: tuple[Expression, ...], text: str) -> None:
    assert not says_all("ip", made("U", 4, steps), text)


def reading(family: str, *rules: Rule) -> Reading:
    table = Table(family, "filter", 1)
    return Reading(0, 1, 7, table, (Chain(family, "filter", "U", 2, None, None),), rules)


def test_the_line_is_found_by_its_place() -> None:
    first, second = made("U", 9, UDP_53), made("U", 4, UDP_53)
    other = made("INPUT", 5, UDP_53)
    lines = (
        "-A U -p udp -m udp --dport 53 -j DROP",
        '-A U -p udp -m udp --dport 54 -m comment --comment "b \\"c\\"" -j DROP',
    )
    compat = Compat("iptables-nft", {"U": lines}, {})
    found = find_rule(reading("ip", other, first, second), compat, second)
    assert found is not None
    assert (found.text, found.number, found.comment) == (lines[1], 2, 'b "c"')
    assert found.command == "iptables-nft -t filter -S U 2"
    assert find_rule(reading("ip", first, second, made("U", 10, UDP_53)), compat, second) is None


def test_the_policy_of_a_chain_of_ebtables_is_its_last_rule() -> None:
    first = made("U", 4, (COUNTER, DROP))
    last = made("U", 5, (COUNTER, DROP))._replace(is_policy=True)
    compat = Compat("ebtables-nft", {"U": ("-A U -j DROP",)}, {"U": "DROP"})
    found = find_rule(reading("bridge", first, last), compat, last)
    assert found is not None
    assert (found.text, found.command) == ("-P U DROP", "ebtables-nft-save")
    before = find_rule(reading("bridge", first, last), compat, first)
    assert before is not None
    assert before.text == "-A U -j DROP"
    assert find_rule(reading("bridge", first, last), compat._replace(policies={"U": "RETURN"}), last) is None
