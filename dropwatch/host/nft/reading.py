"""Reads one nf_tables table of a namespace: what the kernel has in it, and how nft lists it."""

import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from dropwatch.host.commands import nft_takes
from dropwatch.host.netlink import Refused
from dropwatch.host.netns.enter import entered
from dropwatch.host.nft import kernel
from dropwatch.host.nft.text import Lines, lines_of, part_of
from dropwatch.host.tools import ToolFailed, find, run
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

_LOOKUP = b"lookup\0"  # the kernel's name of the step that asks a set or a map
_MOST_MAPS = 1024
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h
_TOOL_TIMEOUT_S = 10.0
_TRIES = 3


@dataclass(frozen=True)
class Reading:
    """A table as it was at `read_at`, or later but before anybody else could use this.

    `cookie` is the kernel's name for the namespace, which is never given twice; None where the kernel has none.
    `generation` is None when the rules changed between the kernel's answer and the listing. `table` is None when
    there is none with that handle. `maps` says where the elements of each map lead to that a rule goes by, None where
    that could not be read. `text` is None where nft could not tell, and then `problem` says why.
    """

    read_at: int
    cookie: int | None
    generation: int | None
    table: kernel.Table | None
    chains: tuple[kernel.Chain, ...] = ()
    rules: tuple[kernel.Rule, ...] = ()
    maps: Mapping[str, tuple[kernel.Target, ...]] | None = None
    text: Lines | None = None
    problem: str | None = None

    @cached_property
    def _rules(self) -> dict[int, kernel.Rule]:
        return {rule.handle: rule for rule in self.rules}

    @cached_property
    def _rules_of(self) -> dict[str, list[kernel.Rule]]:
        found: dict[str, list[kernel.Rule]] = {}
        for rule in self.rules:
            found.setdefault(rule.chain, []).append(rule)
        return found

    def chain(self, handle: int) -> kernel.Chain | None:
        return next((chain for chain in self.chains if chain.handle == handle), None)

    def chain_named(self, name: str) -> kernel.Chain | None:
        return next((chain for chain in self.chains if chain.name == name), None)

    def rule(self, handle: int) -> kernel.Rule | None:
        return self._rules.get(handle)

    def rules_of(self, chain: str) -> Sequence[kernel.Rule]:
        return self._rules_of.get(chain, ())

    def number(self, rule: kernel.Rule) -> int:
        """Its place in its chain, from 1."""
        handles = (other.handle for other in self.rules_of(rule.chain))
        return 1 + next(at for at, handle in enumerate(handles) if handle == rule.handle)

    def callers(self, chain: str, target: str) -> list[tuple[kernel.Rule, set[str]]]:
        """The rules of a chain that lead to another, themselves or by a map, and whether by `jump` or `goto`."""
        known = self.maps or {}
        maps = [name for name, targets in known.items() if any(one.chain == target for one in targets)]
        found = []
        for rule in self.rules_of(chain):
            if rule.may_name(target) or any(map(rule.may_name, maps)):
                leads = {kernel.target(rule)}
                leads.update(*(known.get(name, ()) for name in kernel.verdict_maps(rule)))
                verbs = {one.verb for one in leads if one is not None and one.chain == target}
                if verbs:
                    found.append((rule, verbs))
        return found


def read_table(inode: int, family: str, handle: int) -> Reading:
    """The table of a namespace: a handle is given once, while a name can be that of another table by now.

    Raises FileNotFoundError when the namespace is gone, OSError when the kernel does not answer.
    """
    reading = _read_once(inode, family, handle)
    for _ in range(_TRIES - 1):
        if reading.generation is not None:
            break
        reading = _read_once(inode, family, handle)
    return reading


def namespace_cookie(inode: int) -> int | None:
    """Inodes of namespaces are given again, and handles begin at 1 in each: this tells them apart."""
    with entered(inode):
        return _own_cookie()


def unchanged_during(inode: int, generation: int, ask: Callable[[], str]) -> str | None:
    """What `ask` answers inside the namespace, None when its rules are or become others than `generation`."""
    with entered(inode):
        if kernel.generation() != generation:
            return None
        answer = ask()
        return answer if kernel.generation() == generation else None


def read_tables(inode: int) -> list[tuple[kernel.Table, list[kernel.Chain]]]:
    """Every table of the namespace with its base chains."""
    with entered(inode):
        if not kernel.is_loaded():
            return []
        tables, chains = kernel.tables(), kernel.chains()
    return [
        (
            table,
            [
                chain
                for chain in chains
                if (chain.family, chain.table) == (table.family, table.name) and chain.hook is not None
            ],
        )
        for table in tables
    ]


def _read_once(inode: int, family: str, handle: int) -> Reading:
    read_at = time.monotonic_ns()
    with entered(inode):
        cookie = _own_cookie()
        if not kernel.is_loaded():
            return Reading(read_at, cookie, 0, None)
        before = kernel.generation()
        found = (table for table in kernel.tables() if (table.family, table.handle) == (family, handle))
        table = next(found, None)
        if table is None:
            return Reading(read_at, cookie, before, None)
        chains = tuple(
            chain for chain in kernel.chains() if (chain.family, chain.table) == (family, table.name)
        )
        rules = tuple(kernel.rules(table))
        reading = Reading(read_at, cookie, before, table, chains, rules, _maps(table, rules))
        try:
            listing = _list(table)
        except ToolFailed as error:
            listing, reading = "", replace(reading, problem=str(error))
        is_steady = kernel.generation() == before
        if not is_steady:  # only of what was there before and after it is sure that the listing has it
            reading = replace(reading, generation=None)
            left = {rule.handle for rule in kernel.rules(table)}
            rules = tuple(rule for rule in rules if rule.handle in left)
        if reading.problem is None:
            reading = replace(reading, text=lines_of(listing, table, chains, rules))
        return reading


def _maps(table: kernel.Table, rules: Iterable[kernel.Rule]) -> dict[str, tuple[kernel.Target, ...]] | None:
    names = {name for rule in rules if _LOOKUP in rule.steps for name in kernel.verdict_maps(rule)}
    if len(names) > _MOST_MAPS:
        return None
    try:
        return {name: kernel.map_targets(table, name) for name in names}
    except Refused:  # there was another change
        return None


def _own_cookie() -> int | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        try:
            return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")
        except OSError:
            return None


def _list(table: kernel.Table) -> str:
    """How nft lists the table, without counters; without the elements of sets when they take too long.

    Raises ToolFailed where it does not.
    """
    nft = find("nft")
    if nft is None:
        raise ToolFailed("the nft tool is not installed")
    if nft_takes(foreign(table.name)):
        words = ["list", "table", table.family, table.name]
        try:
            return run([nft, "-a", "-s", *words], _TOOL_TIMEOUT_S)
        except ToolFailed as error:
            if error.status is None:
                return run([nft, "-a", "-s", "-t", *words], _TOOL_TIMEOUT_S)
    # a name that is a word of nft's language or cannot be one of its names, as other programs may give
    siblings = [other for other in kernel.tables() if other.family == table.family]
    if table not in siblings:
        raise ToolFailed("the table is gone")
    listing = part_of(
        run([nft, "-a", "-s", "list", "ruleset", table.family], _TOOL_TIMEOUT_S), table, siblings
    )
    if listing is None:
        raise ToolFailed("nft's listing can be read in several ways")
    return listing
