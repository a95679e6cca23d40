"""A packet whose connection is translated: the filter may ask for addresses that it had before, or was to get."""

from collections.abc import Callable
from dataclasses import replace

from dropwatch.model.drop import Drop, MatchResult, Packet
from dropwatch.model.past import Connection, Ends
from dropwatch.packet.connection import flows, is_translated

Fits = Callable[[Packet], bool]
_QUOTING = frozenset({"icmp", "icmp6"})


def match_translated(drop: Drop, fits: Fits) -> MatchResult | None:
    """By its conntrack entry, as it was when the packet died; of an ICMP error by that of what it quotes. Without one
    by what IPVS has changed.
    """
    connection = drop.event.past.connection if drop.event.past is not None else None
    if connection is None or not is_translated(connection):
        return None
    if connection.state == "related" and drop.packet.proto in _QUOTING:
        return _quoted(drop.packet, connection, fits)
    found = _first(drop.packet, connection, connection.is_reply, fits)
    if found is None:
        return None
    if connection.by_ipvs:
        return MatchResult("nat", f"before IPVS sent it to a real server it was {_words(found, connection)}")
    return MatchResult("nat", f"{_when(found, connection)} {_words(found, connection)} (its conntrack entry)")


def _quoted(packet: Packet, connection: Connection, fits: Fits) -> MatchResult | None:
    """It answers a packet of the other direction."""
    found = _first(packet.quoted or packet, connection, not connection.is_reply, fits)
    if found is None:
        return None
    error = f"{packet.proto} error (type {packet.icmp_type} code {packet.icmp_code})"
    what = f"a packet whose translated connection has it as {_words(found, connection)}"
    return MatchResult("icmp-quote", f"{error} that quotes {what} (its conntrack entry)")


def _first(packet: Packet, connection: Connection, is_reply: bool, fits: Fits) -> Ends | None:
    for ends in flows(connection, is_reply=is_reply):
        one = replace(
            packet,
            family=ends.saddr.version,
            proto=connection.proto,
            saddr=ends.saddr,
            daddr=ends.daddr,
            sport=ends.sport,
            dport=ends.dport,
        )
        if fits(one):
            return ends
    return None


def _when(found: Ends, connection: Connection) -> str:
    came = next(flows(connection, is_reply=connection.is_reply))
    if connection.is_reply:
        return "it came as" if found == came else "translated back, this answer is"
    return "before its translation it was" if found == came else "translated, it is"


def _words(ends: Ends, connection: Connection) -> str:
    source = f"{ends.saddr} port {ends.sport}" if ends.sport is not None else f"{ends.saddr}"
    destination = f"{ends.daddr} port {ends.dport}" if ends.dport is not None else f"{ends.daddr}"
    return f"{connection.proto} {source} > {destination}"
