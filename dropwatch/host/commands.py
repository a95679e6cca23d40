"""How a user runs a command where something happened: in that network namespace. whydrop itself never runs these."""

import re
import shlex
from collections.abc import Iterator

from dropwatch.model.drop import Netns
from dropwatch.model.pattern import pattern
from dropwatch.names.foreign import quoted
from dropwatch.names.nft_words import NFT_WORDS

# What nft's scanner takes for a name: another would be read as commands, and can only come from other programs.
_NFT_NAME = pattern(r"[A-Za-z_.][A-Za-z0-9/_.-]*")
_PROCESS = pattern(r"pid ([0-9]+) \(")
# What these show or change is that of the network namespace they run in.
_TOOLS = frozenset(
    {
        *("arping", "arptables", "arptables-legacy", "arptables-nft", "bridge", "conntrack", "csf"),
        *("ebtables", "ebtables-legacy", "ebtables-nft", "ethtool", "ip", "ip6tables", "ip6tables-legacy"),
        *("ip6tables-legacy-save", "ip6tables-nft", "ip6tables-save", "ipsec", "iptables", "iptables-legacy"),
        *("iptables-legacy-save", "iptables-nft", "iptables-save", "ipvsadm", "nft", "nstat", "ping", "ss"),
        *("swanctl", "sysctl", "tc", "tcpdump", "traceroute", "ufw", "wg"),
    }
)
# A tool that runs another, which stands in the same command.
_RUNS_ANOTHER = frozenset({"watch"})
_OF_A_NAMESPACE = pattern(r"(?:^|\s)/proc/(?:sys/)?net/")
# These go to every namespace by themselves.
_EVERYWHERE = pattern(r"ip (?:-all )?netns\b")
# Settings that only the first namespace has, or lets be written: they hold for all.
_ONLY_IN_THE_FIRST = pattern(
    r"\bnet\.(?:core\.(?:[rw]mem_(?:max|default)|netdev_max_backlog|qdisc_max_burst)|ipv[46]\.neigh\.default\.gc_"
    r"|ipv4\.(?:udp|tcp)_mem\b|netfilter\.nf_conntrack_max\b)"
)
_QUOTED = r"""\$'(?:[^'\\]|\\.)*'|'[^']*'|"(?:[^"\\]|\\.)*"|\\."""
_QUOTED_OR_END = pattern(rf"({_QUOTED})|(\s*(?:\|\||&&|[;|])\s*)", re.DOTALL)


def in_namespace(netns: Netns | None, command: str) -> str:
    """`ip netns exec b nft list ruleset`, `nsenter -t 812 -n nft ...`; as it is where whydrop runs itself.

    Of several commands joined by `;` or `|`, each that looks at a network namespace. One that only the first
    namespace understands goes there.
    """
    name = netns.name if netns is not None else None
    if name is None:
        return command
    process = _PROCESS.match(name)  # what netns_name says of a namespace without a name
    enter = f"nsenter -t {process[1]} -n" if process is not None else f"ip netns exec {quoted(name)}"
    if "$(" in command and _looks_at_a_namespace(command):  # what it is given must be of the same namespace
        shell = "bash" if "$'" in command else "sh"  # which does not know that way to quote
        return f"{_way(enter, command)} {shell} -c {shlex.quote(command)}"
    return "".join(
        f"{_way(enter, part)} {part}" if _looks_at_a_namespace(part) else part for part in _parts(command)
    )


def looks_at_a_namespace(command: str) -> bool:
    """Whether it says or does something else in another network namespace."""
    return any(_looks_at_a_namespace(part) for part in _parts(command))


def of_the_first(command: str) -> bool:
    """Whether it is about a setting that only the first namespace has."""
    return _ONLY_IN_THE_FIRST.search(command) is not None and command.startswith("sysctl")


def _way(enter: str, command: str) -> str:
    return "nsenter -t 1 -n" if of_the_first(command) else enter


def _looks_at_a_namespace(part: str) -> bool:
    words = part.split()
    if not words or _EVERYWHERE.match(part):
        return False
    if words[0] in _RUNS_ANOTHER:
        return not _TOOLS.isdisjoint(words[1:])
    return words[0] in _TOOLS or part.startswith("bpftool net ") or _OF_A_NAMESPACE.search(part) is not None


def _parts(command: str) -> Iterator[str]:
    """The simple commands of a line, and between them what joins them; quoted text is left alone."""
    start = 0
    for found in _QUOTED_OR_END.finditer(command):
        if found[2]:
            yield command[start : found.start()]
            yield found[2]
            start = found.end()
    yield command[start:]


def nft_takes(name: str) -> bool:
    """Whether nft reads it as one name. What it is told is its own language, whatever a shell makes of quotes."""
    return _NFT_NAME.fullmatch(name) is not None and name not in NFT_WORDS


def nft_listing(family: str, table: str, chain: str | None = None) -> str:
    """What lists the chain with handles, or as little around it as nft can be asked for."""
    if not nft_takes(table):
        return f"nft -a list ruleset {family}"
    if chain is None or not nft_takes(chain):
        return f"nft -a list table {family} {quoted(table)}"
    return f"nft -a list chain {family} {quoted(table)} {quoted(chain)}"
