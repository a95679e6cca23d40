"""The sentences about firewall rules: where one stands, when it was listed, how to let a flow pass before it."""

import re
import shlex

from dropwatch.causes.netfilter import chain_owners
from dropwatch.host.commands import nft_takes
from dropwatch.host.listed_rule import ListedRule
from dropwatch.model.culprits import ChainPolicy, NftRule, Rule
from dropwatch.model.drop import Drop, Evidence, Fix, Netns, Packet
from dropwatch.model.netfilter import NftChain, hook_word
from dropwatch.names.foreign import is_option, quoted, raw_name

_PROCESS = re.compile(r"pid ([0-9]+) \(")
_WITH_PORTS = frozenset({"tcp", "udp", "sctp", "dccp", "udplite"})
_NFT_PROTOCOLS = {"icmp6": "ipv6-icmp"}
_XT_PROTOCOLS = {"icmp6": "ipv6-icmp"}


def hook(family: str, number: int) -> str:
    """As hook_word(), or the number."""
    return hook_word(family, number) or f"number {number}"


def inside(netns: Netns | None, command: str) -> str:
    """The command as one runs it from whydrop's own namespace: `ip netns exec b nft list ruleset`."""
    name = netns.name if netns is not None else None
    if name is None:
        return command
    process = _PROCESS.match(name)  # what netns_name says of a namespace without a name
    enter = f"nsenter -t {process[1]} -n" if process is not None else f"ip netns exec {quoted(name)}"
    plain = not re.search(r"[;|&<>]", command)
    return f"{enter} {command}" if plain else f"{enter} sh -c {shlex.quote(command)}"


def delay(drop: Drop, read_at_ns: int | None) -> str:
    """`12 ms after the drop`; where it is not known, and for what was read shortly before, without the number."""
    if read_at_ns is None:
        return "now"
    later = (read_at_ns - drop.event.monotonic_ns) / 1e6
    return f"{later:.0f} ms after the drop" if later >= 0 else f"{-later:.0f} ms before the drop"


def chain(one: NftChain) -> str:
    """Its name; a name that the record could not hold in full says so."""
    return f"{one.name}..." if len(raw_name(one.name)) >= 63 else one.name


def listing(drop: Drop, listed: ListedRule | None, tools: str) -> list[Evidence]:
    """What the tool printed, when, and whether that still is what the packet met. `tools` are words for who could
    have been asked.
    """
    if listed is None:
        return [Evidence(tools, "the rules of this namespace could not be read after the drop")]
    when = delay(drop, listed.read_at_ns)
    source = listed.command or tools
    if listed.gone:
        found = [Evidence(source, f"{when}: {listed.problem or 'it was deleted or replaced since the drop'}")]
        if listed.text is not None:
            found.append(Evidence(source, f"at the drop it was: {listed.text}"))
    elif listed.text is None:
        found = [Evidence(source, f"not listed: {listed.problem or 'no tool could be asked'}")]
    else:
        found = [Evidence(source, f"{when}: {listed.text}{_place(listed)}")]
        if listed.changed:
            found.append(Evidence(source, "the table has changed since the drop, this rule has not"))
    comment = None if isinstance(listed.rule, ChainPolicy) else listed.rule.comment
    if comment and comment not in (listed.text or ""):
        found.append(Evidence(source, f"its comment: {comment}"))
    if listed.path:
        found.append(Evidence("way there", "; ".join(listed.path)))
    return found


def _place(listed: ListedRule) -> str:
    rule = listed.rule
    if isinstance(rule, ChainPolicy):
        return ""
    place = [f"rule {rule.number} of {rule.chain}"] if rule.number is not None else []
    if isinstance(rule, NftRule) and rule.handle is not None:
        place.append(f"handle {rule.handle}")
    return f" # {', '.join(place)}" if place else ""


def owner(culprit: Rule | None) -> chain_owners.Owner | None:
    """Who made the chain of a rule, if its name or its table's tells."""
    return chain_owners.owner_of(culprit.table, culprit.chain or "") if culprit is not None else None


def owner_evidence(culprit: Rule | None) -> list[Evidence]:
    found = owner(culprit)
    if found is None or culprit is None:
        return []
    name = culprit.chain if found.chain is not None else culprit.table
    return [chain_owners.evidence(found, str(name))]


def fixes(drop: Drop, culprit: Rule | None, listed: ListedRule | None) -> tuple[Fix, ...]:
    """Its owner's command, then how to see its counter, to let the flow pass before it, to take it out.

    None where nothing about the rule is known that a command could name.
    """
    found: list[Fix] = []
    whose = owner(culprit)
    if whose is not None:
        made = chain_owners.fix(whose)
        saddr = str(drop.packet.saddr) if drop.packet.saddr is not None else "SADDR"
        # kubectl and its like do not depend on the network namespace.
        found.append(Fix(made.text, made.command.replace("SADDR", saddr) if made.command else None))
    if listed is not None and listed.command:
        what = "see what is in its place now" if listed.gone else "see it among its neighbours"
        found.append(Fix(what, inside(drop.netns, listed.command)))
    if culprit is not None and not (listed is not None and listed.gone):
        make = _nft_changes if _is_nft(listed, culprit) else _xt_changes
        found += make(drop, culprit, listed, owned=whose.name if whose is not None else None)
    return tuple(found)


def _is_nft(listed: ListedRule | None, culprit: Rule) -> bool:
    """Whether `nft` itself is what the user changes this with: rules of iptables-nft are changed with iptables."""
    return listed.tool == "nft" if listed is not None else isinstance(culprit, NftRule)


def _nft_changes(drop: Drop, culprit: Rule, listed: ListedRule | None, owned: str | None) -> list[Fix]:
    if culprit.chain is None or not nft_takes(culprit.table) or not nft_takes(culprit.chain):
        return []
    where = shlex.join([culprit.family, culprit.table, culprit.chain])
    flow = nft_flow(drop.packet)
    again = f"; {owned} may make it again" if owned is not None else ""
    found = []
    if isinstance(culprit, ChainPolicy):
        if flow:
            found.append(Fix("let this flow pass", inside(drop.netns, f"nft add rule {where} {flow} accept")))
        return found
    if not isinstance(culprit, NftRule) or culprit.handle is None:
        return []
    if flow:
        insert = f"nft insert rule {where} position {culprit.handle} {flow} accept"
        found.append(Fix("let this flow pass before it", inside(drop.netns, insert)))
    found.append(
        Fix(f"or take it out{again}", inside(drop.netns, f"nft delete rule {where} handle {culprit.handle}"))
    )
    return found


def _xt_changes(drop: Drop, culprit: Rule, listed: ListedRule | None, owned: str | None) -> list[Fix]:
    """For iptables, ip6tables, and their legacy twins; nothing for ARP and bridges, whose flows are other things."""
    if listed is None or not listed.tool.startswith(("iptables", "ip6tables")):
        return []
    if culprit.chain is None or is_option(culprit.chain):
        return []
    chain_name = quoted(culprit.chain)
    start = f"{listed.tool} -t {quoted(culprit.table)}"
    flow = xt_flow(drop.packet)
    again = f"; {owned} may make it again" if owned is not None else ""
    found = []
    if isinstance(culprit, ChainPolicy):
        if flow:
            found.append(
                Fix("let this flow pass", inside(drop.netns, f"{start} -A {chain_name} {flow} -j ACCEPT"))
            )
        return found
    counters = f"{start} -vnL {chain_name} --line-numbers"
    found.append(Fix("watch its counter while the packets are sent", inside(drop.netns, counters)))
    number = culprit.number
    if number is not None and flow:
        insert = f"{start} -I {chain_name} {number} {flow} -j ACCEPT"
        found.append(Fix("let this flow pass before it", inside(drop.netns, insert)))
    if number is not None:
        found.append(Fix(f"or take it out{again}", inside(drop.netns, f"{start} -D {chain_name} {number}")))
    return found


def nft_flow(packet: Packet) -> str:
    """`ip saddr 10.9.0.1 ip daddr 10.9.0.2 udp dport 5000`; empty for a packet without addresses."""
    if packet.saddr is None or packet.daddr is None:
        return ""
    ip = "ip6" if packet.family == 6 else "ip"
    words = [f"{ip} saddr {packet.saddr} {ip} daddr {packet.daddr}"]
    if packet.proto in _WITH_PORTS and packet.dport is not None:
        words.append(f"{packet.proto} dport {packet.dport}")
    elif packet.proto is not None:
        words.append(f"meta l4proto {_NFT_PROTOCOLS.get(packet.proto, packet.proto)}")
    return " ".join(words)


def xt_flow(packet: Packet) -> str:
    """`-s 10.9.0.1 -d 10.9.0.2 -p udp --dport 5000`; empty for a packet without addresses."""
    if packet.saddr is None or packet.daddr is None:
        return ""
    words = [f"-s {packet.saddr} -d {packet.daddr}"]
    if packet.proto is not None:
        words.append(f"-p {_XT_PROTOCOLS.get(packet.proto, packet.proto)}")
        if packet.proto in _WITH_PORTS and packet.dport is not None:
            words.append(f"--dport {packet.dport}")
    return " ".join(words)
