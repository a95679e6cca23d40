"""What is answered for a note, from readings that are made up."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from dropwatch.host.nft import listing
from dropwatch.host.nft.listing import NftListings
from dropwatch.host.nft.reading import Reading
from dropwatch.host.nft.text import lines_of
from dropwatch.model.culprits import ChainPolicy, NftRule
from dropwatch.model.netfilter import NftChain, NftNote
from tests.unit.host.nft.structure import structures

LISTING = (Path(__file__).parents[2] / "data/nft/ruleset.txt").read_text()
TABLE, CHAINS, RULES, MAPS = structures(LISTING)[0]
TEXT = lines_of(LISTING[: LISTING.index("\ntable ")], TABLE, CHAINS, RULES)
INPUT, UU, VV, WW = NftChain(4, "input"), NftChain(3, "uu"), NftChain(2, "vv"), NftChain(1, "ww")


def note(rule: int | None, chain: NftChain | None, *visited: NftChain) -> NftNote:
    return NftNote(
        "policy" if rule is None else "rule",
        "inet",
        "filter",
        14,
        INPUT,
        1,
        0,
        "drop",
        chain,
        rule,
        "nft_immediate_eval",
        visited,
    )


class Namespace:
    """A namespace whose clock stands still unless a test moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.reads, self.cookie = 100, 0, 5
        self.reading = Reading(0, 5, 7, TABLE, CHAINS, RULES, MAPS, TEXT)
        monkeypatch.setattr(listing, "read_table", self.read)
        monkeypatch.setattr(listing, "namespace_cookie", lambda inode: self.cookie)
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.now)
        monkeypatch.setattr(listing, "list_table", lambda inode, reading: None)

    def read(self, inode: int, family: str, handle: int) -> Reading:
        assert (inode, family) == (1, "inet")
        self.reads += 1
        return replace(self.reading, read_at=self.now)

    def without(self, handle: int) -> None:
        self.reading = replace(self.reading, rules=tuple(rule for rule in RULES if rule.handle != handle))


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> Namespace:
    return Namespace(monkeypatch)


def test_a_rule(namespace: Namespace) -> None:
    found = NftListings().rule(1, note(16, VV, VV), 90)
    assert (found.rule.kind, found.tool) == ("nft-rule", "nft")
    assert found.text == 'ip saddr @big counter drop comment "deep"'
    assert found.command == "nft -a list chain inet filter vv"
    assert found.rule == NftRule(
        'ip saddr @big counter drop comment "deep"', "inet", "filter", "vv", 16, comment="deep"
    )
    assert found.path == ("input: rule handle 23 or 25 goes to vv",)
    assert (found.problem, found.gone, found.changed, found.read_at_ns) == (None, False, False, 100)


def test_the_chain_is_found_where_the_kernel_does_not_tell(namespace: Namespace) -> None:
    found = NftListings().rule(1, note(15, None, VV, WW), 90)
    assert found.rule.chain == "ww"
    # by rule 22 of `input`, or by rule 17 of `vv`: nobody knows
    assert found.path == ()
    assert NftListings().rule(1, note(15, None, WW), 90).path == ("input: rule handle 22 jumps to ww",)


def test_a_chain_that_returned_is_no_step(namespace: Namespace) -> None:
    found = NftListings().rule(1, note(16, VV, UU, VV), 90)
    assert found.path == ("input: rule handle 23 or 25 goes to vv",)
    assert NftListings().rule(1, note(28, INPUT, UU, VV), 90).path == ()


def test_which_rules_lead_to_a_chain(namespace: Namespace) -> None:
    def callers(chain: str, target: str) -> list[tuple[int, set[str]]]:
        return [(rule.handle, verbs) for rule, verbs in namespace.reading.callers(chain, target)]

    assert callers("vv", "ww") == [(17, {"goto"})]
    assert callers("input", "uu") == [(23, {"jump"}), (25, {"jump"}), (31, {"jump"})]  # 23 and 25 by a map
    assert callers("input", "vv") == [(23, {"goto"}), (25, {"goto"})]
    assert callers("input", "ww") == [(22, {"jump"})]
    assert callers("input", "__chain38") == [(38, {"jump"})]
    assert callers("uu", "drop") == callers("nothing", "uu") == []


def test_the_way_is_not_told_where_the_maps_are_not_known(namespace: Namespace) -> None:
    namespace.reading = replace(namespace.reading, maps=None)
    assert NftListings().rule(1, note(16, VV, VV), 90).path == ()


def test_a_rule_of_a_chain_without_a_name_is_listed_in_the_rule_around_it(namespace: Namespace) -> None:
    inner = NftChain(1000, "__chain38")
    found = NftListings().rule(1, note(36, inner, inner), 90)
    assert (found.text, found.command) == ("ip saddr 1.2.3.4 drop", "nft -a list chain inet filter input")
    assert found.path == ("input: rule handle 38 jumps to __chain38",)


def test_a_policy(namespace: Namespace) -> None:
    found = NftListings().rule(1, note(None, INPUT), 90)
    assert (found.rule.kind, found.text) == (
        "chain-policy",
        "type filter hook input priority filter; policy drop;",
    )
    assert replace(found.rule, text="") == ChainPolicy("", "inet", "filter", "input", "drop")
    chains = tuple(chain._replace(policy="accept") for chain in CHAINS)
    namespace.reading = replace(namespace.reading, chains=chains)
    found = NftListings().rule(1, note(None, INPUT), 90)
    assert (found.text, found.changed) == (None, True)
    assert found.problem == "the policy of the chain is accept by now"


def test_what_is_gone(namespace: Namespace) -> None:
    namespace.without(16)
    found = NftListings().rule(1, note(16, VV, VV), 90)
    assert (found.text, found.gone) == (None, True)
    assert found.problem == "the rule was deleted or replaced since"
    assert found.rule == NftRule("", "inet", "filter", "vv", 16)
    namespace.reading = replace(namespace.reading, table=None)
    assert NftListings().rule(1, note(28, INPUT), 90).problem == "the table was deleted or replaced since"


def test_a_rule_in_another_chain_is_another_rule(namespace: Namespace) -> None:
    assert NftListings().rule(1, note(16, NftChain(9, "vv"), VV), 90).gone


def test_without_the_tool_the_kernel_still_tells(namespace: Namespace) -> None:
    namespace.reading = replace(namespace.reading, text=None, problem="the nft tool is not installed")
    found = NftListings().rule(1, note(16, None, VV), 90)
    assert (found.text, found.gone, found.problem) == (None, False, "the nft tool is not installed")
    assert found.rule == NftRule("", "inet", "filter", "vv", 16, comment="deep")


def test_a_rule_that_could_not_be_placed(namespace: Namespace) -> None:
    found = NftListings().rule(1, replace(note(None, None), verdict="unplaced"), 90)
    assert (found.rule.kind, found.text, found.gone) == ("nft-rule", None, False)


def test_a_burst_costs_one_reading(namespace: Namespace) -> None:
    listings = NftListings()
    for at in range(50, 1000):
        namespace.now = max(100, at)
        assert listings.rule(1, note(16, VV, VV), at).text
    assert namespace.reads == 1


def test_for_how_long_an_answer_is_good(namespace: Namespace) -> None:
    """For what died before the reading; once it is confirmed, for what died before its namespace was looked at."""
    listings = NftListings()
    listings.rule(1, note(16, VV, VV), 90)
    assert listings.fresh_until == 100
    namespace.now = 300
    listings.rule(1, note(16, VV, VV), 200)
    assert listings.fresh_until == 300
    listings.rule(1, note(16, VV, VV), 95)
    assert listings.fresh_until == 100, "what it says of that one is that it was read after it"
    assert namespace.reads == 1


def test_rules_that_take_turns_cost_a_reading_each(namespace: Namespace) -> None:
    listings = NftListings()
    for at in range(200, 1000):
        namespace.now = at
        listings.rule(1, note((16, 28, 19)[at % 3], None), at)
    assert namespace.reads == 3


def test_a_rule_that_is_met_first_is_read(namespace: Namespace) -> None:
    listings = NftListings()
    listings.rule(1, note(16, VV, VV), 90)
    namespace.now = 300
    listings.rule(1, note(28, INPUT), 200)
    assert namespace.reads == 2


def test_after_seconds_it_is_read_again(namespace: Namespace) -> None:
    listings = NftListings()
    listings.rule(1, note(16, VV, VV), 90)
    namespace.now = 10_000_000_000
    namespace.without(16)
    assert listings.rule(1, note(16, VV, VV), namespace.now - 1).gone


def test_another_namespace_with_the_same_number_is_read(namespace: Namespace) -> None:
    listings = NftListings()
    listings.rule(1, note(16, VV, VV), 90)
    namespace.now, namespace.cookie = 300, 6
    listings.rule(1, note(16, VV, VV), 200)
    assert namespace.reads == 2


def test_where_namespaces_cannot_be_told_apart_each_drop_is_read(namespace: Namespace) -> None:
    namespace.reading = replace(namespace.reading, cookie=None)
    listings = NftListings()
    listings.rule(1, note(16, VV, VV), 90)
    namespace.now = 300
    listings.rule(1, note(16, VV, VV), 200)
    listings.rule(1, note(16, VV, VV), 250)
    assert namespace.reads == 2


def test_a_namespace_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        NftListings().rule(1, note(16, VV), 90)
