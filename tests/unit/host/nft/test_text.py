"""Listings of nft 1.0.6, recorded on kernel 6.12, and such as somebody might make it write."""

import time
from pathlib import Path

import pytest

from dropwatch.host.nft.kernel import Chain, Rule, Table
from dropwatch.host.nft.text import Lines, lines_of, part_of
from tests.unit.host.nft.structure import leading, packed, structures

DATA = Path(__file__).parents[2] / "data/nft"
LISTING = (DATA / "ruleset.txt").read_text()
ALL = structures(LISTING)
FOUND = {}
for each in ALL:
    part = part_of(LISTING, each.table, [one.table for one in ALL])
    assert part is not None
    FOUND[each.table.name] = lines_of(part, each.table, each.chains, each.rules)

TABLE = Table("inet", "t", 1)
CHAIN = Chain("inet", "t", "c", 1, 1, "drop")
HEAD = (
    "table inet t { # handle 1\n\tchain c { # handle 1\n\t\ttype filter hook input priority 0; policy drop;\n"
)
TAIL = "\t}\n}\n"


def told(*rules: Rule, lines: str, chain: Chain = CHAIN, head: str = HEAD) -> dict[int, str]:
    return lines_of(head + lines + TAIL, TABLE, (chain,), rules).rules


def test_all_tables_are_found() -> None:
    assert [(one.table.name, len(one.rules)) for one in ALL] == [
        ("filter", 23),
        ("my.odd_table/x-1", 2),
        ("br", 2),
        ("a", 1),
        ("nd", 2),
        ("t", 1),
    ]
    for one in ALL:
        assert set(FOUND[one.table.name].rules) == {rule.handle for rule in one.rules}


def test_the_definitions_of_base_chains() -> None:
    assert FOUND["filter"].definitions == {
        4: "type filter hook input priority filter; policy drop;",
        5: "type filter hook output priority mangle + 5; policy accept;",
    }
    assert FOUND["nd"].definitions[2] == 'type filter hook egress device "lo" priority filter; policy accept;'


@pytest.mark.parametrize(
    ("handle", "text"),
    [
        (15, "counter drop"),  # behind a comment of the chain
        (21, "ct state vmap { invalid : drop, established : accept, related : accept }"),
        (22, "ip saddr . tcp dport vmap @verd2"),
        (28, "udp dport 9 quota over 10 mbytes drop"),
        (29, "udp dport 10 reject with icmpx admin-prohibited"),
        (33, "ip saddr . udp dport { 10.0.0.1 . 53, 10.0.0.2 . 54 } drop"),
        (34, 'counter name "cnt" quota name "q1" limit name "lim1" accept'),
        (39, 'udp dport 6001 counter drop comment "two lines # handle 8"'),
        (42, "ip saddr @big update @big2 { ip saddr timeout 1m limit rate 3/second } drop"),
        (43, 'oifname "eth*" tcp flags syn / fin,syn,ack drop'),
    ],
)
def test_the_line_of_a_rule(handle: int, text: str) -> None:
    assert FOUND["filter"].rules[handle] == text


def test_a_comment_cannot_look_like_a_handle() -> None:
    rules = FOUND["filter"].rules
    assert rules[27].endswith('counter drop comment "evil # handle 5"')
    assert 'log prefix "drop # handle 77 {" drop' in rules[19]
    assert not {5, 8, 9, 77} & set(rules)


def test_a_chain_without_a_name_is_part_of_the_rule() -> None:
    rules = FOUND["filter"].rules
    assert rules[38] == "tcp dport 6000 jump { ip saddr 1.2.3.4 drop; counter; }"
    assert (rules[36], rules[37]) == ("ip saddr 1.2.3.4 drop", "counter")


def test_a_rule_over_several_lines_is_one() -> None:
    lines = (
        "\t\tip daddr { 1.1.1.1,\n\t\t\t     1.1.1.2 } drop # handle 4\n"
        "\t\ttcp dport vmap { 1 : jump a,\n\t\t\t\t 2 : goto b } # handle 5\n"
    )
    assert told(Rule("c", 4), Rule("c", 5), lines=lines) == {
        4: "ip daddr { 1.1.1.1, 1.1.1.2 } drop",
        5: "tcp dport vmap { 1 : jump a, 2 : goto b }",
    }


EVIL = 'a" # handle 3\n\t\tip saddr 1.2.3.4 drop comment "b'


def test_a_comment_that_looks_like_a_rule_is_a_comment() -> None:
    lines = f'\t\tdrop comment "{EVIL}" # handle 2\n\t\taccept # handle 3\n'
    assert told(Rule("c", 2, comment=EVIL), Rule("c", 3), lines=lines) == {
        2: 'drop comment "a" # handle 3 ip saddr 1.2.3.4 drop comment "b"',
        3: "accept",
    }


def test_a_comment_that_repeats_another_rule_does_not_hide_it() -> None:
    evil = 'a" # handle 3\n\t\tdrop comment "x" # handle 2\n\t\tq comment "'
    lines = f'\t\tdrop comment "x" # handle 2\n\t\taccept comment "{evil}" # handle 3\n\t\tdrop # handle 4\n'
    rules = (Rule("c", 2, comment="x"), Rule("c", 3, comment=evil), Rule("c", 4))
    found = told(*rules, lines=lines)
    assert (found[2], found[4]) == ('drop comment "x"', "drop")
    assert found[3].startswith('accept comment "a" # handle 3 drop')


def test_what_may_be_the_end_of_a_rule_twice_is_none() -> None:
    """A prefix of a log, an interface or a name of a set is not known beforehand, as a comment is."""
    lines = '\t\tlog prefix "x # handle 3\n\t\tforged # handle 4\n" # handle 2\n'
    lines += "\t\tdrop # handle 3\n\t\taccept # handle 4\n"
    assert told(Rule("c", 2), Rule("c", 3), Rule("c", 4), lines=lines) == {}


def test_a_rule_that_the_kernel_did_not_tell_of_is_not_part_of_the_next() -> None:
    lines = "\t\tdrop # handle 2\n\t\tnew # handle 9\n\t\taccept # handle 3\n\t\treturn # handle 4\n"
    assert told(Rule("c", 2), Rule("c", 3), Rule("c", 4), lines=lines) == {2: "drop", 4: "return"}


def test_the_comment_of_a_chain_is_not_its_first_rule() -> None:
    comment = 'a"\n\t\ttype filter hook input priority 9; policy accept;\n\t\tforged "'
    head = HEAD.replace("\t\ttype", f'\t\tcomment "{comment}"\n\t\ttype')
    chain = CHAIN._replace(comment=comment)
    found = lines_of(f"{head}\t\tdrop # handle 2\n{TAIL}", TABLE, (chain,), (Rule("c", 2),))
    assert found == Lines({2: "drop"}, {1: "type filter hook input priority 0; policy drop;"})
    assert (
        told(Rule("c", 2), lines="\t\tdrop # handle 2\n", head=head) == {}
    )  # the kernel tells of no comment


def test_a_name_of_a_chain_that_looks_like_another_hides_its_first_rule() -> None:
    name = "x { # handle 1\n\tchain c"
    listing = f"{HEAD}\t\tdrop # handle 2\n\t}}\n\tchain {name} {{ # handle 1\n{TAIL}"
    found = lines_of(listing, TABLE, (CHAIN, Chain("inet", "t", name, 7, None, None)), (Rule("c", 2),))
    assert found == Lines()


def test_line_breaks_inside_hide_the_rules_of_a_chain_without_a_name() -> None:
    chains = (CHAIN, Chain("inet", "t", "__chain0", 3, None, None, None, True))
    rules = (Rule("c", 6, packed(leading("jump", "__chain0"))), Rule("__chain0", 4), Rule("__chain0", 5))
    lines = '\t\tjump {\n\t\t\tlog prefix "a\n\t\t\tb" drop\n\t\t\taccept\n\t\t} # handle 6\n'
    found = lines_of(HEAD + lines + TAIL, TABLE, chains, rules).rules
    assert set(found) == {6}


def test_only_one_table_of_a_listing_is_looked_at() -> None:
    tables = [one.table for one in ALL]
    part = part_of(LISTING, tables[0], tables)
    assert part is not None
    assert part.count("\ntable ") == 0
    forged = LISTING.replace('"my counter"', '"\ntable ip my.odd_table/x-1 { # handle 15\n"')
    assert part_of(forged, tables[1], tables) is None


def test_tables_of_iptables_nft_are_read_likewise() -> None:
    listing = (DATA / "iptables-nft.txt").read_text()
    tables = structures(listing)
    assert [(*one.table,) for one in tables] == [
        ("ip", "filter", 1),
        ("ip", "nat", 2),
        ("ip", "raw", 3),
        ("ip6", "filter", 4),
        ("bridge", "filter", 5),
        ("arp", "filter", 6),
    ]
    part = part_of(listing, tables[0].table, [one.table for one in tables])
    assert part is not None
    found = lines_of(part, *tables[0][:3])
    assert found.rules[4] == "ip saddr 10.0.0.0/8  counter drop"


def test_nothing_that_a_terminal_obeys_is_left() -> None:
    assert told(Rule("c", 4, comment="\x1b[2J"), lines='\t\tdrop comment "\x1b[2J" # handle 4\n') == {
        4: 'drop comment "\\x1b[2J"'
    }


@pytest.mark.parametrize("listing", ["", "\n", HEAD + '\t\tdrop comment "', "}\n}\n"])
def test_what_is_cut_short_is_left_out(listing: str) -> None:
    assert not lines_of(listing, TABLE, (CHAIN,), (Rule("c", 2),)).rules


@pytest.mark.parametrize("comment", ["x", '"', '" # handle 2\n', ""])
def test_time_grows_with_the_listing(comment: str) -> None:
    rules = [Rule("c", handle, comment=comment) for handle in range(2, 40_002)]
    lines = "".join(f'\t\tdrop comment "{comment}" # handle {rule.handle}\n' for rule in rules)
    began = time.process_time()
    told(*rules, lines=lines)
    assert time.process_time() - began < 3


def test_a_rule_is_no_longer_than_it_can_be_read() -> None:
    """A set in it can have as many elements as its user likes, and is shown with each drop."""
    elements = ", ".join(f"10.{n >> 8}.{n & 255}.1" for n in range(20_000))
    text = told(Rule("c", 7), lines=f"\t\tip saddr {{ {elements} }} ct state invalid drop # handle 7\n")[7]
    assert text.startswith("ip saddr { 10.0.0.1, 10.0.1.1, ")
    assert text.endswith("10.0.15.1, ... 19984 more } ct state invalid drop")
    long = told(Rule("c", 7), lines=f"\t\t{'a' * 10_000} drop # handle 7\n")[7]
    assert long.endswith("aaa... (5909 characters more)")
    assert len(long) < 5000
