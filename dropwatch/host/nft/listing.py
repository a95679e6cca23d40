"""Finds the nf_tables rule or chain policy that killed a packet, and shows it as its tool lists it."""

import shlex
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.nft import netlink as kernel
from dropwatch.host.nft.compat import Compat, find_rule, list_command, list_table, tool_of
from dropwatch.host.nft.path import way
from dropwatch.host.nft.reading import Reading, namespace_cookie, read_table, read_tables
from dropwatch.host.nft.text import printable
from dropwatch.model.netfilter import NftNote

_TABLES_REMEMBERED = 64
_VERDICTS_REMEMBERED = 4096
_BELIEVED_NS = 3_000_000_000

_Verdict = tuple[int, int | None, str | None]  # base chain, rule, policy

RULE_GONE = "the rule was deleted or replaced since"


def nft_rule(inode: int, note: NftNote) -> ListedRule:
    """The rule or policy as it is listed now. Raises FileNotFoundError when the namespace is gone, else OSError."""
    return NftListings().rule(inode, note, time.monotonic_ns())


def nft_tables(inode: int) -> tuple[str, ...]:
    """The tables of a namespace, as `inet filter` or `ip filter (iptables-nft)`. Raises like `nft_rule`."""
    names = []
    for table, base_chains in read_tables(inode):
        tool = tool_of(table.family, table.name, (chain.name for chain in base_chains))
        names.append(f"{table.family} {printable(table.name)}{f' ({tool})' if tool else ''}")
    return tuple(names)


@dataclass(slots=True)
class _Known:
    """A reading and what was answered from it. Until `same_until` its namespace is known to be the same one.

    `confirmed` are the rules and policies that some reading after a drop of theirs still had.
    """

    reading: Reading
    same_until: int
    confirmed: set[_Verdict]
    compat: Compat | None = None
    compat_is_read: bool = False
    answers: dict[NftNote, ListedRule] = field(default_factory=dict)


class NftListings:
    """Remembers what it read. A rule never changes and its handle is never given again, so that what was read of
    it shortly before a drop is still right; that a rule is gone is only said from a reading after the drop.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, str, int], _Known] = OrderedDict()

    def rule(self, inode: int, note: NftNote, not_before_ns: int) -> ListedRule:
        """The rule or policy of the note; `not_before_ns` is the monotonic time of the drop.

        Raises FileNotFoundError when the namespace is gone, OSError when it cannot be read.
        """
        key = (inode, note.family, note.table_handle)
        known = self._known.get(key)
        if known is None or not self._serves(known, inode, note, not_before_ns):
            known = self._read(key, known)
        answer = self._answer(known, inode, note)
        if not answer.gone and not answer.changed and known.reading.read_at >= not_before_ns:
            known.confirmed.add(_verdict(note))
        return answer

    def nft_tables(self, inode: int) -> tuple[str, ...]:
        return nft_tables(inode)

    def _read(self, key: tuple[int, str, int], before: _Known | None) -> _Known:
        reading = read_table(*key)
        same = before is not None and reading.cookie is not None and before.reading.cookie == reading.cookie
        confirmed = before.confirmed if before is not None and same else set()
        if len(confirmed) > _VERDICTS_REMEMBERED:
            confirmed.clear()
        known = self._known[key] = _Known(reading, reading.read_at, confirmed)
        while len(self._known) > _TABLES_REMEMBERED:
            self._known.popitem(last=False)
        return known

    def _answer(self, known: _Known, inode: int, note: NftNote) -> ListedRule:
        if note not in known.answers:
            if len(known.answers) >= _VERDICTS_REMEMBERED:
                known.answers.clear()
            known.answers[note] = _Answer(inode, note, known).listed()
        return known.answers[note]

    def _serves(self, known: _Known, inode: int, note: NftNote, not_before_ns: int) -> bool:
        """Whether what was read is an answer for a drop of that time, in what is still the same namespace."""
        reading, now = known.reading, time.monotonic_ns()
        if reading.read_at >= not_before_ns:
            return True
        if _verdict(note) not in known.confirmed or now - reading.read_at > _BELIEVED_NS:
            return False
        if known.same_until < not_before_ns:
            if reading.cookie is None or namespace_cookie(inode) != reading.cookie:
                return False
            known.same_until = now
        answer = self._answer(known, inode, note)
        return not answer.gone and not answer.changed


def _verdict(note: NftNote) -> _Verdict:
    return (note.base_chain.handle, note.rule, note.policy if note.verdict == "policy" else None)


class _Answer:
    """One answer in the making."""

    def __init__(self, inode: int, note: NftNote, known: _Known) -> None:
        self._inode, self._note, self._known, self._reading = inode, note, known, known.reading
        self._details: dict[str, Any] = {
            "family": note.family,
            "table": printable(note.table),
            "chain": printable((note.chain or note.base_chain).name),
        }

    def listed(self) -> ListedRule:
        note, table = self._note, self._reading.table
        if note.verdict == "policy":
            self._details |= {"chain": printable(note.base_chain.name), "policy": note.policy}
        elif note.rule is not None:
            self._details["handle"] = note.rule
            if note.chain is None:
                del self._details["chain"]
        if table is None or table.handle != note.table_handle:
            return self._nothing("the table was deleted or replaced since", gone=True)
        if note.verdict == "policy":
            return self._policy()
        if note.verdict == "unplaced" or note.rule is None:
            return self._nothing("which rule of the table it was could not be told")
        return self._rule(note.rule)

    def _policy(self) -> ListedRule:
        note, reading = self._note, self._reading
        chain = reading.chain(note.base_chain.handle)
        if chain is None or chain.hook is None:
            return self._nothing("the chain was deleted or replaced since", gone=True)
        self._details["chain"] = printable(chain.name)
        listed = reading.text_chain(chain.handle)
        definition = listed.definition if listed is not None else None
        answer = replace(self._nothing(self._silence()), command=self._nft_command(chain.name))
        changed = chain.policy != note.policy
        if changed:
            answer = replace(
                answer, changed=True, problem=f"the policy of the chain is {chain.policy} by now"
            )
        elif definition is not None:
            answer = replace(answer, text=printable(definition), problem=None)
        compat = None if changed else self._compat()
        if compat is None or compat.policies.get(chain.name) != note.policy.upper():
            return answer
        if answer.text is not None:
            self._details["nft"] = answer.text
        return replace(
            answer,
            tool=compat.tool,
            text=f"-P {printable(chain.name)} {note.policy.upper()}",
            command=list_command(reading, compat, chain.name),
            problem=None,
        )

    def _rule(self, handle: int) -> ListedRule:
        note, reading = self._note, self._reading
        rule = reading.rule(handle)
        chain = reading.chain_named(rule.chain) if rule is not None else None
        if rule is None or chain is None or (note.chain is not None and note.chain.handle != chain.handle):
            return self._nothing(RULE_GONE, gone=True)
        self._details["chain"] = printable(chain.name)
        answer = self._by_nft(rule, chain)
        compat = self._compat()
        found = find_rule(reading, compat, rule) if compat is not None else None
        if found is None:
            return answer
        self._details["number"] = found.number
        if found.comment is not None:
            self._details["comment"] = found.comment
        if answer.text is not None:
            self._details["nft"] = answer.text
        return replace(
            answer,
            tool=found.tool,
            text=found.text,
            command=found.command,
            path=way(reading, note, chain.handle, numbered=True),
            problem=None,
        )

    def _by_nft(self, rule: kernel.Rule, chain: kernel.Chain) -> ListedRule:
        note, reading = self._note, self._reading
        answer = replace(
            self._nothing(self._silence()),
            command=self._nft_command(chain.name),
            path=way(reading, note, chain.handle),
            changed=note.chain is not None and not chain.name.startswith(note.chain.name),
        )
        listed = reading.text_rule(rule.handle)
        if listed is not None:
            if listed.comment is not None:
                self._details["comment"] = listed.comment
            return replace(answer, text=listed.text, problem=None)
        callers = [other for other in reading.rules if kernel.jump_target(other) == chain.name]
        if len(callers) != 1:
            return answer
        # a chain without a name, which is written inside the one rule that jumps to it
        outer, siblings = reading.text_rule(callers[0].handle), reading.rules_of(chain.name)
        answer = replace(answer, command=self._nft_command(callers[0].chain))
        if outer is None or len(outer.inner) != len(siblings):
            return answer
        return replace(answer, text=printable(outer.inner[siblings.index(rule)]), problem=None)

    def _compat(self) -> Compat | None:
        known = self._known
        if not known.compat_is_read:
            known.compat_is_read = True
            try:
                known.compat = list_table(self._inode, self._reading)
            except OSError:
                known.compat = None
        return known.compat

    def _silence(self) -> str:
        return self._reading.problem or "nft does not list it"

    def _nothing(self, problem: str, *, gone: bool = False) -> ListedRule:
        """An answer with all that the note says and no text."""
        kind = "chain-policy" if self._note.verdict == "policy" else "nft-rule"
        chain = self._details.get("chain")
        return ListedRule(
            kind,
            "nft",
            None,
            self._nft_command(chain),
            self._details,
            problem=problem,
            gone=gone,
            read_at_ns=self._reading.read_at,
        )

    def _nft_command(self, chain: str | None) -> str:
        if chain is None:
            return shlex.join(["nft", "-a", "list", "table", self._note.family, self._note.table])
        return shlex.join(["nft", "-a", "list", "chain", self._note.family, self._note.table, chain])
