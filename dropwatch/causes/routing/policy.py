"""Which rule of `ip rule` sent a packet to a table, or nowhere: the rules are gone through as the kernel does."""

from ipaddress import ip_network
from typing import NamedTuple

from dropwatch.host.host import Host
from dropwatch.host.rules import Refusal, Rule, covers, table_name
from dropwatch.model.drop import Address, Drop
from dropwatch.model.forwarding import Route
from dropwatch.names import protocols

_ORDINARY = frozenset({253, 254, 255})  # default, main, local: of the rules that every host has
_ERRORS = {"prohibit": "prohibit", "blackhole": "blackhole", "unreachable": "unreachable"}


class Asked(NamedTuple):
    """What a lookup is asked with. `iif` is "" of a packet of this host, `oif` of one that is bound to no interface;
    `oif` and `uid` are None where they are not known.
    """

    daddr: Address
    saddr: Address | None
    iif: str
    mark: int
    proto: int | None = None
    sport: int | None = None
    dport: int | None = None
    oif: str | None = None
    uid: int | None = None


class Chosen(NamedTuple):
    """`is_sure`: every selector of the rule, and of those before it, could be compared."""

    rule: Rule
    is_sure: bool


class Refuser(NamedTuple):
    """`is_sure`: every selector of the rule could be compared."""

    route: Route
    is_sure: bool


def asked_of(drop: Drop, host: Host) -> Asked | None:
    """None of a packet without addresses."""
    packet, event = drop.packet, drop.event
    if packet.daddr is None:
        return None
    iif = ""
    if event.skb_iif:
        iif = host.interface_name(event.netns, event.skb_iif, event.monotonic_ns) or ""
        if drop.iface is not None and drop.iface.index == event.skb_iif:
            iif = drop.iface.name or iif
    proto = protocols.number(packet.proto) if packet.proto is not None else None
    return Asked(packet.daddr, packet.saddr, iif, packet.mark, proto, packet.sport, packet.dport)


def matches(rule: Rule, asked: Asked) -> bool | None:
    """None where it asks for something that is not known, as the TOS."""
    known = (
        _within(rule.to, asked.daddr),
        _within(rule.source, asked.saddr),
        not rule.iif or rule.iif == (asked.iif or "lo"),
        rule.mark is None or asked.mark & rule.mask == rule.mark & rule.mask,
        rule.proto is None or rule.proto == asked.proto,
        _among(rule.sports, asked.sport),
        _among(rule.dports, asked.dport),
        not rule.oif or asked.oif is None or rule.oif == asked.oif,
        rule.uids is None or asked.uid is None or rule.uids[0] <= asked.uid <= rule.uids[1],
    )
    if not all(known):
        return rule.inverted
    if (rule.oif and asked.oif is None) or (rule.uids and asked.uid is None) or rule.tos or rule.l3mdev:
        return None
    return not rule.inverted


def _within(network: str | None, address: Address | None) -> bool:
    return network is None or (address is not None and address in ip_network(network))


def _among(ports: tuple[int, int] | None, port: int | None) -> bool:
    return ports is None or (port is not None and ports[0] <= port <= ports[1])


def who_chose(table: int, rules: tuple[Rule, ...], asked: Asked) -> Chosen | None:
    """The first rule that leads to the table. None of a table to which every host's rules lead."""
    if table in _ORDINARY:
        return None
    is_sure = True
    for rule in rules:
        fits = matches(rule, asked)
        leads = rule.action == "lookup" and (rule.table == table or rule.l3mdev)
        if fits is not False and leads:
            return Chosen(rule, is_sure and fits is True)
        is_sure = is_sure and not (fits is None and leads)
    return None


def who_refused(
    kind: str, rules: tuple[Rule, ...], refusals: tuple[Refusal, ...], asked: Asked
) -> Refuser | None:
    """The rule, or the route in a table that a rule leads to, that says `kind` of this destination.

    A better route in a table before it would have been taken: that the kernel refuses is known.
    """
    for rule in rules:
        fits = matches(rule, asked)
        if fits is False:
            continue
        if rule.action == _ERRORS[kind]:
            return Refuser(Route(f"ip rule {rule.text}", kind, rule=rule.priority), fits is True)
        if rule.action == "lookup":
            best = _longest(kind, rule, refusals, asked.daddr)
            if best is not None:
                text = f"{kind} {best.destination} table {table_name(best.table)}"
                return Refuser(Route(text, kind, best.destination, best.table), fits is True)
    return None


def _longest(kind: str, rule: Rule, refusals: tuple[Refusal, ...], daddr: Address) -> Refusal | None:
    found = [
        one
        for one in refusals
        if one.type == kind and (rule.l3mdev or one.table == rule.table) and covers(one.destination, daddr)
    ]
    return max(found, key=lambda one: int(one.destination.rpartition("/")[2]), default=None)
