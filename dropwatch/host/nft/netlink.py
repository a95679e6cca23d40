"""Asks the kernel itself which nf_tables tables, chains and rules there are: numbers and names, no text of rules.

Everything is asked in the network namespace that the thread is in, and raises OSError when there is no answer.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from dropwatch.model.netfilter import FAMILIES

_NUMBERS = {word: number for number, word in FAMILIES.items()}
_MODULE = Path("/sys/module/nf_tables")
_KALLSYMS = Path("/proc/kallsyms")
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_FAMILY = struct.Struct("!BBH")  # struct nfgenmsg: family, version, resource
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_ERROR = struct.Struct("=i")
_NETLINK_NETFILTER = 12  # linux/netlink.h; Python's socket module does not know it
_REQUEST, _DUMP, _INTERRUPTED = 0x1, 0x300, 0x10  # NLM_F_*, linux/netlink.h
_IS_ERROR, _IS_DONE = 2, 3  # NLMSG_*
_TYPE_MASK = 0x3FFF  # NLA_TYPE_MASK
# linux/netfilter/nfnetlink.h and nf_tables.h, which never change
_SUBSYSTEM = 10 << 8
_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_GENERATION = 1, 4, 7, 16
_BUFFER_BYTES = 1 << 17
_TIMEOUT_S = 5.0
_TRIES = 3


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


class Refused(OSError):
    """The kernel answered with an error. Never a FileNotFoundError, which says that the namespace is gone."""


class Interrupted(Refused):
    """What is dumped changed meanwhile."""


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


@contextmanager
def connected() -> Iterator[socket.socket]:
    """A socket to nf_tables of this namespace, which it keeps alive while it is open."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as connection:
        connection.settimeout(_TIMEOUT_S)
        yield connection


def generation(connection: socket.socket) -> int:
    """The number that every change of the namespace's rules raises."""
    for answer in _answers(connection, _GET_GENERATION, 0, b"", dump=False):
        return int.from_bytes(attributes(answer.data)[1], "big")
    raise Refused(errno.EBADMSG, "the kernel does not tell the generation of its rules")


def tables(connection: socket.socket) -> list[Table]:
    """Of all families that have a word."""
    found = []
    for answer in _answers(connection, _GET_TABLE):
        values = attributes(answer.data)
        if answer.family in FAMILIES:
            found.append(Table(FAMILIES[answer.family], text_of(values[1]), int.from_bytes(values[4], "big")))
    return found


def chains(connection: socket.socket) -> list[Chain]:
    """Of all tables, in the order of their making."""
    found = []
    for answer in _answers(connection, _GET_CHAIN):
        values = attributes(answer.data)
        if answer.family not in FAMILIES:
            continue
        hook = attributes(values[4]).get(1) if 4 in values else None
        policy = int.from_bytes(values[5], "big") if 5 in values else None
        found.append(
            Chain(
                FAMILIES[answer.family],
                text_of(values[1]),
                text_of(values[3]),
                int.from_bytes(values[2], "big"),
                None if hook is None else int.from_bytes(hook, "big"),
                None if policy is None else ("accept" if policy else "drop"),
            )
        )
    return found


def rules(connection: socket.socket, table: Table) -> list[Rule]:
    """Of one table, chain by chain in the order in which a packet meets them."""
    wanted = _attribute(1, table.name.encode(errors="surrogateescape") + b"\0")
    found = []
    for answer in _answers(connection, _GET_RULE, _NUMBERS[table.family], wanted):
        values = attributes(answer.data)
        if text_of(values[1]) == table.name:
            rule = Rule(
                text_of(values[2]), int.from_bytes(values[3], "big"), _expressions(values.get(4, b""))
            )
            found.append(rule)
    return found


def jump_target(rule: Rule) -> str | None:
    """The chain that the rule itself jumps or goes to, None when it does not or a map decides."""
    for expression in rule.expressions:
        if expression.name == "immediate" and 2 in expression.values:
            data = attributes(expression.values[2])  # NFTA_IMMEDIATE_DATA
            verdict = attributes(data[2]) if 2 in data else {}  # NFTA_DATA_VERDICT
            if 2 in verdict:  # NFTA_VERDICT_CHAIN
                return text_of(verdict[2])
    return None


def attributes(data: bytes) -> dict[int, bytes]:
    """Number and value of each attribute; of equal ones the last."""
    return dict(_walk(data))


def text_of(value: bytes) -> str:
    return value.partition(b"\0")[0].decode(errors="surrogateescape")


def _expressions(data: bytes) -> tuple[Expression, ...]:
    steps = (attributes(element) for _, element in _walk(data))
    return tuple(Expression(text_of(step[1]), attributes(step.get(2, b""))) for step in steps if 1 in step)


def _walk(data: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[start + _ATTRIBUTE.size : start + length]
        start += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    padding = bytes(-len(value) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + padding


class _Answer(NamedTuple):
    family: int
    data: bytes


def _answers(
    connection: socket.socket, request: int, family: int = 0, wanted: bytes = b"", *, dump: bool = True
) -> list[_Answer]:
    for _ in range(_TRIES):
        try:
            return list(_ask(connection, request, family, wanted, dump=dump))
        except Interrupted:
            continue
    raise Interrupted(errno.EAGAIN, "the rules kept changing while they were read")


_sequence = 0


def _ask(
    connection: socket.socket, request: int, family: int, wanted: bytes, *, dump: bool
) -> Iterator[_Answer]:
    global _sequence
    _sequence = sequence = (_sequence + 1) & 0xFFFFFFFF
    body = _FAMILY.pack(family, 0, 0) + wanted
    flags = _REQUEST | (_DUMP if dump else 0)
    header = _HEADER.pack(_HEADER.size + len(body), _SUBSYSTEM | request, flags, sequence, 0)
    connection.sendto(header + body, (0, 0))
    while True:
        received, _, _, (port, _) = connection.recvmsg(_BUFFER_BYTES)
        if port:
            continue
        start = 0
        while start + _HEADER.size <= len(received):
            length, kind, flags, number, _ = _HEADER.unpack_from(received, start)
            payload = received[start + _HEADER.size : start + length]
            start += (max(length, _HEADER.size) + 3) & ~3
            if number != sequence:
                continue
            if kind in {_IS_ERROR, _IS_DONE}:
                _check(payload)
                return
            if flags & _INTERRUPTED:
                raise Interrupted(errno.EINTR, "the rules changed while they were read")
            if kind & ~0xFF == _SUBSYSTEM and len(payload) >= _FAMILY.size:
                yield _Answer(payload[0], payload[_FAMILY.size :])
                if not dump:
                    return


def _check(payload: bytes) -> None:
    if len(payload) < _ERROR.size:
        return
    (number,) = _ERROR.unpack_from(payload)
    if number == -errno.EINTR:
        raise Interrupted(errno.EINTR, "the rules changed while they were read")
    if number:
        raise Refused(-number, os.strerror(-number))
