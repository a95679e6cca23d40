"""Rules of legacy tables found by offset, after changes too, with a kernel and a tool that answer what a test wants."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.host import tools
from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.tools import ToolFailed
from dropwatch.host.xt import listing
from dropwatch.host.xt.blob import XtTable, parse
from dropwatch.host.xt.listing import XtListings
from dropwatch.model.culprits import ChainPolicy, IptablesRule
from dropwatch.model.netfilter import XtFamily, XtNote
from tests.unit.host.xt.test_blob import as_kernel, place, recorded

INODE = 4026532000
LISTED = {
    "INPUT": [
        "-A INPUT -s 1.2.3.4/32",
        "-A INPUT -p udp -j UU",
        "-A INPUT -p tcp -g GG",
        "-A INPUT -p tcp -m tcp --dport 23 -j REJECT --reject-with tcp-reset",
    ],
    "UU": [
        '-A UU -p udp -m udp --dport 9 -m comment --comment "hello \\"x\\" y\n-X z" -j DROP',
        "-A UU -p udp -m udp --dport 10 -j VV",
        "-A UU -m limit --limit 5/sec -j RETURN",
    ],
    "VV": ["-A VV ! -s 10.0.0.0/8 -i eth+ -p udp -m udp --dport 9 -j DROP", "-A VV -j DROP"],
}


SHOWN = LISTED["UU"][0].replace("\n", "\\x0a")


class Kernel:
    """Its tables, and the tool that lists them."""

    def __init__(self) -> None:
        self.tables: dict[XtFamily, XtTable | None] = {"ip": recorded("ip"), "ip6": recorded("ip6")}
        self.tables["arp"] = recorded("arp")
        self.listed = {chain: list(lines) for chain, lines in LISTED.items()}
        self.generation = 0
        self.reads = 0
        self.runs: list[Sequence[str]] = []
        self.at_run: Callable[[], None] = lambda: None
        self.installed = {"iptables-legacy", "arptables-legacy", "env"}

    def read(self, family: XtFamily, name: str) -> XtTable | None:
        self.reads += 1
        return self.tables[family] if name == "filter" else None

    def find(self, name: str) -> str | None:
        return f"/usr/sbin/{name}" if name in self.installed else None

    def run(self, words: Sequence[str], timeout: float) -> str:
        if words[-1] == "-V":
            return "iptables v1.8.9 (nf_tables)\n" if "nft" in self.installed else "iptables v1.6.0\n"
        self.runs.append(words)
        self.at_run()
        chain = words[-1]
        if words[0].endswith("arptables-legacy"):
            return f"Chain {chain} (1 references)\n1 -j DROP -i eth0 -s 10.0.0.1 \n2 -j DROP ! -s 10.0.0.1 \n"
        return "\n".join([f"-N {chain}", *self.listed[chain], ""])

    def change(self, family: XtFamily = "ip") -> None:
        """Another table: the first rule of UU is for another port now."""
        self.tables[family] = changed(self.table(family), place(self.table(family), "UU", 1))
        self.generation += 1

    def table(self, family: XtFamily = "ip") -> XtTable:
        found = self.tables[family]
        assert found is not None
        return found


def changed(table: XtTable, rule: int) -> XtTable:
    """The address of a rule is another one."""
    blob = bytearray(table.blob)
    blob[rule + 3] ^= 1
    hooks = {c.hook: (([*c.rules, c.tail])[0], c.tail) for c in table.chains if c.hook is not None}
    return parse(table.family, table.name, blob, hooks)


def number_of(listed: ListedRule) -> int | None:
    assert not isinstance(listed.rule, ChainPolicy)
    return listed.rule.number


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel()
    monkeypatch.setattr(listing, "entered", lambda inode: nullcontext())
    monkeypatch.setattr(listing, "table_names", lambda family: ("filter", "raw"))
    monkeypatch.setattr(tools, "find", found.find)
    monkeypatch.setattr(tools, "run", found.run)
    return found


@pytest.fixture
def listings(kernel: Kernel) -> XtListings:
    return XtListings(lambda: kernel.generation, kernel.read)


def note(table: XtTable, hook: int, *candidates: tuple[str, int], **fields: Any) -> XtNote:
    base = table.base(hook)
    assert base is not None
    usual = XtNote(
        family=table.family,
        table="filter",
        hook=hook,
        entries=len(table.entries),
        size=len(table.blob),
        policy=base.tail,
        candidates=tuple(place(table, *candidate) for candidate in candidates),
        exact=False,
        target=None,
        jumps=(),
        generation=0,
    )
    if len(candidates) == 1:
        usual = replace(usual, rule=as_kernel(table, usual.candidates[0]))
    return replace(usual, **fields)


def test_a_rule_in_a_chain(kernel: Kernel, listings: XtListings) -> None:
    table = kernel.table()
    jumps = (place(table, "INPUT", 2), place(table, "GG", 2))
    (rule,) = listings.rule(INODE, note(table, 1, ("UU", 1), jumps=jumps), 0, 0)
    assert rule == ListedRule(
        rule=IptablesRule(SHOWN, "ip", "filter", "UU", 1, comment='hello "x" y\\x0a-X z', target="DROP"),
        tool="iptables-legacy",
        command="iptables-legacy -t filter -vnL UU --line-numbers",
        path=("INPUT rule 2 jumps to UU",),
        read_at_ns=rule.read_at_ns,
    )
    env, lock, tool, *words = kernel.runs[0]
    assert (env, lock, tool) == (
        "/usr/sbin/env",
        "XTABLES_LOCKFILE=/dev/null",
        "/usr/sbin/iptables-legacy",
    )
    assert words == ["-w", "-t", "filter", "-S", "UU"]


def test_a_policy_needs_no_tool(kernel: Kernel, listings: XtListings) -> None:
    (rule,) = listings.rule(INODE, note(kernel.table(), 2, ("FORWARD", 0)), 0, 0)
    assert (rule.rule.kind, rule.text) == ("chain-policy", "-P FORWARD DROP")
    assert rule.rule == ChainPolicy("-P FORWARD DROP", "ip", "filter", "FORWARD", target="DROP")
    assert not kernel.runs


def test_arptables(kernel: Kernel, listings: XtListings) -> None:
    table = kernel.table("arp")
    (rule,) = listings.rule(INODE, note(table, 0, ("AA", 2), jumps=(place(table, "INPUT", 1),)), 0, 0)
    assert (rule.text, rule.path) == ("-j DROP ! -s 10.0.0.1", ("INPUT rule 1 jumps to AA",))


def test_only_what_the_hook_reaches_and_what_can_drop(kernel: Kernel, listings: XtListings) -> None:
    table = kernel.table()
    found = listings.rule(INODE, note(table, 2, ("UU", 1), ("VV", 2), ("FORWARD", 0), ("FORWARD", 1)), 0, 0)
    assert [rule.text for rule in found] == ["-A VV -j DROP", "-P FORWARD DROP"]
    assert listings.rule(INODE, note(table, 1, ("INPUT", 0)), 0, 0) == ()


def test_a_burst_costs_one_reading(kernel: Kernel, listings: XtListings) -> None:
    for at in range(1000):
        listings.rule(INODE, note(kernel.table(), 1, ("UU", 1)), at, 0)
    assert (kernel.reads, len(kernel.runs)) == (2, 1)


def test_after_a_change_it_is_found_by_its_bytes(kernel: Kernel, listings: XtListings) -> None:
    wanted = note(kernel.table(), 1, ("VV", 2))
    kernel.change()
    (rule,) = listings.rule(INODE, wanted, 0, kernel.generation)
    assert (rule.text, rule.changed, rule.gone, rule.path) == ("-A VV -j DROP", True, False, ())


def test_after_a_change_it_is_gone(kernel: Kernel, listings: XtListings) -> None:
    wanted = note(kernel.table(), 1, ("UU", 1))
    kernel.change()
    (rule,) = listings.rule(INODE, wanted, 0, kernel.generation)
    assert (rule.text, rule.changed, rule.gone) == (None, False, True)
    assert rule.rule == IptablesRule("", "ip", "filter", target="DROP")
    assert rule.problem == (
        "the table was changed after the drop, and this rule is no longer in it; it had: protocol udp"
    )


def test_after_a_change_a_rule_that_was_not_seen_whole_is_not_told(
    kernel: Kernel, listings: XtListings
) -> None:
    wanted = note(kernel.table(), 1, ("VV", 1))
    kernel.change()
    (rule,) = listings.rule(INODE, replace(wanted, rule=wanted.rule[:-8]), 0, 1)
    assert rule.gone
    (first, second) = listings.rule(INODE, note(kernel.table(), 1, ("VV", 1), ("VV", 2)), 0, 1)
    assert first.gone
    assert second.problem is not None
    assert "nothing was kept" in second.problem


def test_after_a_change_the_policy_is_the_one_of_the_hook(kernel: Kernel, listings: XtListings) -> None:
    wanted = note(kernel.table(), 2, ("FORWARD", 0))
    kernel.change()
    (rule,) = listings.rule(INODE, wanted, 0, 1)
    assert (rule.text, rule.changed) == ("-P FORWARD DROP", True)
    (rule,) = listings.rule(INODE, replace(wanted, hook=1, policy=wanted.policy), 0, 1)
    assert (rule.rule.kind, rule.text, rule.gone) == ("chain-policy", None, True)


def test_the_table_of_the_drop_is_remembered(kernel: Kernel, listings: XtListings) -> None:
    first, last = note(kernel.table(), 1, ("UU", 1)), note(kernel.table(), 1, ("VV", 2))
    listings.rule(INODE, first, 0, 0)
    kernel.change()
    (rule,) = listings.rule(INODE, first, 0, 1)
    assert (rule.text, rule.gone, number_of(rule)) == (SHOWN, True, 1)
    (rule,) = listings.rule(INODE, last, 0, 1)
    assert (rule.text, rule.changed) == ("-A VV -j DROP", True)


def test_a_change_elsewhere_changes_nothing(kernel: Kernel, listings: XtListings) -> None:
    wanted = note(kernel.table(), 1, ("UU", 1))
    listings.rule(INODE, wanted, 0, 0)
    kernel.generation = 1
    (rule,) = listings.rule(INODE, wanted, 0, 1)
    assert (rule.text, rule.changed, rule.gone) == (SHOWN, False, False)


def test_a_change_while_it_is_read(kernel: Kernel, listings: XtListings) -> None:
    wanted = note(kernel.table(), 1, ("UU", 1))
    kernel.change()
    (rule,) = listings.rule(INODE, wanted, 0, 0)
    assert rule.gone


def test_a_change_while_it_is_listed(kernel: Kernel, listings: XtListings) -> None:
    kernel.at_run = kernel.change
    (rule,) = listings.rule(INODE, note(kernel.table(), 1, ("UU", 1)), 0, 0)
    assert rule.text is None
    assert number_of(rule) == 1
    assert rule.problem == (
        "the table was changed after the drop, before it could be listed; "
        "the kernel's own table says: protocol udp, matches udp and comment, target DROP"
    )


def test_the_same_generation_with_another_table_is_not_believed(kernel: Kernel, listings: XtListings) -> None:
    wanted = note(kernel.table(), 1, ("UU", 1))
    for other in (
        replace(wanted, entries=wanted.entries + 1),
        replace(wanted, size=wanted.size + 8),
        replace(wanted, candidates=(wanted.candidates[0] + 4,)),
        replace(wanted, rule=note(kernel.table(), 1, ("VV", 2)).rule),
    ):
        for rule in listings.rule(INODE, other, 0, 0):
            assert rule.changed or rule.gone


def test_a_listing_with_another_number_of_rules(kernel: Kernel, listings: XtListings) -> None:
    kernel.listed["UU"].append("-A UU -j ACCEPT")
    (rule,) = listings.rule(INODE, note(kernel.table(), 1, ("UU", 1)), 0, 0)
    assert rule.text is None
    assert rule.problem is not None
    assert rule.problem.startswith("iptables-legacy lists 4 rules in UU, the kernel has 3;")


@pytest.mark.parametrize(
    ("installed", "text", "problem"),
    [
        ({"iptables"}, LISTED["VV"][1], None),
        (
            {"iptables", "nft"},
            None,
            "iptables-legacy is not installed; the kernel's own table says: target DROP",
        ),
        (set(), None, "iptables-legacy is not installed; the kernel's own table says: target DROP"),
    ],
)
def test_which_tool(
    kernel: Kernel, listings: XtListings, installed: set[str], text: str | None, problem: str | None
) -> None:
    kernel.installed = installed
    (rule,) = listings.rule(INODE, note(kernel.table(), 1, ("VV", 2)), 0, 0)
    assert (rule.text, rule.problem, number_of(rule)) == (text, problem, 2)


def test_a_tool_that_fails(kernel: Kernel, listings: XtListings) -> None:
    def fail() -> None:
        raise ToolFailed("`iptables-legacy -S` failed: no")

    kernel.at_run = fail
    for _ in range(3):
        (rule,) = listings.rule(INODE, note(kernel.table(), 1, ("VV", 2)), 0, 0)
        assert rule.problem == ("`iptables-legacy -S` failed: no; the kernel's own table says: target DROP")
    assert len(kernel.runs) == 1


def test_a_namespace_that_is_gone_is_looked_for_once(
    kernel: Kernel, listings: XtListings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    @contextmanager
    def gone(inode: int) -> Iterator[None]:
        tries.append(inode)
        raise FileNotFoundError("gone")
        yield

    monkeypatch.setattr(listing, "entered", gone)
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            listings.rule(INODE, note(kernel.table(), 1, ("VV", 2)), 5, 0)
    assert len(tries) == 1


def test_what_is_remembered_is_bounded(
    kernel: Kernel, listings: XtListings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_MOST_BYTES", 3 * len(kernel.table().blob))
    for inode in range(10):
        listings.rule(inode, note(kernel.table(), 2, ("FORWARD", 0)), 0, 0)
    assert len(listings._known) == 3


def test_legacy_tables(kernel: Kernel, listings: XtListings) -> None:
    kernel.tables["arp"] = None
    assert listings.legacy_tables(INODE) == ("ip filter", "ip6 filter")
