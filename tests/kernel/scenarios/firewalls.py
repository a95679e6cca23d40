"""The firewall of a namespace: rules go in by batch, come out as its own tool lists them, with what they counted."""

import re
import subprocess
from dataclasses import dataclass

from scenarios.namespaces import Namespace

STATE = re.compile(r"\bcounter\b(?! name)( packets \d+ bytes \d+)?|\bused \d+ \w+")
COUNTED = re.compile(r"counter packets (\d+) bytes")
# Those whose functions give verdicts. What comes later gets its probes too, but the first packets may be faster.
MODULES = (
    "nf_tables nft_reject_inet nft_reject_ipv4 nft_reject_ipv6 nft_reject_bridge nft_compat nft_synproxy nft_queue"
    " nft_chain_nat nf_conntrack nfnetlink_queue ip_tables ip6_tables ebtables ipt_REJECT ip6t_REJECT"
    " ipt_SYNPROXY xt_NFQUEUE tun"
)
SAVED = re.compile(r"\[(\d+):\d+\] -A (\S+) .*")


@dataclass(frozen=True)
class Rule:
    """One rule as it is listed. nft has a `handle`, legacy tables a `number`. `packets` is None without a counter."""

    table: str
    chain: str
    text: str
    packets: int | None
    family: str = ""
    handle: int | None = None
    number: int | None = None


def load_modules() -> None:
    """Those that this kernel has; arp_tables comes later, in a scenario about that."""
    subprocess.run(["modprobe", "-aq", *MODULES.split()], check=False)


def feed(end: Namespace, command: str, text: str) -> None:
    """Run a command line in the namespace with `text` as its input; a failure shows what it said."""
    done = end.run(command, check=False, stdin=text)
    assert done.returncode == 0, f"{end.name}: {command}: {done.stderr}\n{text[:2000]}"


def nft(end: Namespace, text: str) -> None:
    """`text` may have closing braces behind something else, which nft itself does not like."""
    feed(end, "nft -f -", re.sub(r"\s*\}\s*(?=\}|\n|$)", "\n}\n", text))


def legacy(end: Namespace, text: str, tool: str = "iptables-legacy") -> None:
    """`text` is what iptables-save prints, without COMMIT; the chains that it names need no line of their own."""
    lines: list[str] = []
    for table in re.split(r"(?m)^\*", text)[1:]:
        name, _, rest = table.partition("\n")
        rules = [line.strip() for line in rest.splitlines() if line.strip()]
        chains = dict.fromkeys(rule.split()[1] for rule in rules if rule.startswith("-A"))
        given = [rule for rule in rules if rule.startswith(":")]
        own = [chain for chain in chains if not any(line.split()[0] == f":{chain}" for line in given)]
        made = [f":{chain} {'ACCEPT' if chain.isupper() else '-'} [0:0]" for chain in own]
        lines += [f"*{name}", *given, *made, *(rule for rule in rules if not rule.startswith(":")), "COMMIT"]
    feed(end, f"{tool}-restore", "\n".join(lines) + "\n")


def normal(text: str) -> str:
    """Without what a rule remembers (counters, used quota), and with single blanks."""
    return " ".join(STATE.sub("", text).split())


def nft_rules(end: Namespace) -> list[Rule]:
    rules: list[Rule] = []
    family = table = chain = ""
    for line in end.run("nft -a list ruleset").stdout.splitlines():
        words, _, handle = line.strip().partition(" # handle ")
        match words.split():
            case ["table", family, table, "{"]:
                chain = ""
            case ["chain", chain, "{"]:
                pass
            case [_, *_] if handle and chain:
                counted = COUNTED.search(words)
                packets = int(counted[1]) if counted else None
                rules.append(Rule(table, chain, normal(words), packets, family, int(handle)))
            case _:
                pass
    return rules


def legacy_rules(end: Namespace, tool: str = "iptables-legacy") -> list[Rule]:
    rules: list[Rule] = []
    numbers: dict[tuple[str, str], int] = {}
    table = ""
    for line in end.run(f"{tool}-save -c").stdout.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif saved := SAVED.fullmatch(line):
            chain = saved[2]
            number = numbers[table, chain] = numbers.get((table, chain), 0) + 1
            text = line.partition("] ")[2].strip()
            rules.append(Rule(table, chain, text, int(saved[1]), number=number))
    return rules


def the_rule(rules: list[Rule], needle: str) -> Rule:
    """The one rule whose text has `needle` as whole words."""
    (found,) = [rule for rule in rules if re.search(rf"(?<!\S){re.escape(needle)}(?!\S)", rule.text)]
    return found


def snapshot(end: Namespace) -> str:
    """All rules and policies of the namespace, handles and their order included, counters not."""
    shown = [normal(line) for line in end.run("nft -s -a list ruleset").stdout.splitlines()]
    for tool in ("iptables-legacy-save", "ip6tables-legacy-save"):
        saved = end.run(tool).stdout.splitlines()
        shown += [line.partition(" [")[0] for line in saved if not line.startswith("#")]
    for family in ("ip", "ip6"):  # looking must not make tables either
        shown += end.run(f"cat /proc/net/{family}_tables_names", check=False).stdout.split()
    return "\n".join(shown)
