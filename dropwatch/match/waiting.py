"""A question for a neighbour that dies: the filter may ask for a packet that waits for its answer."""

from collections.abc import Callable
from dataclasses import replace

from dropwatch.model.drop import Drop, MatchResult, Packet

Fits = Callable[[Packet], bool]


def match_waiting(drop: Drop, fits: Fits) -> MatchResult | None:
    """By the flow of a packet that waited when the kernel asked."""
    waiting = drop.event.past.waiting if drop.event.past is not None else None
    if waiting is None:
        return None
    ends = waiting.ends
    packet = replace(
        drop.packet,
        family=ends.saddr.version,
        proto=waiting.proto,
        saddr=ends.saddr,
        daddr=ends.daddr,
        sport=ends.sport,
        dport=ends.dport,
    )
    if not fits(packet):
        return None
    question = "a neighbour solicitation" if ends.saddr.version == 6 else "an ARP request"
    source, target = (
        f"{address} port {port}" if port is not None else f"{address}"
        for address, port in ((ends.saddr, ends.sport), (ends.daddr, ends.dport))
    )
    return MatchResult("waiting", f"{question}, whose reply {waiting.proto} {source} > {target} waits for")
