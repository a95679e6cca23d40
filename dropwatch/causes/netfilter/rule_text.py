"""What the text of a firewall rule tells: whether it asks for INVALID packets, whether it checks the way back."""

import re
from ipaddress import ip_address, ip_network
from typing import Literal

from dropwatch.host.saved_rule import QUOTED, words_of
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Packet
from dropwatch.model.pattern import pattern

_NFT_QUOTED = pattern(r'"[^"]*"')  # nft has no way to escape a quote
# Options of iptables whose argument is a user's own words, also without quotes.
_SAID = pattern(r"(--(?:comment|log-prefix|nflog-prefix)) \S+")
_NFT_SAID = pattern(r'\b(?:comment|prefix) "[^"]*"')
_XT_STATE = pattern(r"(! )?--(?:ctstate|state) (\S+)")
_NFT_STATES = pattern(r"\bct state (!= |! )?(?:\{ ([^{}]*) \}|([a-z]+(?:,[a-z]+)*)(?= |$))")
_NFT_STATE_MAP = pattern(r"\bct state vmap \{ ([^{}]*) \}")
_NFT_FIB = pattern(
    r"\bfib ([a-z]+(?: \. [a-z]+)*) (?:(?:oif|check) missing|oif (?:eq |== )?0\b|oifname (?:eq |== )?\"\")"
)
_XT_PROTOCOLS = {"ipv6-icmp": "icmp6", "icmpv6": "icmp6"}
# Those that iptables and whydrop call the same. /etc/protocols has other names, and numbers, for many.
_PROTOCOLS = frozenset({"tcp", "udp", "icmp", "icmp6", "esp", "ah", "sctp"})

Among = Literal["only", "among"]


@dataclass(frozen=True, slots=True)
class ReversePath:
    """What a reverse-path check compares: the interface the packet came in on too, and its mark."""

    iif: bool
    mark: bool


def bare(text: str) -> str:
    """The rule without what its author wrote in quotes or as a comment: words that mean nothing to the kernel."""
    quoted = QUOTED if text.startswith("-A ") else _NFT_QUOTED
    return _SAID.sub(r"\1", quoted.sub('""', text))


def asks_for_invalid(text: str) -> Among | None:
    """Whether the rule drops INVALID packets: these `only`, or `among` other states. None: it does not ask."""
    text = bare(text)
    found = _XT_STATE.search(text)
    if found is not None:
        return None if found[1] else _among(found[2].lower().split(","))
    found = _NFT_STATE_MAP.search(text)
    if found is not None:
        elements = [element.partition(" : ") for element in found[1].split(", ")]
        return _among([key.strip() for key, _, verdict in elements if verdict.strip() == "drop"])
    found = _NFT_STATES.search(text)
    if found is not None:
        return None if found[1] else _among((found[2] or found[3]).replace(" ", "").split(","))
    return None


def _among(states: list[str]) -> Among | None:
    if "invalid" not in states:
        return None
    return "only" if len(states) == 1 else "among"


def reverse_path(text: str) -> ReversePath | None:
    """The check of the way back that a packet must have failed to match this rule; None where it has none."""
    options = bare(text)
    if re.search(r"-m rpfilter\b", options):
        if "--invert" not in options:
            return None
        return ReversePath(iif="--loose" not in options, mark="--validmark" in options)
    found = _NFT_FIB.search(_NFT_SAID.sub("", text))
    fields = found[1].split(" . ") if found is not None else []
    return ReversePath("iif" in fields, "mark" in fields) if "saddr" in fields else None


def may_match(text: str, packet: Packet) -> bool:
    """False only where an iptables rule asks for another address, protocol or port than the packet has.

    What it asks besides is not looked at. For a packet whose header could not be read everything may match.
    """
    try:
        words = words_of(text)
    except ValueError:
        return True
    for at, word in enumerate(words[:-1]):
        fits = _fits(word, words[at + 1], packet)
        if fits is not None and fits == (words[at - 1] == "!" if at else False):
            return False
    return True


def _fits(option: str, value: str, packet: Packet) -> bool | None:
    """None: the option is none of these, or there is nothing to compare it with."""
    match option:
        case "-s" | "--source" | "-d" | "--destination":
            address = packet.saddr if option in ("-s", "--source") else packet.daddr
            return None if address is None else _within(str(address), value)
        case "-p" | "--protocol":
            asked = _XT_PROTOCOLS.get(value, value)
            return asked == packet.proto if {asked, packet.proto} <= _PROTOCOLS else None
        case "--sport" | "--sports" | "--source-port" | "--source-ports":
            return _port_fits(packet.sport, value)
        case "--dport" | "--dports" | "--destination-port" | "--destination-ports":
            return _port_fits(packet.dport, value)
    return None


def _within(address: str, network: str) -> bool | None:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return None


def _port_fits(port: int | None, value: str) -> bool | None:
    """`5000`, `5000:5010`, `53,5000:5010`, `:1023`; names of services cannot be compared."""
    if port is None:
        return None
    for part in value.split(","):
        low, colon, high = part.partition(":")
        if not (low + high).isdecimal():
            return None
        if int(low or 0) <= port <= int(high or 65535 if colon else low):
            return True
    return False
