"""What a rule that changes packets does, and which packets it is for, as far as its text tells."""

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from dropwatch.causes.netfilter.rule_text import bare
from dropwatch.model.culprits import IptablesRule, NftRule
from dropwatch.model.drop import Packet
from dropwatch.model.past import Ends
from dropwatch.model.pattern import pattern

ChangingRule = NftRule | IptablesRule

_DESTINATION = pattern(r"\bdnat\b|\bredirect\b|-j (?:DNAT|REDIRECT|NETMAP)\b")
_SOURCE = pattern(r"\bsnat\b|\bmasquerade\b|-j (?:SNAT|MASQUERADE|NETMAP)\b")
_ADDRESSES = {
    4: pattern(r"[0-9]+(?:\.[0-9]+){3}"),
    6: pattern(r"[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*"),
}
_PORTS = {
    4: pattern(r"(?:[0-9]|to ):([0-9]{1,5})(?:-([0-9]{1,5}))?|--to-ports? ([0-9]{1,5})(?:-([0-9]{1,5}))?"),
    6: pattern(r"(?:\]|to ):([0-9]{1,5})(?:-([0-9]{1,5}))?|--to-ports? ([0-9]{1,5})(?:-([0-9]{1,5}))?"),
}
_INDIRECT = pattern(r"\bmap\b|@|\bNETMAP\b")
_FAMILIES = {"ip": 4, "ip6": 6}
# What a rule asks of a packet, in the words of nft and of iptables; what is negated or a set is left undecided.
_PROTOS = (pattern(r"(?<!! )-p ([a-z0-9-]+)"), pattern(r"\b(tcp|udp|sctp|udplite|dccp) [sd]port\b"))
_DPORT = (
    pattern(r"(?<!! )--dport ([0-9]+)(?::([0-9]+))?"),
    pattern(r"\bdport ([0-9]+)(?:-([0-9]+))?(?= |$)"),
)
_DADDR = (pattern(r"(?<!! )-d (\S+)"), pattern(r"\bip6? daddr ([0-9a-fA-F:.]+(?:/[0-9]+)?)(?= |$)"))
_SADDR = (pattern(r"(?<!! )-s (\S+)"), pattern(r"\bip6? saddr ([0-9a-fA-F:.]+(?:/[0-9]+)?)(?= |$)"))
_MARK_SET = (
    pattern(r"-j MARK --set-(?:x)?mark (0x[0-9a-f]+|[0-9]+)(?:/(0x[0-9a-f]+|[0-9]+))?"),
    pattern(r"(?<!ct )\bmark set (0x[0-9a-f]+|[0-9]+)(?= |$)"),
)
_MARK_RESTORED = pattern(r"-j CONNMARK --restore-mark|\bmark set ct mark\b")
_MARK_TESTED = pattern(
    r"-m mark\b|\bmeta mark (?!set\b)|(?<!ct )(?<!-)\bmark (?:!= |& |and |== )?0x[0-9a-f]+"
)
# A range of queues; without a number a map says which, and iptables takes the first.
_QUEUED = re.compile(
    r"\bqueue(?: flags [a-z,]+)?(?: (?:to|num) (?:([0-9]+)(?:-([0-9]+))?(?= |$)|(\S+)))?"
    r"|-j NFQUEUE\b(?: --queue-(?:num|balance) ([0-9]+)(?::([0-9]+))?)?"
)
_ALL = 0xFFFFFFFF


def sends_to(rule: ChangingRule, before: Ends, after: Ends) -> bool:
    """Whether it may have changed the destination of the first packet of a connection so."""
    return _translates(_DESTINATION, rule, (before.daddr, before.dport), (after.daddr, after.dport))


def comes_from(rule: ChangingRule, before: Ends, after: Ends) -> bool:
    """The same of its source."""
    return _translates(_SOURCE, rule, (before.saddr, before.sport), (after.saddr, after.sport))


End = tuple[object, int | None]


def _translates(words: re.Pattern[str], rule: ChangingRule, before: End, after: End) -> bool:
    text = bare(rule.text)
    found = words.search(text)
    if found is None or _FAMILIES.get(rule.family, _version(after)) != _version(after):
        return False
    to = text[found.start() :]
    if _INDIRECT.search(to):
        return True
    version = _version(after)
    addresses = [one for word in _ADDRESSES[version].findall(to) if (one := _address(word)) is not None]
    if not addresses and _ADDRESSES[10 - version].search(to):
        return False
    if addresses and not min(addresses) <= _number(after) <= max(addresses):
        return False
    if not addresses and before[0] == after[0] and before[1] == after[1]:
        return False
    ports = _PORTS[version].search(to)
    if ports is None:
        return before[1] == after[1] or _SOURCE is words
    low, high = (int(ports[1] or ports[3]), int(ports[2] or ports[4] or ports[1] or ports[3]))
    return after[1] is not None and low <= after[1] <= high


def _number(end: End) -> int:
    return int(ip_address(str(end[0])))


def _version(end: End) -> int:
    return ip_address(str(end[0])).version


def _address(word: str) -> int | None:
    try:
        return int(ip_address(word))
    except ValueError:
        return None


def may_be_for(rule: ChangingRule, proto: str, ends: Ends) -> bool:
    """Nothing that its text asks for speaks against a packet of these ends."""
    text = bare(rule.text)
    asked = next(_first(_PROTOS, text), None)
    if asked is not None and asked[1] not in (proto, "all"):
        return False
    port = next(_first(_DPORT, text), None)
    if port is not None and (ends.dport is None or not int(port[1]) <= ends.dport <= int(port[2] or port[1])):
        return False
    return _within(_DADDR, text, ends.daddr) and _within(_SADDR, text, ends.saddr)


def _first(words: tuple[re.Pattern[str], ...], text: str) -> Iterator[re.Match[str]]:
    return (found for pattern in words if (found := pattern.search(text)) is not None)


def _within(words: tuple[re.Pattern[str], ...], text: str, address: object) -> bool:
    found = next(_first(words, text), None)
    if found is None:
        return True
    try:
        return ip_address(str(address)) in ip_network(found[1], strict=False)
    except ValueError:
        return True


def sets_mark(rule: ChangingRule, mark: int) -> bool:
    """Whether a packet that it marks can have this mark."""
    found = next(_first(_MARK_SET, bare(rule.text)), None)
    if found is None:
        return False
    mask = int(found[2], 0) if found.re.groups > 1 and found[2] else _ALL
    return bool(mark) and mark & mask == int(found[1], 0) & mask


def restores_mark(rule: ChangingRule) -> bool:
    """Whether it gives a packet the mark of its connection."""
    return _MARK_RESTORED.search(bare(rule.text)) is not None


def queues_to(rule: ChangingRule, number: int) -> bool:
    """Whether it may send packets to this queue."""
    found = _QUEUED.search(bare(rule.text))
    if found is None:
        return False
    if found[3] is not None:
        return True
    low = int(found[1] or found[4] or 0)
    return low <= number <= int(found[2] or found[5] or low)


def tests_mark(text: str) -> bool:
    """Whether a rule looks at the packet's mark."""
    return _MARK_TESTED.search(bare(text)) is not None


def shown(rule: ChangingRule) -> str:
    """`-A PREROUTING -j DNAT ... (table ip nat)`; of nft with its chain, which its text does not tell."""
    if rule.text.startswith("-A "):
        return f"`{rule.text}` (table {rule.family} {rule.table})"
    return f"`{rule.text}` (table {rule.family} {rule.table}, chain {rule.chain}, handle {_handle(rule)})"


def _handle(rule: ChangingRule) -> int | None:
    return rule.handle if isinstance(rule, NftRule) else rule.number


def as_ends(packet: Packet) -> Ends | None:
    """None of a packet without addresses."""
    if packet.saddr is None or packet.daddr is None:
        return None
    return Ends(packet.saddr, packet.daddr, packet.sport, packet.dport)
