"""A firewall rule as the user's own tool lists it: what the readers of the host answer to the judges."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ListedRule:
    """One rule or chain policy, read after the drop in the namespace where it happened.

    `kind` is the kind of the contract: `nft-rule`, `iptables-rule`, `ebtables-rule`, `chain-policy`. `tool`
    is who would list it: `nft`, `iptables-nft`, `ip6tables-nft`, `iptables-legacy`, `ip6tables-legacy`,
    `arptables-legacy`, `ebtables-legacy`, ... `text` is the line of that listing without handle and
    counters; None where no tool could be asked, and then `problem` says why. `command` is what lists it,
    with the handle or number. `details` are the contract's keys: `family`, `table`, `chain`, `handle` or
    `number`, `comment`. `path` is the way from the base chain to it, each step in words (`INPUT rule 3
    jumps to UU`). `gone` says that it was found neither by its handle nor by its bytes: deleted or replaced
    since the drop. `changed` says that the table changed between the drop and the look, although this rule
    is still the same. `read_at_ns` is the monotonic time right before it was read.
    """

    kind: str
    tool: str
    text: str | None
    command: str
    details: dict[str, Any] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    problem: str | None = None
    gone: bool = False
    changed: bool = False
    read_at_ns: int | None = None
