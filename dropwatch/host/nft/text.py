"""Takes the listing of `nft -a list` apart: which line is which rule of which chain."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TABLE = re.compile(r"table (\S+) (.+?) \{(?: # handle (\d+))?")
_BLOCK = re.compile(r"\t([a-z ]+) (\S+) \{(?: # handle (\d+))?")
_HANDLE = re.compile(r"(.*) # handle (\d+)", re.S)
_QUOTED = re.compile(r'"[^"]*"')
_COMMENT = re.compile(r'.* comment "([^"]*)"', re.S)
_TARGET = re.compile(r"\b(jump|goto) ([^\s,;{}]+)")
_VERDICT_MAP = re.compile(r"\bvmap @([^\s,;{}]+)")


@dataclass(frozen=True, slots=True)
class TextRule:
    """A rule as one line. `inner` are the rules of a chain without a name that is written inside of it.

    `targets` are the words `jump` or `goto` with the chain's name, also from the map that it looks into.
    """

    handle: int
    text: str
    comment: str | None
    targets: tuple[tuple[str, str], ...]
    inner: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextChain:
    """`definition` is the line of a base chain with type, hook, priority and policy."""

    name: str
    handle: int
    definition: str | None
    rules: tuple[TextRule, ...]


@dataclass(frozen=True, slots=True)
class TextTable:
    family: str
    name: str
    handle: int | None
    chains: tuple[TextChain, ...]


@dataclass(slots=True)
class _Block:
    """What stands between the braces of a chain, a set, a map, ..."""

    kind: str
    name: str
    handle: int
    lines: list[str]


def tables_of(listing: str) -> list[TextTable]:
    """All tables in a listing of `nft -a -s list table` or `list ruleset`; what is not understood is left out."""
    found = []
    lines = _whole_lines(listing)
    for line in lines:
        head = _TABLE.fullmatch(line)
        if head is not None:
            blocks = list(_blocks(lines))
            maps = {block.name: _targets(" ".join(block.lines)) for block in blocks if block.kind == "map"}
            chains = tuple(_chain(block, maps) for block in blocks if block.kind == "chain")
            handle = int(head[3]) if head[3] else None
            found.append(TextTable(head[1], head[2], handle, chains))
    return found


def _whole_lines(listing: str) -> Iterator[str]:
    """A comment may hold a line break: such lines are one."""
    begun = ""
    for line in listing.split("\n"):
        begun = f"{begun}\n{line}" if begun else line
        if begun.count('"') % 2 == 0:
            yield begun
            begun = ""


def _blocks(lines: Iterator[str]) -> Iterator[_Block]:
    """Of one table, up to its closing brace."""
    block = None
    for line in lines:
        if line == "}":
            return
        if block is not None:
            if line == "\t}":
                yield block
                block = None
            else:
                block.lines.append(line)
        elif head := _BLOCK.fullmatch(line):
            block = _Block(head[1], head[2], int(head[3] or 0), [])


def _chain(block: _Block, maps: dict[str, tuple[tuple[str, str], ...]]) -> TextChain:
    definition = None
    rules = []
    begun: list[str] = []
    for line in block.lines:
        if not begun and line.startswith("\t\ttype ") and line.endswith(";"):
            definition = line.strip()
            continue
        begun.append(line)
        bare = _QUOTED.sub('""', " ".join(begun))
        last = _HANDLE.fullmatch(line)
        if last is not None and bare.count("{") == bare.count("}"):
            rules.append(_rule([*begun[:-1], last[1]], int(last[2]), maps))
            begun = []
        elif bare.startswith("\t\tcomment "):
            begun = []
    return TextChain(block.name, block.handle, definition, tuple(rules))


def _rule(lines: list[str], handle: int, maps: dict[str, tuple[tuple[str, str], ...]]) -> TextRule:
    inner = tuple(_HANDLE.sub(r"\1", line.strip()) for line in lines[1:-1]) if lines[0].endswith(" {") else ()
    if inner:
        text = f"{lines[0].strip()} {'; '.join(inner)}; {lines[-1].strip()}"
    else:
        text = " ".join(line.strip() for line in lines)
    comment = _COMMENT.fullmatch(text)
    targets = dict.fromkeys(_targets(lines[0] if inner else text))
    for name in _VERDICT_MAP.findall(_QUOTED.sub('""', text)):
        targets.update(dict.fromkeys(maps.get(name, ())))
    return TextRule(
        handle, printable(text), printable(comment[1]) if comment else None, tuple(targets), inner
    )


def _targets(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((verb, name) for verb, name in _TARGET.findall(_QUOTED.sub('""', text)))


def printable(text: str) -> str:
    """A comment may hold anything, also what a terminal would take for a command."""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "?" for c in text)
