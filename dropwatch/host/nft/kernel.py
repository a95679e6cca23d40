"""Asks the kernel itself which nf_tables tables, chains and rules there are: numbers and names, no text of rules.

Everything is asked in the network namespace that the thread is in, and raises OSError when there is no answer.
"""

import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from dropwatch.host import netlink
from dropwatch.host.netlink import attributes, text, walk
from dropwatch.model.netfilter import FAMILIES

_NUMBERS = {word: number for number, word in FAMILIES.items()}
_MODULE = Path("/sys/module/nf_tables")
_KALLSYMS = Path("/proc/kallsyms")
_FAMILY = struct.Struct("!BBH")  # struct nfgenmsg: family, version, resource
# linux/netfilter/nfnetlink.h and nf_tables.h, which never change
_SUBSYSTEM = 10 << 8
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE, _NEW_GENERATION = 0, 3, 6, 15  # NFT_MSG_*, the question is the next number

Found = TypeVar("Found")


class Table(NamedTuple):
    family: str
    name: str
    handle: int


class Chain(NamedTuple):
    """`hook` is None in a chain that only rules lead to; `policy` is `drop`, `accept` or None likewise."""

    family: str
    table: str
    name: str
    handle: int
    hook: int | None
    policy: str | None


class Expression(NamedTuple):
    """One step of a rule: its kernel name (`cmp`, `immediate`, ...) and its attributes, by their numbers."""

    name: str
    values: dict[int, bytes]


class Rule(NamedTuple):
    chain: str
    handle: int
    expressions: tuple[Expression, ...]


def is_loaded() -> bool:
    """Asking a kernel without nf_tables would load the module, and looking must not change the host."""
    return _MODULE.exists() or _is_built_in()


@cache
def _is_built_in() -> bool:
    try:
        with _KALLSYMS.open("rb") as lines:
            return any(line.rstrip().endswith(b" nft_do_chain") for line in lines)
    except OSError:
        return False


def generation() -> int:
    """The number that every change of the namespace's rules raises."""
    return netlink.get(
        netlink.NETFILTER,
        _SUBSYSTEM | _NEW_GENERATION + 1,
        _FAMILY.pack(0, 0, 0),
        _SUBSYSTEM | _NEW_GENERATION,
        lambda message: int.from_bytes(attributes(message[_FAMILY.size :])[1], "big"),
    )


def tables() -> list[Table]:
    """Of all families that have a word."""
    return _dump(
        _NEW_TABLE,
        lambda family, found: Table(family, text(found[1]), int.from_bytes(found[4], "big")),
    )


def chains() -> list[Chain]:
    """Of all tables, in the order of their making."""
    return _dump(_NEW_CHAIN, _chain)


def rules(table: Table) -> list[Rule]:
    """Of one table, chain by chain in the order in which a packet meets them."""

    def rule(family: str, found: dict[int, bytes]) -> Rule | None:
        if text(found[1]) != table.name:
            return None
        return Rule(text(found[2]), int.from_bytes(found[3], "big"), _expressions(found.get(4, b"")))

    name = table.name.encode(errors="surrogateescape") + b"\0"
    return _dump(_NEW_RULE, rule, _NUMBERS[table.family], netlink.attribute(1, name))


def _chain(family: str, found: dict[int, bytes]) -> Chain:
    hook = attributes(found[4]).get(1) if 4 in found else None
    policy = int.from_bytes(found[5], "big") if 5 in found else None
    return Chain(
        family,
        text(found[1]),
        text(found[3]),
        int.from_bytes(found[2], "big"),
        None if hook is None else int.from_bytes(hook, "big"),
        None if policy is None else ("accept" if policy else "drop"),
    )


def jump_target(rule: Rule) -> str | None:
    """The chain that the rule itself jumps or goes to, None when it does not or a map decides."""
    for expression in rule.expressions:
        if expression.name == "immediate" and 2 in expression.values:
            data = attributes(expression.values[2])  # NFTA_IMMEDIATE_DATA
            verdict = attributes(data[2]) if 2 in data else {}  # NFTA_DATA_VERDICT
            if 2 in verdict:  # NFTA_VERDICT_CHAIN
                return text(verdict[2])
    return None


def _expressions(data: bytes) -> tuple[Expression, ...]:
    steps = (attributes(element) for _, element in walk(data))
    return tuple(Expression(text(step[1]), attributes(step.get(2, b""))) for step in steps if 1 in step)


def _dump(
    answer: int, read: Callable[[str, dict[int, bytes]], Found | None], family: int = 0, wanted: bytes = b""
) -> list[Found]:
    """What `read` makes of the family's word and the attributes of each; without those that it makes None of."""

    def message(body: memoryview) -> Found | None:
        word = FAMILIES.get(body[0])
        return None if word is None else read(word, attributes(body[_FAMILY.size :]))

    found = netlink.dump(
        netlink.NETFILTER,
        _SUBSYSTEM | answer + 1,
        _FAMILY.pack(family, 0, 0) + wanted,
        _SUBSYSTEM | answer,
        message,
    )
    return [one for one in found if one is not None]
