"""Listings of nft 1.0.6, recorded on kernel 6.12."""

from pathlib import Path

import pytest

from dropwatch.host.nft.text import TextRule, TextTable, tables_of

DATA = Path(__file__).parents[2] / "data/nft"
TABLES = {(table.family, table.name): table for table in tables_of((DATA / "ruleset.txt").read_text())}


def rule(table: TextTable, handle: int) -> TextRule:
    found = [rule for chain in table.chains for rule in chain.rules if rule.handle == handle]
    assert len(found) == 1
    return found[0]


def test_every_table_with_its_handle() -> None:
    assert {key: table.handle for key, table in TABLES.items()} == {
        ("inet", "filter"): 14,
        ("ip", "my.odd_table/x-1"): 15,
        ("bridge", "br"): 16,
        ("arp", "a"): 17,
        ("netdev", "nd"): 18,
        ("ip6", "t"): 19,
    }


def test_every_chain_with_its_handle_and_definition() -> None:
    chains = {chain.name: chain for chain in TABLES["inet", "filter"].chains}
    assert [(name, chain.handle) for name, chain in chains.items()] == [
        ("ww", 1),
        ("vv", 2),
        ("uu", 3),
        ("input", 4),
        ("out", 5),
    ]
    assert chains["input"].definition == "type filter hook input priority filter; policy drop;"
    assert chains["ww"].definition is None
    assert [rule.handle for rule in chains["ww"].rules] == [15]
    assert len(chains["input"].rules) == 16


@pytest.mark.parametrize(
    ("handle", "text"),
    [
        (21, "ct state vmap { invalid : drop, established : accept, related : accept }"),
        (22, "ip saddr . tcp dport vmap @verd2"),
        (28, "udp dport 9 quota over 10 mbytes drop"),
        (29, "udp dport 10 reject with icmpx admin-prohibited"),
        (33, "ip saddr . udp dport { 10.0.0.1 . 53, 10.0.0.2 . 54 } drop"),
        (34, 'counter name "cnt" quota name "q1" limit name "lim1" accept'),
        (42, "ip saddr @big update @big2 { ip saddr timeout 1m limit rate 3/second } drop"),
        (43, 'oifname "eth*" tcp flags syn / fin,syn,ack drop'),
    ],
)
def test_the_line_of_a_rule(handle: int, text: str) -> None:
    found = rule(TABLES["inet", "filter"], handle)
    assert (found.text, found.comment) == (text, None)


def test_a_comment_cannot_look_like_a_handle() -> None:
    table = TABLES["inet", "filter"]
    assert rule(table, 27).comment == "evil # handle 5"
    assert rule(table, 27).text.endswith('counter drop comment "evil # handle 5"')
    assert rule(table, 19).comment == "say no # handle 9"
    assert 'log prefix "drop # handle 77 {" drop' in rule(table, 19).text
    assert rule(table, 39).text == 'udp dport 6001 counter drop comment "two lines # handle 8"'
    handles = [rule.handle for chain in table.chains for rule in chain.rules]
    assert not {5, 8, 9, 77} & set(handles)
    assert len(handles) == len(set(handles)) == 21


def test_where_a_rule_leads_to() -> None:
    table = TABLES["inet", "filter"]
    assert rule(table, 17).targets == (("goto", "ww"),)
    assert rule(table, 25).targets == (("jump", "uu"), ("goto", "vv"))
    assert rule(table, 23).targets == (("jump", "uu"), ("goto", "vv"))  # by the map's elements
    assert rule(table, 22).targets == (("jump", "ww"),)  # whose elements are on two lines
    assert rule(table, 31).targets == (("jump", "uu"),)
    assert rule(table, 27).targets == ()
    assert rule(TABLES["ip", "my.odd_table/x-1"], 5).targets == (("jump", "drop.me/1"),)


def test_a_chain_without_a_name_is_part_of_the_rule() -> None:
    found = rule(TABLES["inet", "filter"], 38)
    assert found.text == "tcp dport 6000 jump { ip saddr 1.2.3.4 drop; counter; }"
    assert found.inner == ("ip saddr 1.2.3.4 drop", "counter")
    assert found.targets == ()


def test_a_rule_over_several_lines_is_one() -> None:
    listing = (
        "table ip t {\n\tchain c {\n\t\tip daddr { 1.1.1.1,\n\t\t\t     1.1.1.2 } drop # handle 4\n"
        "\t\ttcp dport vmap { 1 : jump a,\n\t\t\t\t 2 : goto b } # handle 5\n\t}\n}\n"
    )
    (table,) = tables_of(listing)
    assert table.handle is None
    assert [rule.text for rule in table.chains[0].rules] == [
        "ip daddr { 1.1.1.1, 1.1.1.2 } drop",
        "tcp dport vmap { 1 : jump a, 2 : goto b }",
    ]
    assert rule(table, 5).targets == (("jump", "a"), ("goto", "b"))


def test_tables_of_iptables_nft_are_read_likewise() -> None:
    tables = tables_of((DATA / "iptables-nft.txt").read_text())
    assert [(table.family, table.name, table.handle) for table in tables] == [
        ("ip", "filter", 1),
        ("ip", "nat", 2),
        ("ip", "raw", 3),
        ("ip6", "filter", 4),
        ("bridge", "filter", 5),
        ("arp", "filter", 6),
    ]
    assert rule(tables[0], 4).text == "ip saddr 10.0.0.0/8  counter drop"


def test_nothing_that_a_terminal_obeys_is_left() -> None:
    (table,) = tables_of('table ip t {\n\tchain c {\n\t\tdrop comment "\x1b[2J" # handle 4\n\t}\n}\n')
    assert table.chains[0].rules[0].text == 'drop comment "?[2J"'


@pytest.mark.parametrize("listing", ["", "\n", 'table ip t {\n\tchain c {\n\t\tdrop comment "', "}\n}\n"])
def test_what_is_cut_short_is_left_out(listing: str) -> None:
    assert all(not chain.rules for table in tables_of(listing) for chain in table.chains)
