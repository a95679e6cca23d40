"""Which rule of an ebtables table dropped a frame: a table of Linux 6.1, and chains made for the walk."""

import base64
import json
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from dropwatch.host import tools
from dropwatch.host.xt import ebt_listing
from dropwatch.host.xt.ebt_blob import EbtChain, EbtRule, EbtTable, parse
from dropwatch.host.xt.ebt_listing import EbtListings, decide
from dropwatch.model.culprits import EbtablesRule
from dropwatch.model.netfilter import EbtNote

RECORDED = json.loads((Path(__file__).parents[2] / "data/legacy-tables-6.1.json").read_text())
INODE = 4026532000
LISTED = """\
ebtables -t filter -P EE DROP
ebtables -t filter -A EE -p IPv4 --ip-proto udp --ip-dport 9 -j DROP 
ebtables -t filter -A EE -p ARP -j mark --mark-set 0x3 --mark-target ACCEPT
"""  # noqa: W291


def recorded() -> EbtTable:
    found = RECORDED["bridge"]
    return parse("filter", zlib.decompress(base64.b64decode(found["blob"])), found["hooks"])


def test_chains_and_verdicts() -> None:
    table = recorded()
    assert [
        (chain.name, chain.hook, chain.policy, [rule.jump or rule.verdict for rule in chain.rules])
        for chain in table.chains
    ] == [
        ("INPUT", 1, "DROP", []),
        ("FORWARD", 2, "ACCEPT", ["RR", "EE", "DROP"]),
        ("OUTPUT", 3, "ACCEPT", []),
        ("EE", None, "DROP", ["DROP", "ACCEPT"]),
        ("RR", None, "RETURN", ["DROP"]),
    ]
    assert [rule.index for chain in table.chains for rule in chain.rules] == [0, 1, 2, 3, 4, 5]
    assert table.chain("EE").rules[1].target == "mark"


@pytest.mark.parametrize(
    ("hook", "counted", "chain", "index", "path"),
    [
        (2, (0, 1, 3), "EE", 3, ("FORWARD rule 2 jumps to EE",)),
        (2, (0, 5), "RR", 5, ("FORWARD rule 1 jumps to RR",)),
        (2, (0, 2), "FORWARD", 2, ()),
        (2, (2,), "FORWARD", 2, ()),
        (2, (1,), "EE", None, ("FORWARD rule 2 jumps to EE",)),
        (1, (), "INPUT", None, ()),
    ],
)
def test_what_dropped(
    hook: int, counted: tuple[int, ...], chain: str, index: int | None, path: tuple[str, ...]
) -> None:
    found = decide(recorded(), hook, counted)
    assert found is not None
    assert (found.chain.name, found.rule.index if found.rule else None, found.path) == (chain, index, path)


@pytest.mark.parametrize(
    ("hook", "counted"),
    [
        (2, ()),  # accepted by the policy
        (2, (0,)),
        (2, (1, 4)),  # accepted by a rule
        (2, (3,)),  # how it came there nobody saw, and a policy may have done it
        (2, (0, 1, 2, 3)),
        (2, (2, 3)),
        (4, ()),
    ],
)
def test_what_does_not_tell(hook: int, counted: tuple[int, ...]) -> None:
    assert decide(recorded(), hook, counted) is None


def rule(
    index: int, verdict: str | None = None, jump: str | None = None, target: str = "standard"
) -> EbtRule:
    return EbtRule(index, target, verdict, jump)


def table(*chains: EbtChain) -> EbtTable:
    return EbtTable("filter", b"", chains)


def test_a_chain_that_is_entered_twice() -> None:
    both = table(
        EbtChain("FORWARD", 2, "ACCEPT", [rule(0, jump="A"), rule(1, jump="A")]),
        EbtChain("A", None, "RETURN", [rule(2, "RETURN"), rule(3, "DROP")]),
    )
    found = decide(both, 2, (0, 1, 2, 3))
    assert found is not None
    assert found.rule is not None
    assert (found.rule.index, found.path) == (3, ())


def test_a_return_of_a_base_chain_goes_on() -> None:
    base = table(EbtChain("FORWARD", 2, "ACCEPT", [rule(0, "RETURN"), rule(1, "DROP")]))
    found = decide(base, 2, (0, 1))
    assert found is not None
    assert found.rule == rule(1, "DROP")


def test_a_target_that_is_not_known_may_have_dropped() -> None:
    base = table(EbtChain("FORWARD", 2, "DROP", [rule(0, target="other"), rule(1, "DROP")]))
    assert decide(base, 2, (0,)) is None
    found = decide(base, 2, (0, 1))
    assert found is not None
    assert found.rule == rule(1, "DROP")


class Kernel:
    def __init__(self) -> None:
        self.table = recorded()
        self.generation = 0
        self.reads = 0
        self.tool: str | None = "/usr/sbin/ebtables-legacy"
        self.runs: list[Sequence[str]] = []

    def read(self, name: str) -> EbtTable:
        assert name == "filter"
        self.reads += 1
        return self.table

    def run(self, words: Sequence[str], timeout: float) -> str:
        self.runs.append(words)
        return LISTED

    def change(self) -> None:
        self.table = EbtTable("filter", self.table.blob + b"\0", self.table.chains)
        self.generation += 1


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel()
    monkeypatch.setattr(ebt_listing, "entered", lambda inode: nullcontext())
    monkeypatch.setattr(ebt_listing, "find_legacy", lambda program: found.tool)
    monkeypatch.setattr(tools, "run", found.run)
    return found


@pytest.fixture
def listings(kernel: Kernel) -> EbtListings:
    return EbtListings(lambda: kernel.generation, kernel.read)


def note(hook: int, counted: tuple[int, ...] | None) -> EbtNote:
    return EbtNote("filter", hook, 6, counted, 0)


def test_the_rule_as_text(kernel: Kernel, listings: EbtListings) -> None:
    for _ in range(100):
        found = listings.rule(INODE, note(2, (1, 3)), 0, 0)
    assert found is not None
    assert (found.rule.kind, found.tool) == ("ebtables-rule", "ebtables-legacy")
    assert found.text == "-A EE -p IPv4 --ip-proto udp --ip-dport 9 -j DROP"
    assert found.command == "ebtables-legacy -t filter -L EE --Ln --Lc"
    text = "-A EE -p IPv4 --ip-proto udp --ip-dport 9 -j DROP"
    assert found.rule == EbtablesRule(text, "bridge", "filter", "EE", 1, target="DROP")
    assert found.path == ("FORWARD rule 2 jumps to EE",)
    assert kernel.runs == [["/usr/sbin/ebtables-legacy", "-t", "filter", "-L", "EE", "--Lx"]]
    assert kernel.reads == 2


def test_a_policy(listings: EbtListings) -> None:
    found = listings.rule(INODE, note(1, ()), 0, 0)
    assert found is not None
    assert (found.rule.kind, found.text) == ("chain-policy", "-P INPUT DROP")


def test_without_the_tool_the_place_is_known(kernel: Kernel, listings: EbtListings) -> None:
    kernel.tool = None
    found = listings.rule(INODE, note(2, (1, 3)), 0, 0)
    assert found is not None
    assert (found.text, found.problem) == (None, "ebtables-legacy is not installed")
    assert isinstance(found.rule, EbtablesRule)
    assert found.rule.number == 1


def test_another_listing_than_the_table(kernel: Kernel, listings: EbtListings) -> None:
    found = listings.rule(INODE, note(2, (2,)), 0, 0)
    assert found is not None
    assert (found.text, found.problem) == (
        None,
        "ebtables-legacy lists 0 rules in FORWARD, the kernel has 3",
    )


def test_not_watched_and_not_understood(listings: EbtListings) -> None:
    assert listings.rule(INODE, note(2, None), 0, 0) is None
    assert listings.rule(INODE, note(2, (0,)), 0, 0) is None


def test_after_a_change(kernel: Kernel, listings: EbtListings) -> None:
    kernel.change()
    found = listings.rule(INODE, note(2, (1, 3)), 0, 1)
    assert found is not None
    assert (found.gone, found.text, found.rule.chain) == (True, None, None)
    found = listings.rule(INODE, note(1, ()), 0, 1)
    assert found is not None
    assert (found.changed, found.text) == (True, "-P INPUT DROP")


def test_the_table_of_the_drop_is_remembered(kernel: Kernel, listings: EbtListings) -> None:
    listings.rule(INODE, note(2, (1, 3)), 0, 0)
    kernel.generation = 1
    found = listings.rule(INODE, note(2, (1, 3)), 0, 1)
    assert found is not None
    assert (found.gone, found.changed) == (False, False)
    kernel.change()
    found = listings.rule(INODE, note(2, (1, 3)), 0, 2)
    assert found is not None
    assert (found.gone, found.text) == (True, "-A EE -p IPv4 --ip-proto udp --ip-dport 9 -j DROP")
