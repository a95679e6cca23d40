"""Shows the rules of tables that iptables-nft and its sisters made as these tools would list them."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from dropwatch.host.nft import kernel
from dropwatch.host.nft.reading import Reading, unchanged_during
from dropwatch.host.nft.text import printable
from dropwatch.host.saved_rule import words_of
from dropwatch.host.tools import ToolFailed, find, run
from dropwatch.names.foreign import foreign, is_option, quoted

TOOLS = {"ip": "iptables-nft", "ip6": "ip6tables-nft", "arp": "arptables-nft", "bridge": "ebtables-nft"}
_FILTER = {"INPUT", "FORWARD", "OUTPUT"}
_NAT = {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"}
_IP = {
    "filter": _FILTER,
    "security": _FILTER,
    "nat": _NAT,
    "mangle": _NAT | _FILTER,
    "raw": {"PREROUTING", "OUTPUT"},
}
_BASE_CHAINS = {
    "ip": _IP,
    "ip6": _IP,
    "arp": {"filter": {"INPUT", "OUTPUT"}},
    "bridge": {"filter": _FILTER, "nat": _NAT, "broute": {"BROUTING"}},
}
_TIMEOUT_S = 10.0

# Which word of the listing says that a rule looks at this: (header, offset in it) or the key of a meta expression,
# numbers of linux/netfilter/nf_tables.h (NFT_PAYLOAD_*, NFT_META_*). Of what is not here the tools may know nothing,
# and show a rule that nft made in their table without it.
_LINK, _NETWORK, _TRANSPORT = 0, 1, 2
_META = {3: "mark", 4: "-i", 5: "-o", 6: "-i", 7: "-o", 16: "-p"}
_PORTS = {(_TRANSPORT, 0): "sport", (_TRANSPORT, 2): "dport", (_TRANSPORT, 13): "tcp-flags|syn"}
_FIELDS: dict[str, dict[tuple[int, int], str]] = {
    "ip": {(_NETWORK, 6): "-f", (_NETWORK, 9): "-p", (_NETWORK, 12): "-s", (_NETWORK, 16): "-d", **_PORTS},
    "ip6": {(_NETWORK, 6): "-p", (_NETWORK, 8): "-s", (_NETWORK, 24): "-d", **_PORTS},
    "arp": {
        (_NETWORK, 0): "",  # arptables always asks for Ethernet and IPv4 and does not say so
        (_NETWORK, 4): "",
        (_NETWORK, 5): "",
        (_NETWORK, 6): "opcode",
        (_NETWORK, 8): "src-mac|source-mac",
        (_NETWORK, 14): "-s",
        (_NETWORK, 18): "dst-mac|destination-mac",
        (_NETWORK, 24): "-d",
    },
    "bridge": {(_LINK, 0): "-d", (_LINK, 6): "-s", (_LINK, 12): "-p"},
}
_METAS = {"bridge": {1: "-p", 6: "-i", 7: "-o", 17: "logical-in", 18: "logical-out"}}
_PLAIN = {"meta", "payload", "cmp", "range", "bitwise", "match", "limit"}


class Compat(NamedTuple):
    """A table as its tool saves it: the lines `-A CHAIN ...` of each chain, and the policies of chains."""

    tool: str
    rules: dict[str, tuple[str, ...]]
    policies: dict[str, str]


class CompatRule(NamedTuple):
    tool: str
    text: str
    number: int
    comment: str | None
    command: str


def tool_of(family: str, table: str, base_chains: Iterable[str]) -> str | None:
    """The tool whose table this looks like, None when it is not like any."""
    names = set(base_chains)
    known = _BASE_CHAINS.get(family, {}).get(table, set())
    return TOOLS[family] if names and names <= known else None


def list_table(inode: int, reading: Reading) -> Compat | None:
    """The table as the table's tool shows it, exactly when the reading was made; None when it cannot.

    Only the `-save` tools look without touching: `ebtables-nft -L` writes the policies of chains anew, and old
    versions of the others create the chains that they miss.
    """
    table = reading.table
    if table is None or reading.generation is None:
        return None
    name = tool_of(
        table.family, table.name, (chain.name for chain in reading.chains if chain.hook is not None)
    )
    tool = find(f"{name}-save") if name is not None else None
    if name is None or tool is None:
        return None
    words = [tool, "-t", table.name] if table.family != "arp" else [tool]
    try:
        answer = unchanged_during(inode, reading.generation, lambda: run(words, _TIMEOUT_S))
    except ToolFailed:
        return None
    return None if answer is None else saved(name, table.name, answer)


def saved(tool: str, table: str, answer: str) -> Compat:
    """Takes a table apart that a `-save` tool wrote.

    A comment may hold line breaks, and so what looks like tables, chains and rules: where there is more than one table
    nothing is believed, of a chain that is there twice no policy. Whether there are as many rules in a chain as the
    kernel has is for `find_rule` to see.
    """
    rules: dict[str, list[str]] = {}
    policies: dict[str, list[str]] = {}
    lines = answer.removesuffix("\n").split("\n")
    if [line for line in lines if line.startswith("*")] != [f"*{table}"]:
        return Compat(tool, {}, {})
    last: list[str] = []
    for line in lines:
        words = line.split()
        if line.startswith(":") and len(words) >= 2:
            policies.setdefault(words[0][1:], []).append(words[1])
            last = []
        elif line.startswith("-A ") and len(words) >= 2:
            last = rules.setdefault(words[1], [])
            last.append(line)
        elif line.startswith(("#", "COMMIT")):
            last = []
        elif last:
            last[-1] += f"\n{line}"
    return Compat(
        tool,
        {chain: tuple(lines) for chain, lines in rules.items()},
        {chain: each[0] for chain, each in policies.items() if len(each) == 1},
    )


def find_rule(reading: Reading, compat: Compat, rule: kernel.Rule) -> CompatRule | None:
    """The tool's line for a rule; None unless it is certain that it is this rule's and says all that is in it."""
    assert reading.table is not None
    family, chain = reading.table.family, rule.chain
    siblings = reading.rules_of(chain)
    number = reading.number(rule)
    listed = compat.rules.get(chain, ())
    command = list_command(reading, compat, chain, number)
    # the policy of a chain that is no base chain is a rule at its end, which ebtables-nft does not list
    if len(listed) != sum(not other.is_policy for other in siblings):
        return None
    if rule.is_policy:
        if number == len(siblings) and compat.policies.get(chain) == "DROP":
            return CompatRule(compat.tool, f"-P {foreign(chain)} DROP", number, None, command)
        return None
    if any(other.is_policy for other in siblings[: number - 1]):
        return None
    text = listed[number - 1]
    if not says_all(family, rule, text):
        return None
    return CompatRule(compat.tool, printable(text), number, _comment(text), command)


def list_command(reading: Reading, compat: Compat, chain: str, number: int | None = None) -> str:
    """What lists the chain, or one rule of it, without changing anything."""
    assert reading.table is not None
    if reading.table.family == "bridge":
        return f"{compat.tool}-save"
    start = f"{compat.tool} -t {reading.table.name} -S"
    if is_option(chain):
        return start
    at = "" if number is None or reading.table.family == "arp" else f" {number}"
    return f"{start} {quoted(foreign(chain))}{at}"


def says_all(family: str, rule: kernel.Rule, text: str) -> bool:
    """Whether the line names everything that the rule looks at, and the rule is built as these tools build.

    They show what they understand of a rule that nft put into their table, and say nothing of the rest.
    """
    if len(rule.expressions) < 2:
        return False
    *conditions, counter, verdict = rule.expressions
    if counter.name != "counter" or verdict.name not in {"immediate", "target"}:
        return False
    looked_at: Counter[str] = Counter()
    for step in conditions:
        if step.name not in _PLAIN:
            return False
        if step.name == "limit" and (_number(step, 4) or _number(step, 5)):  # bytes, or above the limit
            return False
        if step.name in {"meta", "payload"}:
            word = _word(family, step)
            if word is None:
                return False
            looked_at[word] += bool(word)
    words = text.split()
    return all(
        times <= 1 and any(_is_said(choice, words) for choice in word.split("|"))
        for word, times in looked_at.items()
        if word
    )


def _word(family: str, step: kernel.Expression) -> str | None:
    if step.name == "meta":
        known = _METAS.get(family, _META)
        return known.get(_number(step, 2)) if 1 in step.values else None
    if 1 not in step.values:  # NFTA_PAYLOAD_DREG: else it writes
        return None
    return _FIELDS.get(family, {}).get((_number(step, 2), _number(step, 3)))


def _number(step: kernel.Expression, attribute: int) -> int:
    return int.from_bytes(step.values.get(attribute, b""), "big")


def _is_said(word: str, words: list[str]) -> bool:
    if word.startswith("-"):
        return word in words
    return any(said.startswith("--") and word in said for said in words)


def _comment(text: str) -> str | None:
    try:
        words = words_of(text)
    except ValueError:
        return None
    return printable(words[words.index("--comment") + 1]) if "--comment" in words[:-1] else None
