"""What NAT leaves alone: a datagram or message that conntrack called INVALID, wherever it dies and of what."""

from collections.abc import Iterable

from dropwatch.causes.netfilter import words
from dropwatch.model.drop import Drop, Evidence

# Whatever conntrack says of these (nf_l4proto_log_invalid), it has refused them; of TCP it may only note it.
_SAID_OF_INVALID_ONLY = frozenset({"icmp", "icmp6", "udp", "udplite"})


def not_translated(drop: Drop, said: Iterable[Evidence]) -> Iterable[Evidence]:
    """Nothing where conntrack is among what has been `said`."""
    note = drop.event.netfilter.conntrack if drop.event.netfilter is not None else None
    if note is None or note.words is None or drop.packet.proto not in _SAID_OF_INVALID_ONLY:
        return
    if all(fact.source != "conntrack" for fact in said):
        why = words.of_the_kernel(note.words)
        yield Evidence("conntrack", f"this packet is INVALID: {why}; NAT does not translate such a packet")
