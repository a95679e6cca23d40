"""What to do about a rule or policy: let this flow pass, look at it, take it out; its program, where it has one."""

import shlex

from dropwatch.causes.advice import Step
from dropwatch.causes.fits import answers, to_a_service
from dropwatch.causes.netfilter import chain_owners, owner_advice, words
from dropwatch.host.commands import nft_takes
from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.saved_rule import words_of
from dropwatch.model.culprits import ChainPolicy, IptablesRule, NftRule, Rule
from dropwatch.model.drop import Drop, Fix, Packet
from dropwatch.names import protocols
from dropwatch.names.foreign import is_option, quoted, raw_name

_WITH_PORTS = frozenset({"tcp", "udp", "sctp", "dccp", "udplite"})
# Protocols that nft and iptables call by a name of their own; others by their number, which needs no /etc/protocols.
_NAMES = {
    "tcp": "tcp",
    "udp": "udp",
    "icmp": "icmp",
    "icmp6": "ipv6-icmp",
    "esp": "esp",
    "ah": "ah",
    "sctp": "sctp",
}
# Short options of a rule, and the long ones, which may be shortened, that say where the tool looks and what it runs.
_OF_A_RULE = frozenset({"-p", "-s", "-d", "-i", "-o", "-m", "-j", "-g", "-f"})
_OF_THE_TOOL = ("--table", "--modprobe")
_ALL_THAT_IT_STOPS = "whatever it blocks can pass"


def fixes(
    drop: Drop, culprit: Rule | None, listed: ListedRule | None, protects: str | None = None
) -> tuple[Fix, ...]:
    """How to let the flow pass, how to see the rule and its counter, how to take it out.

    `protects` are words for what a flow that is let past the rule is no longer checked for, None for a rule that is
    about this flow and nothing else.
    Nothing is changed by hand in a chain that a program rewrites: that program is told. Empty where nothing about
    the rule is known that a command could name.
    """
    gone = listed is not None and listed.gone
    whose = words.owner(culprit)
    rewritten = whose is not None and whose.rewrites
    found: list[Fix] = []
    if whose is not None and rewritten:
        found += owner_advice.tell(whose.name, drop)
    elif culprit is not None and not gone:
        found += _past_the_check(_changes(drop, culprit, listed), protects)
    if whose is not None:
        found += chain_owners.fixes(whose, drop)
    if listed is not None and listed.command:
        what = "list the chain, and watch the counter of the rule"
        if isinstance(culprit, ChainPolicy):
            what = "list the chain"
        found.append(Fix("list what is there now" if gone else what, listed.command))
    return tuple(found)


def _past_the_check(changes: list[Fix], protects: str | None) -> list[Fix]:
    if protects is None:
        return changes
    return [
        one if isinstance(one, Step) else Step(one.text, one.command, weakens=protects) for one in changes
    ]


def _changes(drop: Drop, culprit: Rule, listed: ListedRule | None) -> list[Fix]:
    """With the tool that the user changes this with: rules of iptables-nft are changed with iptables."""
    if culprit.chain is None:
        return []
    tool = listed.tool if listed is not None else "nft" if isinstance(culprit, NftRule) else ""
    if tool == "nft":
        return _nft_changes(drop, culprit, culprit.chain)
    text = listed.text if listed is not None else None
    if tool.startswith(("iptables", "ip6tables")):
        return _xt_changes(drop, culprit, culprit.chain, tool, text)
    # The flows of arptables and ebtables are other things, and are not let past a rule of theirs.
    start = f"{tool} -t {quoted(culprit.table)}"
    by_words = _out_by_words(start, culprit.chain, text) if tool else []
    if by_words or not tool.startswith("arptables") or is_option(culprit.chain):
        return by_words
    # arptables lists words that it does not take; no advice puts a rule before one of its own.
    number = culprit.number if isinstance(culprit, IptablesRule) else None
    return [_take_out(f"{start} -D {quoted(culprit.chain)} {number}")] if number is not None else []


def _nft_changes(drop: Drop, culprit: Rule, chain: str) -> list[Fix]:
    if not nft_takes(culprit.table) or not nft_takes(chain):
        return []
    where = " ".join((culprit.family, quoted(culprit.table), quoted(chain)))
    accept = f"{nft_flow(drop.packet)} accept"
    answer = "ct state established,related accept"
    if isinstance(culprit, ChainPolicy):
        return _let_pass(drop, f"nft add rule {where}", accept, answer, "")
    if not isinstance(culprit, NftRule) or culprit.handle is None:
        return []
    insert = f"nft insert rule {where} position {culprit.handle}"
    out = f"nft delete rule {where} handle {culprit.handle}"
    return [*_let_pass(drop, insert, accept, answer, " before that rule"), _take_out(out)]


def _xt_changes(drop: Drop, culprit: Rule, chain: str, tool: str, text: str | None) -> list[Fix]:
    if is_option(chain):
        return []
    start = f"{tool} -t {quoted(culprit.table)}"
    name = quoted(chain)
    accept = f"{xt_flow(drop.packet)} -j ACCEPT"
    # The raw table comes before conntrack.
    answer = "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT" if culprit.table != "raw" else ""
    if isinstance(culprit, ChainPolicy):
        return _let_pass(drop, f"{start} -A {name}", accept, answer, "")
    if culprit.number is None:
        return []
    before = _let_pass(drop, f"{start} -I {name} {culprit.number}", accept, answer, " before that rule")
    return [*before, *_out_by_words(start, chain, text)]


def _out_by_words(start: str, chain: str, text: str | None) -> list[Fix]:
    """Not by its number, which is another once a rule was inserted."""
    words_of_it = _rule_words(text, chain)
    return [_take_out(f"{start} -D {shlex.join(words_of_it)}")] if words_of_it else []


def _rule_words(text: str | None, chain: str) -> list[str]:
    """`INPUT -p udp -j DROP` of `-A INPUT -p udp -j DROP`, word by word; empty for what is no such line."""
    text = text or ""
    try:
        split = words_of(text)
    except ValueError:
        return []
    if raw_name(text) != text.encode():  # bytes are spelt out in it, which the rule itself has otherwise
        return []
    return split[1:] if split[:2] == ["-A", chain] and all(map(_is_of_a_rule, split[1:])) else []


def _is_of_a_rule(word: str) -> bool:
    """Not an option of the tool's own. A rule's interface may be called `a -t raw`, and the tools write it as it is."""
    if not word.startswith("--"):
        return not word.startswith("-") or word in _OF_A_RULE
    return not any(option.startswith(word.partition("=")[0]) for option in _OF_THE_TOOL)


def _let_pass(drop: Drop, start: str, accept: str, answer: str, before: str) -> list[Fix]:
    """A rule for this flow; for answers to a client's port, which is another tomorrow, one for all answers."""
    packet = drop.packet
    if packet.saddr is None or packet.daddr is None or packet.proto == "arp":
        return []
    if packet.dport is None or packet.proto not in _WITH_PORTS or to_a_service(drop):
        return [Fix(f"accept this flow{before}", f"{start} {accept}")]
    if answers(drop) and answer:
        what = f"accept replies to established connections{before}: port {packet.dport} is a client's port"
        return [Fix(what, f"{start} {answer}")]
    return []


def _take_out(command: str) -> Step:
    return Step("or delete the rule", command, weakens=_ALL_THAT_IT_STOPS)


def nft_flow(packet: Packet) -> str:
    """`ip saddr 10.9.0.1 ip daddr 10.9.0.2 udp dport 5000`, of a packet with addresses."""
    ip = "ip6" if packet.family == 6 else "ip"
    found = [f"{ip} saddr {packet.saddr} {ip} daddr {packet.daddr}"]
    if packet.proto in _WITH_PORTS and packet.dport is not None:
        found.append(f"{packet.proto} dport {packet.dport}")
    elif packet.proto is not None:
        found.append(f"meta l4proto {_protocol(packet.proto)}")
    return " ".join(found)


def xt_flow(packet: Packet) -> str:
    """`-s 10.9.0.1 -d 10.9.0.2 -p udp --dport 5000`, of a packet with addresses."""
    found = [f"-s {packet.saddr} -d {packet.daddr}"]
    if packet.proto is not None:
        found.append(f"-p {_protocol(packet.proto)}")
        if packet.proto in _WITH_PORTS and packet.dport is not None:
            found.append(f"--dport {packet.dport}")
    return " ".join(found)


def _protocol(name: str) -> str:
    return _NAMES.get(name) or str(protocols.number(name) or name)
