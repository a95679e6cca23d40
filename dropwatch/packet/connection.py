"""What a conntrack entry says of the addresses that a packet of a translated connection had, has or was to get."""

from collections.abc import Iterator

from dropwatch.model.past import Connection, Ends


def is_translated(connection: Connection) -> bool:
    """NAT, or IPVS where it tells conntrack of it."""
    return turned(connection.reply) != connection.original


def destination_changed(connection: Connection) -> bool:
    """Of the first packet: DNAT, a redirect, a service of IPVS."""
    original, reply = connection.original, connection.reply
    return (original.daddr, original.dport) != (reply.saddr, reply.sport)


def source_changed(connection: Connection) -> bool:
    """Of the first packet: SNAT, masquerading."""
    original, reply = connection.original, connection.reply
    return (original.saddr, original.sport) != (reply.daddr, reply.dport)


def turned(ends: Ends) -> Ends:
    """The other direction."""
    return Ends(ends.daddr, ends.saddr, ends.dport, ends.sport)


def flows(connection: Connection, *, is_reply: bool) -> Iterator[Ends]:
    """All that a packet of this direction can be: as it comes first, as it leaves last.

    Source and destination are translated one after the other, and so are each pair of them.
    """
    came, left = connection.original, turned(connection.reply)
    if is_reply:
        came, left = connection.reply, turned(connection.original)
    yield came
    yield Ends(came.saddr, left.daddr, came.sport, left.dport)
    yield Ends(left.saddr, came.daddr, left.sport, came.dport)
    yield left
