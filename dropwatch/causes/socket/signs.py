"""Signs of sockets: which kind of socket a reason is about is told by the function and the packet."""

from collections.abc import Iterator
from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import twice
from dropwatch.causes.places import UDP_ENTRANCES
from dropwatch.causes.socket.owner import owned, owner_evidence
from dropwatch.causes.socket.words import end
from dropwatch.host.host import Host
from dropwatch.model.culprits import Socket
from dropwatch.model.drop import Drop, Evidence, Fix, Process, SocketNote, Verdict
from dropwatch.packet.payload import tcp_payload_length

UDP = frozenset({"udp", "udplite"})
_TCP_ENTRANCES = frozenset({"tcp_v4_rcv", "tcp_v6_rcv"})
_TO_MANY = frozenset({"__udp4_lib_mcast_deliver", "__udp6_lib_mcast_deliver"})
_OF_THE_KERNEL = UDP | {"icmp", "icmp6", "tcp"}  # it takes these itself, whatever raw sockets there are
_NEVER_ACCEPTED = "the program closed its listening socket before it accepted this connection"
_RAW = frozenset(
    {
        "__ping_queue_rcv_skb",
        "ping_queue_rcv_skb",
        "ping_rcv",
        "raw6_local_deliver",
        "raw_local_deliver",
        "raw_rcv",
        "raw_rcv_skb",
        "raw_v4_input",
        "rawv6_rcv",
        "rawv6_rcv_skb",
    }
)


def udp_no_listener(drop: Drop, host: Host) -> Verdict | None:
    """NO_SOCKET for UDP means this; for a datagram to many there is no reason, but a function of its own.

    Where the kernel gives no reasons, its answer says so (__udp4_lib_rcv, __udp6_lib_rcv).
    """
    packet, function = drop.packet, kernel_word.place(drop)
    if packet.proto not in UDP:
        return None
    port = Evidence("packet", f"no socket matches {packet.daddr} port {packet.dport}")
    if drop.reason == "NO_SOCKET":
        return kernel_word.certain(drop, port)
    if not kernel_word.gave_no_reason(drop):
        return None
    if function in _TO_MANY:
        return kernel_word.certain(drop, port)
    if function in UDP_ENTRANCES and "unreachable-sent" in drop.event.notes:
        answer = "this host replies with port unreachable"
        return kernel_word.certain(drop, port, Evidence("probe __icmp_send, icmp6_send", answer))
    if function in UDP_ENTRANCES and to_many(drop):
        return kernel_word.likely(drop, port)
    return None


def to_many(drop: Drop) -> bool:
    """A datagram to a group or to all: more than one socket may take it.

    The broadcast address of a network is known by the frame; a datagram to one host in such a frame has its reason.
    """
    daddr = drop.packet.daddr
    if kernel_word.place(drop) in _TO_MANY or (daddr is not None and daddr.is_multicast):
        return True
    by_frame = not drop.event.notes.isdisjoint({"to-many", "looped-back"}) and kernel_word.gave_no_reason(
        drop
    )
    return drop.packet.family == 4 and (by_frame or str(daddr) == "255.255.255.255")


def tcp_no_listener(drop: Drop, host: Host) -> Verdict | None:
    """A SYN for which there is no socket: nobody listens. Where the kernel gives no reason the reset says so.

    Where a segment enters TCP only time-wait sockets answer another SYN with one (tcp_v4_rcv in net/ipv4/tcp_ipv4.c).
    """
    flags = drop.packet.tcp_flags or ""
    if "S" not in flags or "A" in flags:
        return None
    refused = "reset-sent" in drop.event.notes
    by_reset = refused and kernel_word.gave_no_reason(drop) and _died_at_the_entrance(drop)
    if not (tcp_without_socket(drop) or by_reset):
        return None
    fact = f"a SYN to {drop.packet.daddr} port {drop.packet.dport}: no socket listens there"
    answer = Evidence("probe tcp_v4_send_reset, tcp_v6_send_reset", "this host replies with a reset")
    return kernel_word.certain(drop, Evidence("packet", fact), *([answer] if refused else []))


def data_after_close(drop: Drop, host: Host) -> Verdict | None:
    """Data for what is left of a connection. Only likely where no reset answered it: it may be a repetition of what was
    received before. Or data of a connection that its program never accepted: it has closed the listening socket.
    """
    if drop.packet.proto == "tcp" and never_accepted(drop) and tcp_payload_length(drop):
        fact = "data of a connection that waited to be accepted, when the program closed its listening socket"
        said = kernel_word.certain(drop, Evidence("place", fact))
        return replace(said, title=_NEVER_ACCEPTED)
    if drop.reason == "TCP_CLOSE" and drop.event.connection is None:
        fact = "its connection has ended; it may be a retransmission of what was received before"
        return kernel_word.likely(drop, Evidence("reason", fact))
    if "time-wait" not in drop.event.notes or not kernel_word.gave_no_reason(drop):
        return None
    length = tcp_payload_length(drop)
    if length is not None and length > 0 and "S" not in (drop.packet.tcp_flags or ""):
        source = "probe tcp_timewait_state_process"
        fact = f"{length} bytes of data for a connection that this host has closed"
        if "reset-sent" in drop.event.notes:
            return kernel_word.certain(drop, Evidence(source, f"{fact}: new data, answered with a reset"))
        return kernel_word.likely(drop, Evidence(source, f"{fact}; they may be a retransmission"))
    return None


def never_accepted(drop: Drop) -> bool:
    """What is freed was queued for a connection that no program has accepted: its listening socket is being closed."""
    is_purged = kernel_word.gave_no_reason(drop) or drop.reason == "QUEUE_PURGE"
    return is_purged and "inet_csk_listen_stop" in kernel_word.way(drop) and tcp_payload_length(drop) != 0


def accept_queue_full(drop: Drop, host: Host) -> Verdict | None:
    """With SYN cookies the last ACK of a handshake dies here when no socket can be made for it."""
    if drop.reason == "NO_SOCKET" and kernel_word.place(drop) in {"cookie_v4_check", "cookie_v6_check"}:
        fact = "the SYN cookie was valid, but no socket could be created: usually the accept queue is full"
        return kernel_word.likely(drop, Evidence("place", fact))
    return None


def udp_buffer_full(drop: Drop, host: Host) -> Verdict | None:
    """The reason says so; where the kernel gives none, the errno: ENOBUFS is the limit that all sockets share."""
    note, function = drop.event.socket, kernel_word.place(drop) or ""
    by_reason = drop.reason == "SOCKET_RCVBUFF" and function.lstrip("_").startswith("udp")
    by_errno = note is not None and note.error == "ENOMEM" and kernel_word.gave_no_reason(drop)
    if drop.packet.proto not in UDP or not (by_reason or by_errno):
        return None
    if note is None:
        return kernel_word.certain(drop)
    since = drop.event.monotonic_ns
    holder = host.socket_holder(drop.event.netns, note.inode, since) if note.inode else None
    most = host.rmem_max(drop.event.netns, since)
    said = kernel_word.certain(drop, *_queue_evidence(note, holder, most))
    return replace(
        said,
        culprit=_socket(drop, note, holder),
        fix=tuple(_larger_buffer(note, holder, most)),
        owner=owned(holder, drop.event.cgroup, host),
    )


def named(said: Verdict, drop: Drop, note: SocketNote, host: Host) -> Verdict:
    """With the socket of UDP as its object, and who owns it."""
    since = drop.event.monotonic_ns
    holder = host.socket_holder(drop.event.netns, note.inode, since) if note.inode else None
    evidence = (*said.evidence, *([owner_evidence(holder, note.inode)] if note.inode else ()))
    owner = owned(holder, drop.event.cgroup, host)
    return replace(said, culprit=_socket(drop, note, holder), evidence=evidence, owner=owner)


def _queue_evidence(note: SocketNote, owner: Process | None, most: int | None) -> Iterator[Evidence]:
    whose = (
        "the program set the limit (SO_RCVBUF)"
        if note.limit_set
        else "SO_RCVBUF is not set, so net.core.rmem_default applies"
    )
    datagrams = "1 datagram" if note.datagrams == 1 else f"{note.datagrams:,} datagrams"
    queued = f"{note.queued:,} of {note.limit:,} bytes queued in {datagrams}; {whose}"
    yield Evidence("socket at the drop", queued)
    if most is not None:
        fact = (
            f"after the drop: net.core.rmem_max is {most:,}; SO_RCVBUF can request up to that, and gets "
            "twice as much"
        )
        yield Evidence("sysctl", fact)
    if owner is not None or note.inode:
        yield owner_evidence(owner, note.inode)


def _socket(drop: Drop, note: SocketNote, owner: Process | None) -> Socket:
    """As `ss -uap` has it, without what is queued."""
    proto = drop.packet.proto or "udp"
    users = f' users:(("{owner.comm}",pid={owner.pid}))' if owner is not None else ""
    text = f"{proto} {end(note.address, note.port)} {end(note.peer, note.peer_port)}{users}"
    return Socket(
        text=text,
        proto=proto,
        address=str(note.address),
        port=note.port,
        peer=str(note.peer) if note.peer is not None else None,
        peer_port=note.peer_port,
        bound_ifindex=note.bound_ifindex,
        inode=note.inode or None,
        queued=note.queued,
        limit=note.limit,
        limit_set=note.limit_set,
        datagrams=note.datagrams,
    )


def _larger_buffer(note: SocketNote, owner: Process | None, most: int | None) -> Iterator[Fix]:
    """The kernel doubles what SO_RCVBUF asks for (sock_setsockopt, net/core/sock.c), up to twice net.core.rmem_max."""
    who = f"{owner.comm} (pid {owner.pid})" if owner is not None else "the program"
    doing = f"cat /proc/{owner.pid}/stack" if owner is not None else f"ss -uampn 'sport = :{note.port}'"
    asked = note.limit // 2
    yield Fix(f"see why {who} does not read", doing)
    if not note.limit_set:
        yield Fix(
            "raise the default, for sockets that are opened afterwards",
            twice("net.core.rmem_default"),
        )
    elif most is not None and asked < most:
        yield Fix(
            f"have {who} request more than {asked} bytes (SO_RCVBUF): net.core.rmem_max allows up to {most}"
        )
    else:
        yield Fix(
            f"have {who} request more than {asked} bytes (SO_RCVBUF), and allow it",
            twice("net.core.rmem_max"),
        )


def raw_buffer_full(drop: Drop, host: Host) -> Verdict | None:
    place = kernel_word.place(drop)
    if drop.reason != "SOCKET_RCVBUFF" or place not in _RAW:
        return None
    if "ping" in place:
        fact = "an echo reply for a ping socket, which no other socket gets"
    elif drop.packet.proto in _OF_THE_KERNEL:
        fact = "a raw socket's copy; the packet itself went on"
    else:
        fact = f"a raw socket's copy; other receivers of {drop.packet.proto} packets have their own copies"
    return kernel_word.certain(drop, Evidence("place", fact))


def packet_buffer_full(drop: Drop, host: Host) -> Verdict | None:
    """Whatever the reason, these two free a packet with kfree_skb only when they could not hand the copy over."""
    if drop.reason == "PACKET_SOCK_ERROR" or (
        kernel_word.gave_no_reason(drop) and kernel_word.place(drop) in {"packet_rcv", "tpacket_rcv"}
    ):
        fact = "a sniffer's copy, usually dropped because its buffer is full; the packet itself went on"
        return kernel_word.likely(drop, Evidence("place", fact))
    return None


def tcp_without_socket(drop: Drop) -> bool:
    """Where a segment enters TCP, no socket was found for it: neither a connection nor a listener.

    What a time-wait socket has answered with a reset dies there with the same reason.
    """
    return drop.reason == "NO_SOCKET" and drop.packet.proto == "tcp" and _died_at_the_entrance(drop)


def _died_at_the_entrance(drop: Drop) -> bool:
    """Where segments enter TCP, and no time-wait socket has dealt with it."""
    return "time-wait" not in drop.event.notes and kernel_word.place(drop) in _TCP_ENTRANCES
