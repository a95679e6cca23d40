"""Finds the rule of a legacy ebtables table that dropped a frame, by the counters that rose for it."""

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import field, replace
from pathlib import Path

from dropwatch.host import tools
from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.netns.enter import entered
from dropwatch.host.xt.ebt_blob import (
    ACCEPT,
    DROP,
    HOOK_CHAINS,
    RETURN,
    EbtChain,
    EbtRule,
    EbtTable,
    read_ebt_table,
)
from dropwatch.host.xt.listing import find_legacy
from dropwatch.model.culprits import ChainPolicy, EbtablesRule
from dropwatch.model.dataclass import dataclass
from dropwatch.model.netfilter import EbtNote
from dropwatch.names.foreign import is_option, printable, quoted, raw_name

_TOOL = "ebtables-legacy"
_MOST_READINGS = 64
_TIMEOUT_SECONDS = 20.0
_MOST_STEPS = 100_000
_CHANGED = "the table was changed after the drop"


@dataclass(slots=True)
class _Reading:
    table: EbtTable
    steady: bool
    at_ns: int
    lines: dict[str, list[str] | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a frame died: in a rule, or by the policy of a chain (`rule` None)."""

    chain: EbtChain
    rule: EbtRule | None
    path: tuple[str, ...] = ()


_Key = tuple[int, str, int]


class EbtListings:
    """Reads a table once for each change of it, and remembers the last ones; `generation_now` as in XtListings."""

    def __init__(
        self,
        generation_now: Callable[[], int] | None = None,
        read: Callable[[str], EbtTable] = read_ebt_table,
    ) -> None:
        self._generation_now = generation_now
        self._read = read
        self._known: OrderedDict[_Key, _Reading] = OrderedDict()
        self._failed: OrderedDict[_Key, tuple[int, OSError]] = OrderedDict()

    def rule(self, inode: int, note: EbtNote, not_before_ns: int, generation: int) -> ListedRule | None:
        """The rule or the policy; None where the counters do not tell.

        Sure where the table is the one that the frame met. Where it has changed since, the answer is `gone`, but for
        a policy that no rule came before. Raises FileNotFoundError when the namespace is gone, OSError when
        its table cannot be read.
        """
        if note.counted is None:
            return None
        reading = self._reading(inode, note.table, not_before_ns, generation)
        if note.generation == generation and reading.steady and reading.table.entries == note.entries:
            found = decide(reading.table, note.hook, note.counted)
            return self._listed(inode, reading, generation, found) if found is not None else None
        before = self._known.get((inode, note.table, note.generation))
        if before is not None and before.steady and before.table.entries == note.entries:
            found = decide(before.table, note.hook, note.counted)
            if found is None:
                return None
            if before.table.blob == reading.table.blob:
                return self._listed(inode, reading, generation, found)
            return replace(self._listed(inode, before, note.generation, found), gone=True)
        base = reading.table.base(note.hook)
        if not note.counted and base is not None and base.policy == DROP:
            return replace(self._listed(inode, reading, generation, Decision(base, None)), changed=True)
        return _gone(note, reading.at_ns)

    def _listed(self, inode: int, reading: _Reading, generation: int, found: Decision) -> ListedRule:
        table, chain, rule = reading.table, found.chain, found.rule
        operand = "" if is_option(chain.name) else f" {quoted(chain.name)}"
        command = f"{_TOOL} -t {quoted(table.name)} -L{operand} --Ln --Lc"
        if rule is None:
            text = f"-P {chain.name} {chain.policy}"
            policy = ChainPolicy(text, "bridge", table.name, chain.name, target=chain.policy)
            return ListedRule(policy, _TOOL, command, found.path, read_at_ns=reading.at_ns)
        number = chain.rules.index(rule) + 1
        if chain.name not in reading.lines:
            reading.lines[chain.name] = self._list(inode, reading, generation, chain)
        lines = reading.lines[chain.name]
        text, problem = ("", lines) if isinstance(lines, str) else (lines[number - 1], None)
        known = EbtablesRule(
            text, "bridge", table.name, chain.name, number, target=rule.verdict or rule.target
        )
        return ListedRule(known, _TOOL, command, found.path, problem, read_at_ns=reading.at_ns)

    def _list(self, inode: int, reading: _Reading, generation: int, chain: EbtChain) -> list[str] | str:
        """The rules of a chain as the tool lists them, which must be those of the reading; else why not."""
        table, word = reading.table, os.fsdecode(raw_name(chain.name))
        if is_option(chain.name):
            return "the name of the chain looks like an option"
        try:
            tool = find_legacy("ebtables")
            if tool is None:
                return f"{_TOOL} is not installed"
            with entered(inode):
                text = tools.run([tool, "-t", table.name, "-L", word, "--Lx"], _TIMEOUT_SECONDS)
                after = self._read(table.name)
        except OSError as error:
            return error.strerror or str(error)
        if after.blob != table.blob or self._changed_since(generation):
            return f"{_CHANGED}, before it could be listed"
        before = f"ebtables -t {table.name} "
        words = [line.removeprefix(before).rstrip() for line in text.split("\n")]
        rules = [line for line in words if line.startswith(f"-A {word} ")]
        if len(rules) != len(chain.rules):
            return f"{Path(tool).name} lists {len(rules)} rules in {chain.name}, the kernel has {len(chain.rules)}"
        return [printable(rule) for rule in rules]

    def _reading(self, inode: int, name: str, not_before_ns: int, generation: int) -> _Reading:
        key = (inode, name, generation)
        known = self._known.get(key)
        if known is not None and (known.steady or known.at_ns >= not_before_ns):
            self._known.move_to_end(key)
            return known
        failed_at, failure = self._failed.get(key, (-1, None))
        if failure is not None and failed_at >= not_before_ns:
            raise failure
        at_ns = time.monotonic_ns()
        try:
            with entered(inode):
                table = self._read(name)
        except OSError as error:
            self._failed[key] = (at_ns, error)
            if len(self._failed) > _MOST_READINGS:
                self._failed.popitem(last=False)
            raise
        reading = self._known[key] = _Reading(table, not self._changed_since(generation), at_ns)
        if len(self._known) > _MOST_READINGS:
            self._known.popitem(last=False)
        return reading

    def _changed_since(self, generation: int) -> bool:
        return self._generation_now is not None and self._generation_now() != generation


def decide(table: EbtTable, hook: int, counted: tuple[int, ...]) -> Decision | None:
    """Walks the table as the kernel did, which is known by the rules that counted. None where that is not possible.

    A walk that leaves out a rule that counted is not the frame's alone: another frame counted too, or a chain was
    entered twice. Then a single rule that counted and says DROP still is the one, without the way to it, where
    no policy could have dropped the frame instead.
    """
    base = table.base(hook)
    if base is None:
        return None
    wanted = set(counted)
    found, passed = _walk(table, base, wanted)
    if found is not None and passed == wanted:
        return found
    chains = _reachable(table, base)
    dropping = [
        Decision(chain, rule)
        for chain in chains
        for rule in chain.rules
        if rule.index in wanted and rule.verdict == DROP
    ]
    if len(dropping) != 1:
        return None
    confirmed = found is not None and found.rule is dropping[0].rule
    return dropping[0] if confirmed or all(chain.policy != DROP for chain in chains) else None


def _walk(table: EbtTable, base: EbtChain, wanted: set[int]) -> tuple[Decision | None, set[int]]:
    """net/bridge/netfilter/ebtables.c: ebt_do_table, with the rules that it went through and that counted."""
    passed: set[int] = set()
    stack: list[tuple[EbtChain, int, str]] = []
    chain, at, step = base, 0, ""
    sure = True
    for _ in range(_MOST_STEPS):
        path = tuple(one for _, _, one in (*stack, (chain, at, step)) if one)
        if at == len(chain.rules):
            if stack and chain.policy == RETURN:
                chain, at, step = stack.pop()
                continue
            return Decision(chain, None, path) if chain.policy == DROP and sure else None, passed
        rule = chain.rules[at]
        at += 1
        if rule.index not in wanted:
            continue
        passed.add(rule.index)
        if rule.verdict == DROP:
            return Decision(chain, rule, path), passed
        if rule.verdict == ACCEPT:
            break
        if rule.verdict == RETURN and stack:
            chain, at, step = stack.pop()
        elif rule.jump is not None:
            stack.append((chain, at, step))
            step = f"{chain.name} rule {at} jumps to {rule.jump}"
            chain, at = table.chain(rule.jump), 0
        elif rule.verdict is None:
            sure = False  # a target that is not known: it may have ended the walk
    return None, passed


def _reachable(table: EbtTable, base: EbtChain) -> list[EbtChain]:
    found = [base]
    for chain in found:
        for rule in chain.rules:
            if rule.jump is not None and table.chain(rule.jump) not in found:
                found.append(table.chain(rule.jump))
    return found


def _gone(note: EbtNote, at_ns: int) -> ListedRule:
    """The rules that counted have other numbers now, and nothing else was kept to know them again by."""
    chain = HOOK_CHAINS[note.hook] if 0 <= note.hook < len(HOOK_CHAINS) else None
    rule = EbtablesRule("", "bridge", note.table)
    problem = f"{_CHANGED}, and nothing was kept to recognise this rule by" + (
        f"; the frame met it on its way through {chain}" if chain else ""
    )
    command = f"{_TOOL} -t {quoted(note.table)} -L --Ln --Lc"
    return ListedRule(rule, _TOOL, command, problem=problem, gone=True, read_at_ns=at_ns)
