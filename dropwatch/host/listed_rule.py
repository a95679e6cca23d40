"""A firewall rule as the user's own tool lists it: what the readers of the host answer to the judges."""

import re
from typing import Annotated

from dropwatch.model.culprits import IptablesRule, NftRule, Rule
from dropwatch.model.dataclass import dataclass

# What is to be typed by root is never taken from a recording as it is: only what whydrop itself can have written there.
_ARGUMENT = r"""(?:(?!-)[\w@%+=:,./-]+|'(?!-)[^']*(?:'"'"'[^']*)*'|\$'(?!-|\\x2d)(?:[^'\\]|\\[\\']|\\x[0-9a-f]{2})*')"""
_LISTINGS = (
    r"nft -a list (?:ruleset|table|chain)(?: [a-z0-9]+(?: [\w.][\w/.-]*){0,2})?",
    rf"(?:ip6?|arp)tables-legacy -t {_ARGUMENT} -vnL(?: {_ARGUMENT})? --line-numbers",
    rf"ebtables-legacy -t {_ARGUMENT} -L(?: {_ARGUMENT})? --Ln --Lc",
    rf"(?:ip6?|arp)tables-nft -t {_ARGUMENT} -S(?: {_ARGUMENT}(?: [0-9]+)?)?",
    r"ebtables-nft-save",
)
Listing = Annotated[str, re.compile("|".join(_LISTINGS), re.ASCII)]
Tool = Annotated[str, re.compile(r"nft|(?:ip6?|arp|eb)tables-(?:nft|legacy)")]


@dataclass(frozen=True, slots=True)
class ListedRule:
    """One rule or chain policy, read after the drop in the namespace where it happened.

    `rule` is what is known of it; its text is the line of the listing without handle and counters, empty where no
    tool could be asked, and then `problem` says why. `tool` is who would list it: `nft`, `iptables-nft`,
    `ip6tables-nft`, `iptables-legacy`, `ip6tables-legacy`, `arptables-legacy`, `ebtables-legacy`, ... `command` is
    what lists it, with the handle or number. `path` is the way from the base chain to it, each step in words
    (`INPUT rule 3 jumps to UU`). `gone` says that it was found neither by its handle nor by its bytes: deleted or
    replaced since the drop. `changed` says that the table changed between the drop and the look, although this rule
    is still the same. `read_at_ns` is the monotonic time right before it was read.
    """

    rule: Rule
    tool: Tool
    command: Listing
    path: tuple[str, ...] = ()
    problem: str | None = None
    gone: bool = False
    changed: bool = False
    read_at_ns: int | None = None

    @property
    def text(self) -> str | None:
        return self.rule.text or None


@dataclass(frozen=True, slots=True)
class ChangingRules:
    """The rules of a namespace that translate addresses, set a mark or send to a queue, each as its own tool lists it.

    In the order of tables and chains, read at `read_at_ns` (monotonic) or later. `complete` is False where there were
    more, or some could not be listed.
    """

    rules: tuple[NftRule | IptablesRule, ...]
    read_at_ns: int
    complete: bool = True
