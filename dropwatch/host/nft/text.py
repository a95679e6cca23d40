"""Finds the line of each rule in what `nft -a list` writes, by what the kernel says there is.

A listing is not read for what there is: comments, prefixes and names may hold quotes and line breaks, and so look like
rules. But each rule that the kernel has ends there in its handle. Where that end can be found only once it is the
rule's, whatever else the listing holds; where it can be found twice the rule is shown without its text.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import NamedTuple

from dropwatch.host.nft.kernel import Chain, Rule, Table, target
from dropwatch.model.dataclass import dataclass
from dropwatch.model.pattern import pattern
from dropwatch.names import foreign

_END = pattern(r" # handle ([0-9]{1,20})$", re.M)
_LAYOUT = str.maketrans("\n\t", "  ")
_MOST_TABLES = 64
_LONGEST = (
    4096  # of what is shown of a rule: a set in it may have a million elements, and is printed with each drop
)
_IN_BRACES = pattern(r"\{ ([^{}]*) \}")
_SHOWN_ELEMENTS = 16


@dataclass(frozen=True, slots=True)
class Lines:
    """Each text by the handle of its rule, or for `definitions` (type, hook, priority, policy) of its base chain."""

    rules: dict[int, str] = field(default_factory=dict)
    definitions: dict[int, str] = field(default_factory=dict)


class _End(NamedTuple):
    """Where ` # handle N` begins and ends."""

    handle: int
    at: int
    after: int


def lines_of(listing: str, table: Table, chains: Iterable[Chain], rules: Iterable[Rule]) -> Lines:
    """What the listing of a table says of these rules, which must all be in it, in the order of their chains.

    It takes time in proportion to the listing. What is not certain is left out.
    """
    by_chain: dict[str, list[Rule]] = {}
    for rule in rules:
        by_chain.setdefault(rule.chain, []).append(rule)
    ends = _free_ends(listing, table, [rule for each in by_chain.values() for rule in each])
    inner = {chain.name: by_chain.get(chain.name, []) for chain in chains if chain.is_inner}
    reader = _Reader(listing, ends, inner)
    for chain in chains:
        if not chain.is_inner:
            reader.chain(chain, by_chain.get(chain.name, []))
    return reader.found


def part_of(listing: str, table: Table, tables: Sequence[Table]) -> str | None:
    """One table of a listing that has these. None where it may be another part."""
    if len(tables) > _MOST_TABLES:
        return None
    starts = []
    for each in tables:
        head = f"\ntable {each.family} {each.name} {{ # handle {each.handle}\n"
        if f"\n{listing}".count(head) != 1:
            return None
        starts.append(f"\n{listing}".index(head))
    start = starts[list(tables).index(table)]
    return listing[start : min((other for other in starts if other > start), default=None)]


def printable(text: str) -> str:
    """A comment may hold anything, also what a terminal would take for a command; nft itself indents its lines."""
    return foreign.printable(text.translate(_LAYOUT))


def shown(text: str) -> str:
    """A rule's text, which may be as long as its user likes, on one line and no longer than it can be read."""
    text = printable(text)
    if len(text) > _LONGEST:
        text = _IN_BRACES.sub(_cut, text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text) - _LONGEST} characters more)"


def _cut(found: re.Match[str]) -> str:
    elements = found[1].split(", ")
    more = len(elements) - _SHOWN_ELEMENTS
    return f"{{ {', '.join(elements[:_SHOWN_ELEMENTS])}, ... {more} more }}" if more > 0 else found[0]


def _free_ends(listing: str, table: Table, rules: Iterable[Rule]) -> list[_End]:
    """All that may be an end of a rule or of a chain's head, but for those that stand in the comment of a rule."""
    ends = [_End(int(found[1]), found.start(), found.end()) for found in _END.finditer(listing)]
    if ends and listing.endswith(f"table {table.family} {table.name} {{", 0, ends[0].at):
        del ends[0]  # a table's handle is of another kind, and may be a rule's too
    by_handle: dict[int, list[_End]] = {}
    for end in ends:
        by_handle.setdefault(end.handle, []).append(end)
    comments = []
    for rule in rules:
        if rule.comment is not None:
            written = f' comment "{rule.comment}"'
            found = [end.at for end in by_handle.get(rule.handle, ()) if listing.endswith(written, 0, end.at)]
            if len(found) == 1:
                comments.append((found[0] - len(written), found[0]))
    comments.sort(reverse=True)
    free = []
    for end in ends:
        while comments and comments[-1][1] <= end.at:
            comments.pop()
        if not comments or end.at < comments[-1][0]:
            free.append(end)
    return free


class _Reader:
    """Goes through the rules of a listing whose possible ends of lines are known."""

    def __init__(self, listing: str, ends: list[_End], inner: dict[str, list[Rule]]) -> None:
        self._listing, self._ends, self._inner = listing, ends, inner
        self._places: dict[int, int] = {}
        twice = set()
        for place, end in enumerate(ends):
            if self._places.setdefault(end.handle, place) != place:
                twice.add(end.handle)
        for handle in twice:
            del self._places[handle]
        self.found = Lines()

    def chain(self, chain: Chain, rules: list[Rule]) -> None:
        place = self._places.get(chain.handle)
        start = self._head(chain, self._ends[place]) if place is not None else None
        for rule in rules:
            place = self._places.get(rule.handle)
            if start is not None and place is not None and start <= self._ends[place].at:
                self._rule(rule, start, place)
            start = self._ends[place].after + 1 if place is not None else None

    def _head(self, chain: Chain, end: _End) -> int | None:
        """Where the rules of the chain begin: behind its name, its comment and, of a base chain, its definition."""
        if not self._listing.endswith(f"\tchain {chain.name} {{", 0, end.at):
            return None
        start = end.after + 1
        if chain.comment is not None:
            written = f'\t\tcomment "{chain.comment}"\n'
            if not self._listing.startswith(written, start):
                return None
            start += len(written)
        if chain.hook is not None:
            if not self._listing.startswith("\t\ttype ", start):
                return None
            stop = self._listing.find("\n", start)
            self.found.definitions[chain.handle] = printable(self._listing[start:stop].strip())
            start = stop + 1
        return start

    def _rule(self, rule: Rule, start: int, place: int) -> None:
        lines = [line.strip() for line in self._listing[start : self._ends[place].at].split("\n")]
        leads_to = target(rule) if len(lines) > 1 else None
        inner = self._inner.get(leads_to.chain) if leads_to is not None else None
        first = place
        while first and self._ends[first - 1].at >= start:
            first -= 1
        others = [end.handle for end in self._ends[first:place]]
        if others and (inner is None or others != [each.handle for each in inner]):
            return  # there was a rule before it that the kernel did not tell of
        if inner is None or len(lines) != len(inner) + 2 or not lines[0].endswith(" {"):
            self.found.rules[rule.handle] = shown(" ".join(lines))
            return
        texts = [shown(_END.sub("", line)) for line in lines[1:-1]]
        self.found.rules.update(zip((each.handle for each in inner), texts, strict=True))
        self.found.rules[rule.handle] = shown(f"{lines[0]} {'; '.join(texts)}; {lines[-1]}")
