"""Finds the nf_tables rule or chain policy that killed a packet, and shows it as its tool lists it."""

import time
from collections import OrderedDict
from dataclasses import field, replace

from dropwatch.host.commands import nft_listing
from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.nft import kernel
from dropwatch.host.nft.compat import Compat, find_rule, list_command, list_table, tool_of
from dropwatch.host.nft.path import way
from dropwatch.host.nft.reading import Reading, namespace_cookie, read_table, read_tables
from dropwatch.host.nft.text import printable
from dropwatch.model.culprits import ChainPolicy, NftRule
from dropwatch.model.dataclass import dataclass
from dropwatch.model.netfilter import NftNote
from dropwatch.names.foreign import foreign, raw_name

_TABLES_REMEMBERED = 64
_VERDICTS_REMEMBERED = 4096
_BELIEVED_NS = 3_000_000_000

_Verdict = tuple[int, int | None, str | None]  # base chain, rule, policy

RULE_GONE = "the rule was deleted or replaced since"


def nft_tables(inode: int) -> tuple[str, ...]:
    """The tables of a namespace, as `inet filter` or `ip filter (iptables-nft)`.

    Raises FileNotFoundError when the namespace is gone, else OSError.
    """
    names = []
    for table, base_chains in read_tables(inode):
        tool = tool_of(table.family, table.name, (chain.name for chain in base_chains))
        names.append(f"{table.family} {foreign(table.name)}{f' ({tool})' if tool else ''}")
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
        self.fresh_until = 0  # drops of up to then (monotonic) get the last answer again

    def rule(self, inode: int, note: NftNote, not_before_ns: int) -> ListedRule:
        """The rule or policy of the note; `not_before_ns` is the monotonic time of the drop.

        Raises FileNotFoundError when the namespace is gone, OSError when it cannot be read.
        """
        key = (inode, note.family, note.table_handle)
        known = self._known.get(key)
        if known is None or not self._serves(known, inode, note, not_before_ns):
            known = self._read(key, known)
        self._known.move_to_end(key)
        answer = self._answer(known, inode, note)
        if not answer.gone and not answer.changed and known.reading.read_at >= not_before_ns:
            known.confirmed.add(_verdict(note))
        was_before = known.reading.read_at < not_before_ns
        self.fresh_until = known.same_until if was_before else known.reading.read_at
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

    def listed(self) -> ListedRule:
        note, table = self._note, self._reading.table
        if table is None or table.handle != note.table_handle:
            return self._unlisted("the table was deleted or replaced since", gone=True)
        if note.verdict == "policy":
            return self._policy()
        if note.verdict == "unplaced" or note.rule is None:
            return self._unlisted("which rule of the table it was could not be told")
        return self._rule(note.rule)

    def _policy(self) -> ListedRule:
        note, reading = self._note, self._reading
        chain = reading.chain(note.base_chain.handle)
        if chain is None or chain.hook is None:
            return self._unlisted("the chain was deleted or replaced since", gone=True)
        definition = reading.text.definitions.get(chain.handle) if reading.text is not None else None
        name = foreign(chain.name)
        known = ChainPolicy("", note.family, note.table, name, note.policy)
        answer = replace(
            self._unlisted(self._silence()), rule=known, command=self._nft_command(foreign(chain.name))
        )
        if chain.policy != note.policy:
            return replace(answer, changed=True, problem=f"the policy of the chain is {chain.policy} by now")
        if definition is not None:
            answer = _worded(answer, known, definition)
        compat = self._compat()
        if compat is None or compat.policies.get(chain.name) != note.policy.upper():
            return answer
        return replace(
            _worded(answer, replace(known, nft=answer.text), f"-P {name} {note.policy.upper()}"),
            tool=compat.tool,
            command=list_command(reading, compat, chain.name),
        )

    def _rule(self, handle: int) -> ListedRule:
        note, reading = self._note, self._reading
        rule = reading.rule(handle)
        chain = reading.chain_named(rule.chain) if rule is not None else None
        if rule is None or chain is None or (note.chain is not None and note.chain.handle != chain.handle):
            return self._unlisted(RULE_GONE, gone=True)
        known = NftRule("", note.family, note.table, foreign(chain.name), handle)
        known = replace(known, comment=printable(rule.comment) if rule.comment is not None else None)
        answer = self._by_nft(rule, chain, known)
        compat = self._compat()
        found = find_rule(reading, compat, rule) if compat is not None else None
        if found is None:
            return answer
        comment = known.comment if found.comment is None else found.comment
        return replace(
            _worded(
                answer, replace(known, number=found.number, comment=comment, nft=answer.text), found.text
            ),
            tool=found.tool,
            command=found.command,
            path=way(reading, note, chain.handle, numbered=True),
        )

    def _by_nft(self, rule: kernel.Rule, chain: kernel.Chain, known: NftRule) -> ListedRule:
        note, reading = self._note, self._reading
        text = reading.text.rules.get(rule.handle) if reading.text is not None else None
        answer = replace(
            self._unlisted(self._silence()),
            rule=known,
            command=self._nft_command(foreign(self._listed_in(chain))),
            path=way(reading, note, chain.handle),
            changed=note.chain is not None and not _is_called(chain, note.chain.name),
        )
        return answer if text is None else _worded(answer, known, text)

    def _listed_in(self, chain: kernel.Chain) -> str:
        """A chain without a name is written inside the one rule that jumps to it."""
        if not chain.is_inner:
            return chain.name
        rules = (rule for rule in self._reading.rules if rule.may_name(chain.name))
        return next((rule.chain for rule in rules), chain.name)

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
        return self._reading.problem or "nft's listing can be read in several ways there"

    def _unlisted(self, problem: str, *, gone: bool = False) -> ListedRule:
        """An answer with all that the note says and no text."""
        rule = self._as_noted()
        return ListedRule(
            rule,
            "nft",
            self._nft_command(rule.chain),
            problem=problem,
            gone=gone,
            read_at_ns=self._reading.read_at,
        )

    def _as_noted(self) -> NftRule | ChainPolicy:
        note = self._note
        if note.verdict == "policy":
            return ChainPolicy("", note.family, note.table, note.base_chain.name, note.policy)
        chain = note.chain if note.rule is not None else note.chain or note.base_chain
        return NftRule("", note.family, note.table, chain.name if chain is not None else None, note.rule)

    def _nft_command(self, chain: str | None) -> str:
        return nft_listing(self._note.family, self._note.table, chain)


def _is_called(chain: kernel.Chain, begin: str) -> bool:
    """A note has only the begin of a long name."""
    return chain.name.encode(errors="surrogateescape").startswith(raw_name(begin))


def _worded(answer: ListedRule, rule: NftRule | ChainPolicy, text: str) -> ListedRule:
    """The answer about this rule, which a tool lists so."""
    return replace(answer, rule=replace(rule, text=text), problem=None)
