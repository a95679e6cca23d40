"""Signs of what a program has set on its socket: a filter that refuses, a least TTL; read after the drop."""

from collections.abc import Callable
from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.socket.lookup import came_in
from dropwatch.causes.socket.unclaimed import Compared, compared, culprit_of, name_of, with_owner
from dropwatch.host.host import Host
from dropwatch.host.socket_options import SocketOptions
from dropwatch.model.drop import Drop, Evidence, Verdict

_UDP = frozenset({"udp_queue_rcv_one_skb", "udpv6_queue_rcv_one_skb"})
_TCP = frozenset({"tcp_v4_rcv", "tcp_v6_rcv"})
_SOURCE = "getsockopt, after the drop"
_MOST = 4

Found = tuple[Compared, SocketOptions]


def refused_by_filter(drop: Drop, host: Host) -> Verdict | None:
    """A program of a cgroup and a security module give the same reason: only likely, and only with a filter there."""
    told = drop.reason == "SOCKET_FILTER"
    if not told and not (drop.reason is None and kernel_word.place(drop) in _UDP):
        return None
    found = _which(drop, host, lambda options: bool(options.instructions or options.extended))
    if found is None:
        return None
    one, options = found
    what = (
        "an eBPF program" if options.extended else f"a classic filter of {options.instructions} instructions"
    )
    fact = Evidence(_SOURCE, f"{name_of(one, drop)} has {what}", "proof")
    return _told(drop, one, fact)


def below_min_ttl(drop: Drop, host: Host) -> Verdict | None:
    """Where the kernel gives no reason: a listening socket that the packet is for asks for more."""
    told, ttl = drop.reason == "TCP_MINTTL", drop.packet.ttl
    if ttl is None or not (told or (kernel_word.gave_no_reason(drop) and kernel_word.place(drop) in _TCP)):
        return None
    found = _which(drop, host, lambda options: options.min_ttl > ttl)
    if found is None:
        return None
    one, options = found
    option = "IP_MINTTL" if drop.packet.family == 4 else "IPV6_MINHOPCOUNT"
    fact = f"{name_of(one, drop)} asks for {option} {options.min_ttl}, and the packet has {ttl}"
    verdict = _told(drop, one, Evidence(_SOURCE, fact, "proof"))
    return replace(verdict, confidence="certain") if told else verdict


def receiver(drop: Drop, host: Host) -> Compared | None:
    """The one socket that takes this packet, as the sockets are after the drop."""
    found = _receivers(drop, host)
    return found[0] if len(found) == 1 else None


def _receivers(drop: Drop, host: Host) -> list[Compared]:
    event, packet = drop.event, drop.packet
    if packet.proto not in ("udp", "udplite", "tcp") or packet.dport is None:
        return []
    theirs = host.sockets_at(event.netns, packet.proto, packet.dport, came_in(drop), event.monotonic_ns)
    if theirs is None:
        return []
    those = (compared(each, drop, theirs) for each in theirs.sockets[:_MOST])
    return [one for one in those if one.mismatch is None]


def _which(drop: Drop, host: Host, wanted: Callable[[SocketOptions], bool]) -> Found | None:
    """The one socket for this packet that is set so."""
    event, found = drop.event, list[Found]()
    for each in _receivers(drop, host):
        one = with_owner(each, drop, host)
        pid = one.holder.pid if one.holder is not None else None
        if pid is None:
            continue
        it = one.socket
        set_to = host.socket_options(event.netns, pid, it.inode, it.address.version, event.monotonic_ns)
        if set_to is not None and wanted(set_to):
            found.append((one, set_to))
    return found[0] if len(found) == 1 else None


def _told(drop: Drop, one: Compared, fact: Evidence) -> Verdict:
    return replace(kernel_word.likely(drop, fact), culprit=culprit_of(one, drop), owner=one.owner)
