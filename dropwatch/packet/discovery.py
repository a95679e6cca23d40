"""Messages of neighbour discovery: what they are about, and which rule of RFC 4861 they break."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Drop
from dropwatch.packet.payload import whole_icmp6

ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, SOLICITATION, ADVERTISEMENT, REDIRECT = range(133, 138)
_SHORTEST = {133: 8, 134: 16, 135: 24, 136: 24, 137: 40}  # bytes
_WITH_TARGET = frozenset({SOLICITATION, ADVERTISEMENT, REDIRECT})
_SOLICITED = 0x40  # flag S of an advertisement, in its fifth byte
_SOURCE_LINK_LAYER = 1  # type of an option
_SOLICITED_NODES = IPv6Network("ff02::1:ff00:0/104")


@dataclass(frozen=True, slots=True)
class Message:
    """`kind` is the ICMPv6 type; `fault` the first rule that it breaks, in words, None for a sound one. A redirect says
    that `target` is the next hop for `destination`.

    The rules are those of ndisc_rcv() and what it calls, net/ipv6/ndisc.c, and RFC 4861, 6.1, 7.1 and 8.1.
    """

    kind: int
    from_nobody: bool
    target: IPv6Address | None
    is_solicited: bool
    fault: str | None
    destination: IPv6Address | None = None


def discovery_message(drop: Drop) -> Message | None:
    """None for what is no such message, or may be sound but was not captured to its end."""
    packet = drop.packet
    saddr, daddr, kind = packet.saddr, packet.daddr, packet.icmp_type
    if packet.proto != "icmp6" or kind not in _SHORTEST:
        return None
    if not isinstance(saddr, IPv6Address) or not isinstance(daddr, IPv6Address):
        return None
    found = whole_icmp6(drop)
    if found is None:
        fault = _of_header(drop)
        return Message(kind, saddr.is_unspecified, None, False, fault) if fault else None
    message = Message(
        kind,
        saddr.is_unspecified,
        IPv6Address(found[8:24]) if kind in _WITH_TARGET and len(found) >= 24 else None,
        kind == ADVERTISEMENT and len(found) > 4 and bool(found[4] & _SOLICITED),
        None,
        IPv6Address(found[24:40]) if kind == REDIRECT and len(found) >= 40 else None,
    )
    fault = _of_header(drop) or _of_length(found, kind) or _of_options(found, message)
    return replace(message, fault=fault or _of_addresses(message, saddr, daddr))


def _of_header(drop: Drop) -> str | None:
    if drop.packet.ttl != 255:
        return f"hop limit {drop.packet.ttl}, where only 255 is accepted"
    return f"code {drop.packet.icmp_code}, where only 0 is accepted" if drop.packet.icmp_code else None


def _of_length(found: bytes, kind: int) -> str | None:
    shortest = _SHORTEST[kind]
    return f"{len(found)} bytes long, at least {shortest} are required" if len(found) < shortest else None


def _of_options(found: bytes, message: Message) -> str | None:
    at = _SHORTEST[message.kind]
    while at < len(found):
        length = found[at + 1] * 8 if at + 1 < len(found) else None
        if length == 0:
            return f"an option (type {found[at]}) of length 0"
        if length is None or at + length > len(found):
            return f"an option (type {found[at]}) that is longer than the message"
        if found[at] == _SOURCE_LINK_LAYER and message.kind == SOLICITATION and message.from_nobody:
            return "a MAC address, while its source is ::"
        at += length
    return None


def _of_addresses(message: Message, saddr: IPv6Address, daddr: IPv6Address) -> str | None:
    if message.kind in {SOLICITATION, ADVERTISEMENT} and message.target and message.target.is_multicast:
        return f"its target is {message.target}, a multicast address"
    if message.kind == SOLICITATION and message.from_nobody and daddr not in _SOLICITED_NODES:
        return f"its source is ::, and it is sent to {daddr} instead of the group of its target"
    if message.is_solicited and daddr.is_multicast:
        return "it says that it was solicited, and is sent to a multicast group"
    if message.kind in {ROUTER_ADVERTISEMENT, REDIRECT} and not saddr.is_link_local:
        return f"its source is {saddr}, where only a link-local address is accepted"
    return None
