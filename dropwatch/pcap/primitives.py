"""The primitives of pcap-filter(7) that a flow shows: protocols, addresses, networks and ports."""

import re
import socket
from ipaddress import ip_address, ip_network
from typing import Final, cast

from dropwatch.model.dataclass import dataclass
from dropwatch.model.expression import NO_FLOW, UNKNOWN, All, Any, Fact, Node, Side
from dropwatch.model.filter import Network
from dropwatch.names import protocols

# What a protocol alone asks for: the family (None: both), and the protocols of IP.
_ALONE: Final[dict[str, tuple[int | None, frozenset[int]]]] = {
    "ip": (4, frozenset()),
    "ip6": (6, frozenset()),
    **{name: (None, frozenset({number})) for name, number in (("tcp", 6), ("udp", 17), ("sctp", 132))},
    **{name: (None, frozenset({number})) for name, number in (("esp", 50), ("ah", 51), ("pim", 103))},
    **{name: (4, frozenset({number})) for name, number in (("icmp", 1), ("igmp", 2), ("igrp", 9))},
    **{name: (4, frozenset({112})) for name in ("vrrp", "carp")},
    "icmp6": (6, frozenset({58})),
}
_NOT_IP: Final = frozenset({"arp", "rarp"})
PROTOCOLS: Final = frozenset(_ALONE) | _NOT_IP
LINKS: Final = frozenset({"ether", "link"})
KINDS: Final = frozenset({"host", "net", "port", "portrange", "proto", "protochain"})
_WITH_PORTS: Final = frozenset({6, 17, 132})  # gen_port() of libpcap asks for these
_OCTETS: Final = 4


@dataclass(frozen=True, slots=True)
class Qualifiers:
    """What stands before a value: `udp`, `src`, `port`. A protocol alone is a whole primitive."""

    protocol: str | None = None
    side: str | None = None
    kind: str | None = None

    @property
    def is_whole(self) -> bool:
        return self.protocol is not None and self.side is None and self.kind is None


def protocol(mine: Qualifiers) -> Node:
    """A protocol alone."""
    return _of_protocol(mine.protocol or "")


def accessed(names: list[str]) -> Node:
    """What is so of a packet in which bytes of these protocols are looked at."""
    parts = (_of_protocol(name) for name in dict.fromkeys(names) if name in PROTOCOLS)
    return All((*parts, UNKNOWN))


def fact(mine: Qualifiers, value: str, length: str | None) -> Node:
    """Raises ValueError where the value is none of its kind."""
    if mine.protocol in _NOT_IP:
        return NO_FLOW
    if mine.kind in ("proto", "protochain"):
        return _proto(mine, value)
    side = cast("Side", mine.side or "either")
    made = (
        _ports(mine, value, side)
        if mine.kind in ("port", "portrange")
        else _network(mine, value, length, side)
    )
    if mine.protocol is None or made is UNKNOWN:
        return made
    return All((_of_protocol(mine.protocol), made))


def _of_protocol(name: str) -> Node:
    if name not in _ALONE:
        return NO_FLOW if name in _NOT_IP else UNKNOWN
    family, numbers = _ALONE[name]
    return Fact(family=family, protos=numbers)


def _proto(mine: Qualifiers, value: str) -> Node:
    number = protocols.number_on_this_host("icmp6" if value == "icmp6" else value)
    if mine.kind == "protochain" or mine.protocol not in (None, "ip", "ip6") or number is None:
        return UNKNOWN
    return Fact(family={"ip": 4, "ip6": 6}.get(mine.protocol or ""), protos=frozenset({number}))


def _ports(mine: Qualifiers, value: str, side: Side) -> Node:
    numbers = value.split("-") if re.fullmatch(r"\d+-\d+", value) else [value]
    if all(number.isdecimal() for number in numbers):
        low, high = sorted((int(numbers[0]), int(numbers[-1])))
        return Fact(protos=_WITH_PORTS, ports=(low, high), side=side)
    if mine.kind == "portrange":
        return Fact(protos=_WITH_PORTS, rest=True)
    found = []
    for name in ("tcp", "udp", "sctp"):
        try:
            found.append(socket.getservbyname(value, name))
        except (OSError, ValueError):
            continue
    facts = tuple(Fact(protos=_WITH_PORTS, ports=(port, port), side=side) for port in dict.fromkeys(found))
    return Any(facts) if facts else Fact(protos=_WITH_PORTS, rest=True)


def _network(mine: Qualifiers, value: str, length: str | None, side: Side) -> Node:
    """What is a name is looked up by libpcap alone: there the addresses are unknown here."""
    network = _numbers(value, length, is_net=mine.kind == "net")
    if network is None:
        return UNKNOWN
    return Fact(family=network.version, network=network, side=side)


def _numbers(value: str, length: str | None, *, is_net: bool) -> Network | None:
    """`10.9` is 10.9.0.0/16 as a net, and with a length as well."""
    octets = value.split(".")
    if is_net and ":" not in value and all(octet.isdecimal() for octet in octets) and len(octets) <= _OCTETS:
        missing = _OCTETS - len(octets)
        bits = length if length is not None else str(8 * len(octets))
        return ip_network(f"{'.'.join([*octets, *['0'] * missing])}/{bits}", strict=False)
    try:
        address = ip_address(value)
    except ValueError:
        return None
    found = ip_network(address)
    return found if length is None else _of_length(found, length)


def _of_length(network: Network, length: str) -> Network:
    """The network of this length around it."""
    return ip_network(f"{network.network_address}/{length}", strict=False)
