"""A TCP segment whose connection is here and did not get it: it is bound to another interface or VRF."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.family import Judgement
from dropwatch.causes.socket.lookup import came_in
from dropwatch.causes.socket.signs import tcp_without_socket
from dropwatch.causes.socket.unclaimed import compared, not_taken
from dropwatch.host.host import Host
from dropwatch.host.sockets import PortSockets
from dropwatch.model.drop import Drop, Evidence, Fix

_TITLE = "its connection is bound to another interface or VRF"
_FIXES = (
    Fix("see what the connection is bound to: the name after the % of the address", "ss -antp"),
    Fix(
        "see how the peer is reached: what it sends should come in through the same interface",
        "ip route get SADDR",
    ),
)
_OF_THE_WAY = frozenset({"device", "vrf"})


def connection_elsewhere(drop: Drop, host: Host) -> Judgement | None:
    """The lookup of connections asks for both ends and the interface (inet_match, include/net/inet_hashtables.h)."""
    if not _is_of_a_connection(drop):
        return None
    found = _with_its_ports(drop, host)
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
    fix = (*of_catalogue(_FIXES, drop), *(each for each in verdict.fix if each.weakens is not None))
    return "socket.bound-elsewhere", replace(verdict, title=_TITLE, fix=fix)


def may_be_elsewhere(drop: Drop, host: Host) -> Evidence | None:
    """Why nobody can say that its connection was not here, bound to another interface; None: it was not."""
    if not _is_of_a_connection(drop):
        return None
    found = _with_its_ports(drop, host)
    if found is None:
        why = "the connections with its ports were not read: the namespace is gone, or a blind spot says why"
    elif found.gone:
        why = (
            f"{found.gone:,} connections with its ports, seen at an earlier drop, are gone: closed before "
            "this drop or since"
        )
    else:
        return None
    return Evidence("netlink sock_diag", why)


def _is_of_a_connection(drop: Drop) -> bool:
    flags = drop.packet.tcp_flags
    return tcp_without_socket(drop) and flags is not None and ("S" not in flags or "A" in flags)


def _with_its_ports(drop: Drop, host: Host) -> PortSockets | None:
    packet, event = drop.packet, drop.event
    if packet.sport is None or packet.dport is None:
        return None
    return host.connections_at(event.netns, packet.dport, packet.sport, came_in(drop), event.monotonic_ns)
