"""The rules of a namespace that change what they let pass: that translate addresses, set a mark, or send to a queue."""

import time
from collections import defaultdict
from collections.abc import Iterator

from dropwatch.host import tools
from dropwatch.host.listed_rule import ChangingRules
from dropwatch.host.netns.enter import entered
from dropwatch.host.nft.compat import find_rule, list_table
from dropwatch.host.nft.reading import Reading, read_table, read_tables
from dropwatch.host.xt import blob
from dropwatch.host.xt.words import comment
from dropwatch.model.culprits import IptablesRule, NftRule
from dropwatch.model.netfilter import XtFamily
from dropwatch.model.pattern import pattern
from dropwatch.names.foreign import foreign, printable

# The words of nft and those of iptables. What only looks like them is seen by whoever reads the rule.
_CHANGING = pattern(
    r"\b(?:dnat|snat|masquerade|redirect|mark set|queue"
    r"|DNAT|SNAT|MASQUERADE|REDIRECT|NETMAP|MARK|CONNMARK|NFQUEUE)\b"
)
_LEGACY: dict[XtFamily, str] = {"ip": "iptables", "ip6": "ip6tables"}
_TIMEOUT_S = 10.0
_MOST = 4096


def read_changing_rules(inode: int) -> ChangingRules:
    """Raises FileNotFoundError when the namespace is gone, OSError when it cannot be read."""
    read_at = time.monotonic_ns()
    found: list[NftRule | IptablesRule] = []
    complete = True
    for table, _ in read_tables(inode):
        reading = read_table(inode, table.family, table.handle)
        found += _of_nft(inode, reading)
        complete = complete and (reading.table is None or _is_listed(reading))
    with entered(inode):
        for family, tool in _LEGACY.items():
            for name in blob.table_names(family):
                rules = _of_legacy(family, tool, name)
                complete = complete and rules is not None
                found += rules or ()
    return ChangingRules(tuple(found[:_MOST]), read_at, complete and len(found) <= _MOST)


def _is_listed(reading: Reading) -> bool:
    """Each of its rules has its text."""
    return reading.text is not None and all(rule.handle in reading.text.rules for rule in reading.rules)


def _of_nft(inode: int, reading: Reading) -> Iterator[NftRule]:
    if reading.table is None or reading.text is None:
        return
    texts = {handle: text for handle, text in reading.text.rules.items() if _CHANGING.search(text)}
    compat = list_table(inode, reading) if texts else None
    for rule in reading.rules:
        text = texts.get(rule.handle)
        if text is None:
            continue
        written = printable(rule.comment) if rule.comment is not None else None
        made = NftRule(
            text,
            reading.table.family,
            foreign(reading.table.name),
            foreign(rule.chain),
            rule.handle,
            comment=written,
        )
        listed = find_rule(reading, compat, rule) if compat is not None else None
        if listed is not None:
            made = NftRule(
                listed.text,
                made.family,
                made.table,
                made.chain,
                made.handle,
                listed.number,
                listed.comment or written,
                nft=text,
            )
        yield made


def _of_legacy(family: XtFamily, tool: str, name: str) -> list[IptablesRule] | None:
    """None where the tool does not list the table as the kernel has it."""
    path = tools.find(f"{tool}-legacy-save")
    table = blob.read_table(family, name)
    if table is None:
        return []
    if path is None:
        return None
    lines: dict[str, list[str]] = defaultdict(list)
    for line in tools.run([path, "-t", name], _TIMEOUT_S).splitlines():
        if line.startswith("-A "):
            lines[foreign(line.split()[1])].append(line)
    found = []
    for chain in table.chains:
        if len(lines[chain.name]) != len(chain.rules):
            return None
        for number, (offset, line) in enumerate(zip(chain.rules, lines[chain.name], strict=True), start=1):
            if _CHANGING.search(line):
                found.append(
                    IptablesRule(
                        printable(line),
                        family,
                        name,
                        chain.name,
                        number,
                        comment(table, offset),
                        table.entries[offset].target or None,
                    )
                )
    return found
