"""What the kernel tells of the tables in a recorded listing that nobody has tampered with."""

import re
import struct
from typing import NamedTuple

from dropwatch.host import netlink
from dropwatch.host.nft.kernel import Chain, Expression, Rule, Table, Target

TABLE = re.compile(r"^table (\S+) (\S+) \{ # handle (\d+)\n(.*?)^\}", re.M | re.S)
CHAIN = re.compile(r"^\tchain (\S+) \{ # handle (\d+)\n(.*?)^\t\}", re.M | re.S)
MAP = re.compile(r"^\tmap (\S+) \{.*?\n(.*?)^\t\}", re.M | re.S)
RULE = re.compile(r'^\t\t(?!type )(\S(?:[^"\n]|"[^"]*"|\{\n|\n\t\t\t|\n\t\t\})*?) # handle (\d+)$', re.M)
COMMENT = re.compile(r'.* comment "([^"]*)"', re.S)
QUOTED = re.compile(r'"[^"]*"')
LEADS = re.compile(r"\b(jump|goto) ([^\s,;{}]+)")
INNER = re.compile(r" jump \{\n(.*?)\t\t\}", re.S)
VERDICTS = {"jump": -3, "goto": -4}


class Structure(NamedTuple):
    table: Table
    chains: tuple[Chain, ...]
    rules: tuple[Rule, ...]
    maps: dict[str, tuple[Target, ...]]


def packed(*steps: Expression) -> bytes:
    """As in a message of the kernel."""
    return b"".join(
        netlink.attribute(
            1,
            netlink.attribute(1, step.name.encode() + b"\0")
            + netlink.attribute(2, b"".join(netlink.attribute(*each) for each in step.values.items())),
        )
        for step in steps
    )


def leading(verb: str, chain: str) -> Expression:
    verdict = netlink.attribute(1, struct.pack("!i", VERDICTS[verb])) + netlink.attribute(
        2, chain.encode() + b"\0"
    )
    return Expression("immediate", {1: bytes(4), 2: netlink.attribute(2, verdict)})


def looking(name: str) -> Expression:
    return Expression("lookup", {1: name.encode() + b"\0", 3: bytes(4)})


def structures(listing: str) -> list[Structure]:
    return [
        _structure(Table(found[1], found[2], int(found[3])), found[4]) for found in TABLE.finditer(listing)
    ]


def _structure(table: Table, body: str) -> Structure:
    chains, rules, inner = [], [], []
    maps = {found[1]: _targets(found[2]) for found in MAP.finditer(body)}
    for chain in CHAIN.finditer(body):
        name, lines = chain[1], chain[3]
        told = re.match(r'\t\tcomment "(.*)"\n', lines)
        hook, policy = 1 if "\t\ttype " in lines else None, re.search(r"policy (\w+);", lines)
        chains.append(
            Chain(
                *table[:2],
                name,
                int(chain[2]),
                hook,
                policy[1] if policy else None,
                told[1] if told else None,
            )
        )
        for text, handle in RULE.findall(lines[told.end() :] if told else lines):
            comment = COMMENT.fullmatch(text)
            bare = QUOTED.sub("", text)
            steps = []
            if " vmap {" in bare:
                maps[f"__map{handle}"] = _targets(bare)
                steps.append(looking(f"__map{handle}"))
            elif written := INNER.search(bare):
                steps.append(leading("jump", f"__chain{handle}"))
                inner.append(Chain(*table[:2], f"__chain{handle}", 1000, None, None, None, True))
                count = written[1].count("\n")
                rules += [Rule(f"__chain{handle}", int(handle) - count + at) for at in range(count)]
            else:
                steps += [leading(*each) for each in LEADS.findall(bare)]
            steps += [looking(each) for each in re.findall(r" vmap @(\S+)", bare)]
            rules.append(Rule(name, int(handle), packed(*steps), comment[1] if comment else None))
    return Structure(table, (*chains, *inner), tuple(rules), maps)


def _targets(text: str) -> tuple[Target, ...]:
    return tuple(Target(*each) for each in LEADS.findall(QUOTED.sub("", text)))
