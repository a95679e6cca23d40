"""ICMPv6 errors that icmpv6_rcv() frees as if they were dropped: who was to be told of what they quote."""

from dropwatch.causes.socket.lookup import came_in
from dropwatch.host.host import Host
from dropwatch.host.sockets import PortSockets
from dropwatch.model.drop import Drop, Evidence, Packet

_DATAGRAMS = frozenset({"udp", "udplite"})


def told(drop: Drop, host: Host) -> Evidence | None:
    """Why nobody has missed it; None where its sender's word may have been lost, or nobody can tell."""
    quoted = drop.packet.quoted
    if quoted is None or quoted.header_error is not None or quoted.proto is None:
        return None
    if "answered" in drop.event.notes:
        return Evidence("probe tcp_v6_err, __udp6_lib_err", "the socket that sent what it quotes was told")
    if quoted.proto not in {*_DATAGRAMS, "tcp"}:
        return Evidence("packet", "an ICMPv6 error, read and then freed")
    found = _senders(drop, quoted, host)
    if found is None or found.count or found.gone:
        return None
    fact = f"after the drop no socket here has port {quoted.sport}, which sent what it quotes: nobody is to be told"
    return Evidence("netlink sock_diag", fact)


def _senders(drop: Drop, quoted: Packet, host: Host) -> PortSockets | None:
    event = drop.event
    if quoted.sport is None or quoted.dport is None:
        return None
    if quoted.proto == "tcp":
        return host.connections_at(event.netns, quoted.sport, quoted.dport, came_in(drop), event.monotonic_ns)
    return host.sockets_at(event.netns, quoted.proto or "", quoted.sport, came_in(drop), event.monotonic_ns)
