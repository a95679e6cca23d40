"""Finds the rule of a legacy iptables, ip6tables or arptables table that an offset in the kernel stands for."""

import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from dropwatch.host import tools
from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.netns.enter import entered
from dropwatch.host.xt.blob import DROP, XtTable, hook_chain, read_table, table_names
from dropwatch.host.xt.path import XtWays
from dropwatch.host.xt.same import agrees
from dropwatch.host.xt.words import comment, header_words, rule_words, target_name
from dropwatch.model.culprits import ChainPolicy, IptablesRule, Rule
from dropwatch.model.dataclass import dataclass
from dropwatch.model.netfilter import XtFamily, XtNote
from dropwatch.names.foreign import is_option, printable, quoted, raw_name

_PROGRAMS: dict[XtFamily, str] = {"ip": "iptables", "ip6": "ip6tables", "arp": "arptables"}
_MOST_READINGS = 256
_MOST_BYTES = 16 << 20
_MOST_SEARCHES = 1024
_TIMEOUT_SECONDS = 20.0
_CHANGED = "the table was changed after the drop"


@dataclass(slots=True)
class _Reading:
    """A table at `generation`; None where there is none. `steady`: it did not change while it was read.

    `lines` are the rules of each chain as the tool lists them, or why it does not.
    """

    table: XtTable | None
    generation: int
    steady: bool
    at_ns: int
    ways: XtWays | None
    lines: dict[str, list[str] | str] = field(default_factory=dict)
    searched: dict[tuple[bytes, int], list[int]] = field(default_factory=dict)


_Key = tuple[int, XtFamily, str, int]


class XtListings:
    """Reads a table once for each change of it, and remembers the last ones.

    `generation_now` is asked after a reading, which is that of its generation only if it still is the same. Without
    it, what `rule` is given is believed to hold until it is answered.
    """

    def __init__(
        self,
        generation_now: Callable[[], int] | None = None,
        read: Callable[[XtFamily, str], XtTable | None] = read_table,
    ) -> None:
        self._generation_now = generation_now
        self._read = read
        self._known: OrderedDict[_Key, _Reading] = OrderedDict()
        self._failed: OrderedDict[_Key, tuple[int, OSError]] = OrderedDict()

    def rule(self, inode: int, note: XtNote, not_before_ns: int, generation: int) -> tuple[ListedRule, ...]:
        """Each candidate that the hook can reach and that can drop, in the order of the note: one is the rule.

        Sure where the table is the one that the packet met. Where it has changed since, a rule is `changed` when
        its own bytes are at exactly one place now, else `gone`. Raises FileNotFoundError when the namespace is
        gone, OSError when its table cannot be read.
        """
        reading = self._reading(inode, note.family, note.table, not_before_ns, generation)
        if note.generation == generation and reading.steady:
            found = self._exact(inode, reading, note)
            if found:
                return found
        return self._after_change(inode, reading, note)

    def legacy_tables(self, inode: int) -> tuple[str, ...]:
        """The tables that hold a rule or a policy other than ACCEPT, as `ip filter`. Raises OSError.

        Those of ebtables are not among them: whether they exist cannot be asked without making them.
        """
        found = []
        with entered(inode):
            for family in _PROGRAMS:
                for name in table_names(family):
                    table = self._read(family, name)
                    if table is not None and _says_something(table):
                        found.append(f"{family} {name}")
        return tuple(found)

    def _exact(self, inode: int, reading: _Reading, note: XtNote) -> tuple[ListedRule, ...]:
        """From the very table of the drop; empty when it cannot be that one, whatever the generations say."""
        table = reading.table
        if table is None or reading.ways is None or not _fits(table, note):
            return ()
        reached = reading.ways.reachable(note.hook)
        return tuple(
            self._listed(inode, reading, offset, reading.ways.way(note.hook, note.jumps, offset))
            for offset in note.candidates
            if table.chain_of[offset] in reached and _can_drop(table, offset)
        )

    def _after_change(self, inode: int, reading: _Reading, note: XtNote) -> tuple[ListedRule, ...]:
        """What can still be said when the table is no longer, or not surely, the one of the drop."""
        before = self._known.get((inode, note.family, note.table, note.generation))
        if before is not None and before.steady and before.table is not None and _fits(before.table, note):
            same = reading.table is not None and reading.table.blob == before.table.blob
            found = self._exact(inode, reading if same else before, note)
            return found if same else tuple(self._again(inode, before.table, reading, rule) for rule in found)
        return tuple(self._found_again(inode, reading, note, offset) for offset in note.candidates)

    def _again(self, inode: int, before: XtTable, reading: _Reading, rule: ListedRule) -> ListedRule:
        """A rule of the table as it was: is it still in its chain?"""
        if reading.table is None:
            return replace(rule, gone=True)
        chain = rule.rule.chain
        number = rule.rule.number if isinstance(rule.rule, IptablesRule) else None
        old = next(one for one in before.chains if one.name == chain)
        place = old.rules[number - 1] if number is not None else old.tail
        wanted = before.bytes_of(place)
        now = [
            offset
            for one in reading.table.chains
            if one.name == chain
            for offset in (one.rules if number is not None else [one.tail])
            if reading.table.bytes_of(offset) == wanted
        ]
        if len(now) != 1:
            return replace(rule, gone=True)
        # The rules of the way may have other numbers now, and those that they had lead nowhere.
        return replace(self._listed(inode, reading, now[0], ()), changed=True)

    def _found_again(self, inode: int, reading: _Reading, note: XtNote, offset: int) -> ListedRule:
        """By the bytes of the rule itself; of a policy, by its hook, that has only one."""
        places: list[int] | None = None
        if reading.table is not None and offset == note.policy:
            base = reading.table.base(note.hook)
            places = [base.tail] if base is not None and _can_drop(reading.table, base.tail) else []
        elif note.rule and len(note.candidates) == 1:
            places = _search(reading, note)
        if places is not None and len(places) == 1:
            return replace(self._listed(inode, reading, places[0], ()), changed=True)
        return _gone(note, offset, places, reading.at_ns)

    def _listed(self, inode: int, reading: _Reading, offset: int, path: tuple[str, ...]) -> ListedRule:
        table = reading.table
        assert table is not None
        chain = table.chain_of[offset]
        tool = f"{_PROGRAMS[table.family]}-legacy"
        command = f"{tool} -t {quoted(table.name)} -vnL{_operand(chain.name)} --line-numbers"
        if offset == chain.tail:
            target = table.entries[offset].verdict
            policy = ChainPolicy(
                f"-P {chain.name} {target}", table.family, table.name, chain.name, target=target
            )
            return ListedRule(policy, tool, command, path, read_at_ns=reading.at_ns)
        number = table.number(offset)
        lines, problem = self._lines(inode, reading, chain.name), None
        if isinstance(lines, str):
            problem = f"{lines}; the kernel's own table says: {rule_words(table, offset)}"
        rule = IptablesRule(
            "" if isinstance(lines, str) else lines[number - 1],
            table.family,
            table.name,
            chain.name,
            number,
            comment(table, offset),
            target_name(table, offset),
        )
        return ListedRule(rule, tool, command, path, problem, read_at_ns=reading.at_ns)

    def _lines(self, inode: int, reading: _Reading, chain: str) -> list[str] | str:
        """The rules of a chain as the tool lists them, which must be those of the reading; else why not."""
        if chain not in reading.lines:
            reading.lines[chain] = self._list(inode, reading, chain)
        return reading.lines[chain]

    def _list(self, inode: int, reading: _Reading, chain: str) -> list[str] | str:
        table = reading.table
        assert table is not None
        if is_option(chain):
            return "the name of the chain looks like an option"
        try:
            tool = find_legacy(_PROGRAMS[table.family])
            if tool is None:
                return f"{_PROGRAMS[table.family]}-legacy is not installed"
            with entered(inode):
                lines = _list_chain(tool, table, chain)
                after = self._read(table.family, table.name)
        except OSError as error:
            return error.strerror or str(error)
        if after is None or after.blob != table.blob or self._changed_since(reading.generation):
            return f"{_CHANGED}, before it could be listed"
        expected = next(len(one.rules) for one in table.chains if one.name == chain)
        if len(lines) != expected:
            return f"{Path(tool).name} lists {len(lines)} rules in {chain}, the kernel has {expected}"
        return lines

    def _reading(
        self, inode: int, family: XtFamily, name: str, not_before_ns: int, generation: int
    ) -> _Reading:
        key = (inode, family, name, generation)
        known = self._known.get(key)
        if known is not None and (known.steady or known.at_ns >= not_before_ns):
            self._known.move_to_end(key)
            return known
        failed_at, error = self._failed.get(key, (-1, None))
        if error is not None and failed_at >= not_before_ns:
            raise error
        at_ns = time.monotonic_ns()
        try:
            with entered(inode):
                table = self._read(family, name)
        except OSError as error:
            _remember(self._failed, key, (at_ns, error))
            raise
        ways = XtWays(table) if table is not None else None
        reading = _Reading(table, generation, not self._changed_since(generation), at_ns, ways)
        _remember(self._known, key, reading)
        while len(self._known) > 1 and sum(map(_size, self._known.values())) > _MOST_BYTES:
            self._known.popitem(last=False)
        return reading

    def _changed_since(self, generation: int) -> bool:
        return self._generation_now is not None and self._generation_now() != generation


def _remember(memory: OrderedDict[_Key, Any], key: _Key, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _MOST_READINGS:
        memory.popitem(last=False)


def _size(reading: _Reading) -> int:
    return len(reading.table.blob) if reading.table is not None else 0


def _fits(table: XtTable, note: XtNote) -> bool:
    """Nothing that the note says of the table, and of its rule, contradicts this one."""
    if len(table.entries) != note.entries or len(table.blob) != note.size:
        return False
    if any(offset not in table.chain_of for offset in note.candidates):
        return False
    return len(note.candidates) != 1 or agrees(table, note.candidates[0], note.rule, whole=False)


def _search(reading: _Reading, note: XtNote) -> list[int]:
    """The rules that the hook can reach and that differ from that of the note in nothing that can be compared."""
    table, ways = reading.table, reading.ways
    if table is None or ways is None:
        return []
    key = note.rule, note.hook
    if key not in reading.searched:
        if len(reading.searched) >= _MOST_SEARCHES:
            reading.searched.clear()
        reading.searched[key] = [
            rule
            for chain in ways.reachable(note.hook)
            for rule in chain.rules
            if _can_drop(table, rule) and agrees(table, rule, note.rule)
        ]
    return reading.searched[key]


def _can_drop(table: XtTable, offset: int) -> bool:
    entry = table.entries[offset]
    return entry.verdict == DROP or bool(entry.target)


def _says_something(table: XtTable) -> bool:
    return any(
        chain.rules or (chain.hook is not None and table.entries[chain.tail].verdict != "ACCEPT")
        for chain in table.chains
    )


def _gone(note: XtNote, offset: int, places: list[int] | None, at_ns: int) -> ListedRule:
    """What is left of a rule that cannot be found again: what the note itself tells."""
    tool = f"{_PROGRAMS[note.family]}-legacy"
    is_policy = offset == note.policy
    rule: Rule = IptablesRule("", note.family, note.table, target=None if note.exact else DROP)
    if is_policy:
        rule = ChainPolicy("", note.family, note.table, hook_chain(note.family, note.hook))
    problem = f"{_CHANGED}, and {_how_many(places)}"
    words = header_words(note.family, note.rule) if len(note.candidates) == 1 and not is_policy else []
    if words:
        problem += f"; it had: {', '.join(words)}"
    command = f"{tool} -t {quoted(note.table)} -vnL --line-numbers"
    return ListedRule(rule, tool, command, problem=problem, gone=True, read_at_ns=at_ns)


def _how_many(places: list[int] | None) -> str:
    if places is None:
        return "nothing was kept to recognise this rule by"
    return f"{len(places)} of its rules look like this one now" if places else "this rule is no longer in it"


def find_legacy(program: str) -> str | None:
    """The path of the tool for legacy tables; where only one kind is installed it may have the plain name."""
    legacy = tools.find(f"{program}-legacy")
    if legacy is not None:
        return legacy
    plain = tools.find(program)
    if plain is not None and "nf_tables" not in tools.run([plain, "-V"], _TIMEOUT_SECONDS):
        return plain
    return None


def _list_chain(tool: str, table: XtTable, chain: str) -> list[str]:
    word = os.fsdecode(raw_name(chain))
    if table.family == "arp":
        text = tools.run([tool, "-t", table.name, "-n", "--line-numbers", "-L", word], _TIMEOUT_SECONDS)
        return [printable(line.strip()) for line in re.split(r"^[0-9]+ ", text, flags=re.MULTILINE)[1:]]
    # The lock keeps those who change a table from one another. Holding it would make others fail for a while, and
    # what was listed is compared with the table itself.
    env = tools.find("env")
    lock = [env, "XTABLES_LOCKFILE=/dev/null"] if env is not None else []
    text = tools.run([*lock, tool, "-w", "-t", table.name, "-S", word], _TIMEOUT_SECONDS)
    rules = re.split(rf"^(?=-A {re.escape(word)} )", text, flags=re.MULTILINE)[1:]
    return [printable(rule.removesuffix("\n")) for rule in rules]


def _operand(name: str) -> str:
    """With a space before it; nothing for a name that a tool would take for an option."""
    return "" if is_option(name) else f" {quoted(name)}"
