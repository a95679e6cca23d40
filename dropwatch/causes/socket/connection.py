"""A TCP segment whose connection is here and did not get it: it is bound to another interface or VRF."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import of_catalogue, weakness
from dropwatch.causes.family import Judgement
from dropwatch.causes.socket.lookup import came_in
from dropwatch.causes.socket.signs import tcp_without_socket
from dropwatch.causes.socket.unclaimed import compared, not_taken
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Fix

_TITLE = "its connection is bound to another interface or VRF than the one that it came in through"
_FIXES = (
    Fix("see what the connection is bound to: it stands behind the address, after a %", "ss -antp"),
    Fix("see by which way the peer is reached: what it sends should come in there", "ip route get SADDR"),
)
_OF_THE_WAY = frozenset({"device", "vrf"})


def connection_elsewhere(drop: Drop, host: Host) -> Judgement | None:
    """The lookup of connections asks for both ends and the interface (inet_match, include/net/inet_hashtables.h)."""
    packet, event = drop.packet, drop.event
    is_syn = packet.tcp_flags is None or ("S" in packet.tcp_flags and "A" not in packet.tcp_flags)
    if not tcp_without_socket(drop) or is_syn or packet.sport is None or packet.dport is None:
        return None
    found = host.connections_at(event.netns, packet.dport, packet.sport, came_in(drop), event.monotonic_ns)
    if found is None:
        return None
    both_ends = [
        each
        for each in (compared(one, drop, found) for one in found.sockets)
        if each.mismatch is not None and each.mismatch.kind in _OF_THE_WAY
    ]
    if not both_ends:
        return None
    found = replace(found, count=found.count - len(found.sockets) + len(both_ends))
    verdict = not_taken(kernel_word.certain(drop), drop, host, both_ends, found)
    fix = (*of_catalogue(_FIXES, drop), *(each for each in verdict.fix if weakness(each) is not None))
    return "socket.bound-elsewhere", replace(verdict, title=_TITLE, fix=fix)
