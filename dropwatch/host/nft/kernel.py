"""Asks the kernel itself which nf_tables tables, chains and rules there are: all but the text of rules.

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
# NFT_MSG_*, the question is the next number
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE, _NEW_ELEMENTS, _NEW_GENERATION = 0, 3, 6, 12, 15
_VERDICT_REGISTER = bytes(4)  # NFT_REG_VERDICT
_IS_INNER = 4  # NFT_CHAIN_BINDING
_VERBS = {-3: "jump", -4: "goto"}  # NFT_JUMP, NFT_GOTO
_USER_ATTRIBUTE = struct.Struct("BB")  # what nft and iptables write into user data: type, length
_RULE_COMMENT, _RULE_IS_POLICY, _CHAIN_COMMENT = 0, 1, 0  # NFTNL_UDATA_RULE_*, _CHAIN_*, libnftnl/udata.h

Found = TypeVar("Found")


class Table(NamedTuple):
    family: str
    name: str
    handle: int


class Chain(NamedTuple):
    """`hook` is None in a chain that only rules lead to; `policy` is `drop`, `accept` or None likewise.

    `is_inner` says that it has no name of its own: nft lists it inside the one rule that jumps to it.
    """

    family: str
    table: str
    name: str
    handle: int
    hook: int | None
    policy: str | None
    comment: str | None = None
    is_inner: bool = False


class Target(NamedTuple):
    """Where a rule or an element of a map leads to: `jump` or `goto`, and the name of the chain."""

    verb: str
    chain: str


class Expression(NamedTuple):
    """One step of a rule: its kernel name (`cmp`, `immediate`, ...) and its attributes, by their numbers."""

    name: str
    values: dict[int, bytes]


class Rule(NamedTuple):
    """`steps` is what the kernel told of its expressions, taken apart only where that is asked for.

    `is_policy` marks what ebtables-nft puts at the end of a chain for its policy, and does not list as a rule.
    """

    chain: str
    handle: int
    steps: bytes = b""
    comment: str | None = None
    is_policy: bool = False

    @property
    def expressions(self) -> tuple[Expression, ...]:
        steps = (attributes(element) for _, element in walk(self.steps))
        return tuple(Expression(text(step[1]), attributes(step.get(2, b""))) for step in steps if 1 in step)

    def may_name(self, name: str) -> bool:
        """Whether a chain or map can be in its steps: False is certain, and is known at once."""
        return _bytes(name) in self.steps


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
        notes = _user_data(found.get(7, b""))
        return Rule(
            text(found[2]),
            int.from_bytes(found[3], "big"),
            found.get(4, b""),
            _string(notes.get(_RULE_COMMENT)),
            _RULE_IS_POLICY in notes,
        )

    return _dump(_NEW_RULE, rule, _NUMBERS[table.family], _name(1, table.name))


def map_targets(table: Table, name: str) -> tuple[Target, ...]:
    """Where the elements of a verdict map lead to."""

    def elements(_: str, found: dict[int, bytes]) -> list[Target]:
        data = (attributes(element).get(2, b"") for _, element in walk(found.get(3, b"")))
        return [target for each in data if (target := _target(each)) is not None]

    wanted = _name(1, table.name) + _name(2, name)
    pieces = _dump(_NEW_ELEMENTS, elements, _NUMBERS[table.family], wanted)
    return tuple(dict.fromkeys(target for piece in pieces for target in piece))


def _name(kind: int, name: str) -> bytes:
    return netlink.attribute(kind, _bytes(name))


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape") + b"\0"


def _string(value: bytes | None) -> str | None:
    return None if value is None else text(value)


def _user_data(data: bytes) -> dict[int, bytes]:
    """Its attributes; nothing where it is not made of them, as another program may write."""
    found = {}
    at = 0
    while at + _USER_ATTRIBUTE.size <= len(data):
        kind, length = _USER_ATTRIBUTE.unpack_from(data, at)
        at += _USER_ATTRIBUTE.size + length
        found[kind] = data[at - length : at]
    return found if at == len(data) else {}


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
        _string(_user_data(found.get(12, b"")).get(_CHAIN_COMMENT)),
        bool(int.from_bytes(found.get(10, b""), "big") & _IS_INNER),
    )


def target(rule: Rule) -> Target | None:
    """Where the rule itself leads to, None when it does not or a map decides."""
    values = (step.values[2] for step in rule.expressions if step.name == "immediate" and 2 in step.values)
    return next((found for value in values if (found := _target(value)) is not None), None)


def verdict_maps(rule: Rule) -> tuple[str, ...]:
    """The maps that decide where the rule leads to, by their names; also those that nft writes into the rule."""
    looks = (step.values for step in rule.expressions if step.name == "lookup")
    return tuple(text(values[1]) for values in looks if 1 in values and values.get(3) == _VERDICT_REGISTER)


def _target(data: bytes) -> Target | None:
    """Of the attributes of a struct nft_data."""
    verdict = attributes(attributes(data).get(2, b""))  # NFTA_DATA_VERDICT
    verb = _VERBS.get(int.from_bytes(verdict.get(1, b""), "big", signed=True))  # NFTA_VERDICT_CODE
    return Target(verb, text(verdict[2])) if verb is not None and 2 in verdict else None  # NFTA_VERDICT_CHAIN


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
