"""Summaries as JSON lines and as tables of 80 columns."""

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.model.culprits import (
    ChainPolicy,
    Culprit,
    EbtablesRule,
    IptablesRule,
    NftRule,
    Sysctl,
)
from dropwatch.model.drop import Finding, Frame, Interface, Netns
from dropwatch.model.summary import Counter, FlowCount, Outside, Summary, SummaryRow
from dropwatch.render.layout import Layout
from dropwatch.render.summary import phrases
from dropwatch.render.summary.json import SummaryJson
from dropwatch.render.summary.page import fitted
from dropwatch.render.summary.table import SummaryTable

RULE = NftRule(
    'inet filter input handle 4: udp dport 5000 counter drop comment "no"', "inet", "filter", handle=4
)
ROW = SummaryRow(
    key="a",
    cause_id="netfilter.nft-rule",
    title="an nftables rule dropped it",
    confidence="certain",
    where=Frame("nft_do_chain", 0x1C, "nf_tables", 1),
    reason="NETFILTER_DROP",
    culprit=RULE,
    iface=Interface(2, "vb"),
    netns=Netns(4026532234, "b"),
    packets=1_234_567,
    new=12_340,
    rate=1234.0,
    first=1795205701.0,
    last=1795205710.5,
    samples=21,
)
MISSED = Outside(
    Counter("nic", "rx_missed_errors", 1, "eth0", "the card had no room"), Netns(1, None), count=212, new=3
)
NO_PORTS = Outside(Counter("protocol", "UdpNoPorts", 2, None, "no socket", overlap=True), Netns(2, "b"), 7, 7)
FLOW = FlowCount(4, "udp", ip_address("10.9.0.1"), ip_address("10.9.0.2"), 5000, 1_234_567)


def summary(*rows: SummaryRow, **fields: Any) -> Summary:
    usual = {
        "time": 1795205710.5,
        "seconds": 10.0,
        "since": 1795205700.0,
        "rows": rows,
        "counted": 1_234_590,
        "suppressed": {"benign.socket-close": 12},
        "not_matched": 11,
        "flows": (FLOW,),
        "outside": (MISSED, NO_PORTS),
    }
    return Summary(**{**usual, **fields})


def table(*rows: SummaryRow, own_netns: int | None = 1, **fields: Any) -> str:
    text = SummaryTable(Layout(200), own_netns).summary(summary(*rows, **fields))
    assert text.endswith("\n\n")
    assert max(map(len, text.splitlines())) <= 80
    return text


def test_json_has_the_promised_keys_in_one_line() -> None:
    text = SummaryJson().summary(summary(ROW, complete=True))
    assert text.count("\n") == 1
    found = json.loads(text)
    assert (found["type"], found["schema"], found["complete"]) == ("summary", 1, True)
    assert (found["time"], found["seconds"]) == ("2026-11-20T20:15:10.500000Z", 10.0)
    assert (found["counted"], found["not_matched"], found["suppressed"]) == (
        1_234_590, 11, {"benign.socket-close": 12},
    )  # fmt: skip
    (row,) = found["rows"]
    assert row == {
        "cause": {
            "id": "netfilter.nft-rule",
            "title": "an nftables rule dropped it",
            "confidence": "certain",
            "url": None,
        },
        "also": [],
        "where": {"function": "nft_do_chain", "offset": 28, "module": "nf_tables"},
        "reason": "NETFILTER_DROP",
        "object": {"kind": "nft-rule", "text": RULE.text, "family": "inet", "table": "filter", "handle": 4},
        "iface": {"index": 2, "name": "vb"},
        "netns": {"inode": 4026532234, "name": "b"},
        "packets": 1_234_567,
        "new": 12_340,
        "rate": 1234.0,
        "first": "2026-11-20T20:15:01.000000Z",
        "last": "2026-11-20T20:15:10.500000Z",
        "samples": 21,
        "note": None,
    }
    assert found["top_flows"] == [
        {
            "family": 4,
            "proto": "udp",
            "saddr": "10.9.0.1",
            "daddr": "10.9.0.2",
            "dport": 5000,
            "packets": 1_234_567,
        }
    ]
    assert found["outside"][0] == {
        "kind": "nic",
        "counter": "rx_missed_errors",
        "iface": "eth0",
        "netns": {"inode": 1, "name": None},
        "count": 212,
        "new": 3,
        "text": "the card had no room",
        "loss": True,
        "also_in_rows": False,
    }


def test_json_with_stacks(make_finding: Callable[..., Finding]) -> None:
    rows = (replace(ROW, finding=make_finding()), ROW)
    with_finding, without = json.loads(SummaryJson(stack=True).summary(summary(*rows)))["rows"]
    assert [frame["function"] for frame in with_finding["stack"]] == ["xfrm_input", "xfrm4_esp_rcv"]
    assert without["stack"] == []


def test_a_table_says_how_many_of_what_by_what_and_where() -> None:
    text = table(ROW)
    assert "1,234,567 dropped in 10 s, 12,340 new (1,234/s)" in text
    flat = " ".join(text.split())
    rule = f"nft rule inet filter handle 4: {RULE.text}"
    assert f"per s total what 1,234 1,234,567 {rule} [netfilter.nft-rule] vb (netns b) flows:" in flat
    assert "1,234,567 udp 10.9.0.1 > 10.9.0.2:5000" in flat
    assert "not seen dying: 212 lost in the NIC eth0: rx_missed_errors (the card had no room)" in flat
    assert "other counters: 7 lost (netns b): UdpNoPorts (no socket)" in flat


def test_function_and_reason_stand_there_where_they_are_all_that_is_known() -> None:
    place = "[unknown] vb (netns b), nft_do_chain+0x1c [nf_tables], NETFILTER_DROP"
    assert place in " ".join(table(replace(ROW, cause_id="unknown")).split())
    verbose = SummaryTable(Layout(80), 1, verbose=True).summary(summary(ROW))
    assert "vb (netns b), nft_do_chain+0x1c [nf_tables], NETFILTER_DROP" in " ".join(verbose.split())


@pytest.mark.parametrize(
    ("culprit", "words"),
    [
        (NftRule("tcp dport 22 drop", "ip", "t", "c", 4), "nft rule ip t c handle 4: tcp dport 22 drop"),
        (
            IptablesRule("-A INPUT -p udp -j DROP", "ip6", "filter", "INPUT", 3),
            "ip6tables rule filter INPUT 3: -p udp -j DROP",
        ),
        (IptablesRule("-A IN -j DROP", "ip", "raw", "IN", 1), "iptables rule raw IN 1: -j DROP"),
        (
            EbtablesRule("-j DROP", "bridge", "filter", "FORWARD", 2),
            "ebtables rule filter FORWARD 2: -j DROP",
        ),
        (
            ChainPolicy("-P INPUT DROP", "ip", "filter", "INPUT", target="DROP"),
            "policy of chain ip filter INPUT: DROP",
        ),
        (
            ChainPolicy("type filter hook input", "inet", "t", "c", policy="drop"),
            "policy of chain inet t c: drop",
        ),
        (Sysctl("net.ipv4.x = 1", "net.ipv4.x", 1), "udp port 5000, ...: it died: sysctl net.ipv4.x = 1"),
        (None, "udp port 5000, ...: it died"),
    ],
)
def test_a_row_in_words(culprit: Culprit | None, words: str) -> None:
    row = replace(ROW, title="it died", culprit=culprit, ports=("udp 5000",))
    assert phrases.what(row) == words
    assert phrases.what(replace(row, confidence="likely")) == f"probably {words}"
    assert phrases.what(replace(row, also=("tcp.reset",))) == f"{words}, and others"


def test_of_many_ports_the_first_are_told() -> None:
    row = replace(ROW, title="it died", culprit=None, ports=("udp 1", "udp 2", "tcp 3", "tcp 4"))
    assert phrases.what(row) == "udp 1, udp 2, tcp 3, ...: it died"
    assert phrases.what(replace(row, ports=row.ports[:2], packets=21)) == "udp 1, udp 2: it died", (
        "all of them"
    )
    assert phrases.what(replace(row, ports=row.ports[:2])) == "udp 1, udp 2, ...: it died"
    assert phrases.what(replace(row, ports=())) == "it died"


def test_nothing_here_but_in_the_card_is_an_answer() -> None:
    text = " ".join(table(suppressed={}, flows=()).split())
    assert "nothing dropped here in 10 s; 212 lost in the NIC eth0: rx_missed_errors" in text
    assert table(outside=(), flows=()).splitlines()[0].endswith("nothing dropped here in 10 s")


def test_a_table_that_is_too_long_says_what_is_missing() -> None:
    assert "... and 11 more rows with 13,580,237 packets" in table(*[ROW] * 41)


def test_a_mixed_row_and_one_that_is_likely() -> None:
    text = table(replace(ROW, confidence="likely", also=("routing.blackhole",), note="mixed: mostly one"))
    flat = " ".join(text.split())
    assert "probably nft rule" in flat
    assert "[netfilter.nft-rule, also routing.blackhole]" in flat
    assert "mixed: mostly one" in flat


def test_what_would_move_a_cursor_is_spelt_out() -> None:
    evil = replace(ROW, culprit=NftRule("comment \x1b[2Jgone", "ip", "filter"))
    assert "\x1b" not in table(evil)


@pytest.mark.parametrize(
    ("history", "width", "line"),
    [
        ((), 3, "   "),
        ((0, 0), 3, "   "),
        ((1,), 3, "  █"),
        ((0, 1, 8), 3, " ▁█"),
        ((1, 1, 1, 1), 2, "██"),
        ((8, 0, 0, 0, 1), 3, "█ ▁"),
    ],
)
def test_sparklines(history: tuple[int, ...], width: int, line: str) -> None:
    assert phrases.sparkline(history, width) == line


def test_a_sparkline_for_terminals_without_blocks() -> None:
    assert phrases.sparkline((0, 1, 8), 3, blocks=False) == " .#"


def test_numbers_for_people() -> None:
    assert [phrases.rate(number) for number in (0, 0.2, 9.96, 12.4, 12345.6)] == [
        "0",
        "0.2",
        "10.0",
        "12",
        "12,346",
    ]
    assert [phrases.duration(number) for number in (3, 63, 7260)] == ["3 s", "1 min 3 s", "2 h 1 min"]


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("a", 0, ""),
    ],
)
def test_what_fits(text: str, width: int, shown: str) -> None:
    assert fitted(text, width) == shown
