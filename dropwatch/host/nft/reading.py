"""Reads one nf_tables table of a namespace: what the kernel has in it, and how nft lists it."""

import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from dropwatch.host.netns.enter import entered
from dropwatch.host.nft import kernel
from dropwatch.host.nft.text import TextChain, TextRule, TextTable, tables_of
from dropwatch.host.tools import ToolFailed, find, run

# What nft's scanner takes for a name. Others would be read as commands, and can only come from other programs.
_NAME = re.compile(r"[A-Za-z_.][A-Za-z0-9/_.\\-]*")
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h
_TOOL_TIMEOUT_S = 10.0
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """A table as it was at `read_at`, or later but before anybody else could use this.

    `cookie` is the kernel's name for the namespace, which is never given twice; None where the kernel has none.
    `generation` is None when the rules changed between the kernel's answer and the listing. `table` is None when
    there is none with that handle. `text` is None where nft could not tell, and then `problem` says why.
    """

    read_at: int
    cookie: int | None
    generation: int | None
    table: kernel.Table | None
    chains: tuple[kernel.Chain, ...] = ()
    rules: tuple[kernel.Rule, ...] = ()
    text: TextTable | None = None
    problem: str | None = None

    def chain(self, handle: int) -> kernel.Chain | None:
        return next((chain for chain in self.chains if chain.handle == handle), None)

    def chain_named(self, name: str) -> kernel.Chain | None:
        return next((chain for chain in self.chains if chain.name == name), None)

    def rule(self, handle: int) -> kernel.Rule | None:
        return next((rule for rule in self.rules if rule.handle == handle), None)

    def rules_of(self, chain: str) -> tuple[kernel.Rule, ...]:
        return tuple(rule for rule in self.rules if rule.chain == chain)

    def inner_chains(self, handle: int) -> tuple[str, ...]:
        """The chains that a rule itself jumps to, also those without a name of their own."""
        rule = self.rule(handle)
        target = kernel.jump_target(rule) if rule is not None else None
        return () if target is None else (target,)

    def text_chain(self, handle: int) -> TextChain | None:
        chains = self.text.chains if self.text is not None else ()
        return next((chain for chain in chains if chain.handle == handle), None)

    def text_rule(self, handle: int) -> TextRule | None:
        chains = self.text.chains if self.text is not None else ()
        return next((rule for chain in chains for rule in chain.rules if rule.handle == handle), None)


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
        reading = Reading(read_at, cookie, before, table, chains, tuple(kernel.rules(table)))
        try:
            reading = replace(reading, text=_list(table))
        except ToolFailed as error:
            reading = replace(reading, problem=str(error))
        return reading if kernel.generation() == before else replace(reading, generation=None)


def _own_cookie() -> int | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        try:
            return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")
        except OSError:
            return None


def _list(table: kernel.Table) -> TextTable:
    """How nft lists the table. Raises ToolFailed where it does not."""
    nft = find("nft")
    if nft is None:
        raise ToolFailed("the nft tool is not installed")
    for found in tables_of(_ask_nft(nft, table)):
        if (found.family, found.name) == (table.family, table.name) and found.handle in {table.handle, None}:
            return found
    raise ToolFailed("nft does not list the table")


def _ask_nft(nft: str, table: kernel.Table) -> str:
    """The table alone, without counters; without the elements of sets when they take too long."""
    if not _NAME.fullmatch(table.name):
        return run([nft, "-a", "-s", "list", "ruleset", table.family], _TOOL_TIMEOUT_S)
    words = ["list", "table", table.family, table.name]
    try:
        return run([nft, "-a", "-s", *words], _TOOL_TIMEOUT_S)
    except ToolFailed as error:
        if error.status is None:
            return run([nft, "-a", "-s", "-t", *words], _TOOL_TIMEOUT_S)
    # a name that is a word of nft's language, as other programs may give
    return run([nft, "-a", "-s", "list", "ruleset", table.family], _TOOL_TIMEOUT_S)
