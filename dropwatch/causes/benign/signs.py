"""Signs of a free that looks like a drop and is no loss. Each must prove its case: when in doubt, None."""

from collections.abc import Set
from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.benign import errors
from dropwatch.causes.benign.multicast_signs import MLD
from dropwatch.causes.discovery import freed_by_icmp6
from dropwatch.causes.netfilter.conntrack_signs import kept_from_nat
from dropwatch.causes.places import SENDING, is_off
from dropwatch.causes.socket import receiver
from dropwatch.causes.socket.connection import connection_elsewhere, may_be_elsewhere
from dropwatch.causes.socket.signs import never_accepted
from dropwatch.causes.tcp.discards import has_all_of, says_nothing_new
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.names import symbols
from dropwatch.packet.fields_transport import tcp_flag_words
from dropwatch.packet.payload import (
    echo_identifier,
    icmp_checksum_holds,
    tcp_payload_length,
    udp_payload,
)

# Functions that free what a socket still holds, and nothing else.
_CLOSING = frozenset(
    {
        "inet_sock_destruct",
        "netlink_sock_destruct",
        "sk_stream_kill_queues",
        "tcp_disconnect",
        "tcp_v4_destroy_sock",
        "udp_destruct_common",
        "udp_destruct_sock",
        "udpv6_destruct_sock",
        "unix_sock_destructor",
    }
)
_PURGING = frozenset({"skb_queue_purge", "skb_queue_purge_reason", "skb_rbtree_purge"})
_MLD_QUERY = 130
_ICMP6_ERRORS = frozenset(range(1, 5))
_ECHO_REQUEST6 = 128
# connect() of a socket of datagrams, which sends nothing (net/ipv4/datagram.c, net/ipv6/datagram.c).
_CONNECTING = frozenset(
    {"__ip4_datagram_connect", "__ip6_datagram_connect", "ip4_datagram_connect", "ip6_datagram_dst_update"}
)
_ICMP_ENTRANCES = frozenset({"icmp_rcv", "icmpv6_rcv"})
_OF_A_COPY = frozenset(
    {"SOCKET_RCVBUFF", "PROTO_MEM", "SOCKET_FILTER"}
)  # with these __ping_queue_rcv_skb frees it
_FLOODING = frozenset({"br_flood", "br_multicast_flood"})
_BRIDGING = frozenset(
    {"__br_forward", "br_dev_queue_push_xmit", "br_forward_finish", "br_handle_frame_finish"}
)
_HOSTS_OWN = frozenset({"arp_rcv", "ip_list_rcv", "ip_rcv", "ipv6_list_rcv", "ipv6_rcv"})
_FRAMES_OF_OTHERS = frozenset({"ip6_rcv_core", "ip_rcv_core"})


def socket_close(drop: Drop, host: Host) -> Verdict | None:
    """A socket was closed: what its program had not read is freed. Not what it never accepted."""
    if drop.packet.proto == "tcp" and never_accepted(drop):
        return None
    if _purged_by(drop, _CLOSING) and _queue_freed(drop):
        return kernel_word.certain(
            drop, Evidence("place", "data that the program had not read when it closed its socket")
        )
    return None


def tap_copy(drop: Drop, host: Host) -> Verdict | None:
    """An AF_PACKET socket was closed: the copies that its program had not read are freed."""
    if _purged_by(drop, frozenset({"packet_release"})) and _queue_freed(drop):
        return kernel_word.certain(drop, Evidence("place", "a sniffer's copy; the packet itself went on"))
    return None


def unix_socket(drop: Drop, host: Host) -> Verdict | None:
    """A message between programs, no network packet: it has no ethertype and no IP header. In a function that has
    nothing else its bytes may look like such a header.
    """
    if drop.event.protocol:
        return None
    of_unix = symbols.function(kernel_word.place(drop))
    is_of_unix = of_unix is not None and of_unix.layer == "unix"
    said = drop.reason in {"SOCKET_CLOSE", "UNIX_DISCONNECT", "UNIX_SKIP_OOB"} and drop.packet.family is None
    if said or is_of_unix:
        return kernel_word.certain(
            drop, Evidence("packet", "not a network packet: a message between local programs")
        )
    return None


def nat_keepalive(drop: Drop, host: Host) -> Verdict | None:
    """RFC 3948, 2.3: a UDP datagram with the single byte 0xff, which the kernel is to ignore."""
    if (
        kernel_word.place(drop) in {"xfrm4_udp_encap_rcv", "xfrm6_udp_encap_rcv"}
        and udp_payload(drop) == b"\xff"
    ):
        return kernel_word.certain(drop, Evidence("packet", "the only data byte is 0xff: a NAT keepalive"))
    return None


def icmp6_handled(drop: Drop, host: Host) -> Verdict | None:
    """An ICMPv6 message that was read: before 6.3 icmpv6_rcv() frees it as if it were dropped.

    A query of MLD is taken if it comes from the link (igmp6_event_query, net/ipv6/mcast.c), a request for an echo if a
    probe saw the answer, an error if the socket was told, or there is none.
    """
    packet = drop.packet
    if packet.icmp_type == _ECHO_REQUEST6 and "answered" in drop.event.notes:
        return kernel_word.certain(drop, Evidence("probe icmpv6_getfrag", "this host answered it"))
    if not freed_by_icmp6(drop) or packet.proto != "icmp6":
        return None
    if packet.icmp_type in _ICMP6_ERRORS:
        told = errors.told(drop, host)
        return kernel_word.certain(drop, told) if told is not None else None
    if packet.icmp_type not in MLD:
        return None
    from_link = packet.saddr is not None and packet.saddr.is_link_local
    from_nobody = packet.saddr is not None and packet.saddr.is_unspecified
    if packet.ttl != 1 or not (from_link or (packet.icmp_type != _MLD_QUERY and from_nobody)):
        return None
    return kernel_word.certain(drop, Evidence("packet", "an ICMPv6 message that was read and then freed"))


def bridge_flood(drop: Drop, host: Host) -> Verdict | None:
    """A copy that a bridge made for somebody who does not want it."""
    place, notes = kernel_word.place(drop), drop.event.notes
    if "flooded" in notes and (drop.reason == "OTHERHOST" or place in _FRAMES_OF_OTHERS):
        fact = "a frame for another host, which a bridge on this host flooded to all its ports"
        return kernel_word.certain(drop, Evidence("probe br_flood", fact))
    if place in SENDING and is_off(drop) and _is_flooding(drop):
        fact = "a copy of a flooded frame, for a port that is down or has no carrier"
        return kernel_word.certain(drop, Evidence("interface at the drop", fact))
    if place == "br_pass_frame_up" and "to-many" in notes and kernel_word.gave_no_reason(drop):
        fact = (
            "a multicast or broadcast frame in a VLAN that the bridge interface is not a member of; the "
            "ports had their copies"
        )
        return kernel_word.certain(drop, Evidence("place", fact))
    return None


def _is_flooding(drop: Drop) -> bool:
    """A bridge sends it out, and other ports have it too. The last port's copy may be a jump at the end of br_flood,
    which is not on the stack then: a frame to many is always flooded.
    """
    way = kernel_word.way(drop)
    return not way.isdisjoint(_FLOODING) or (
        "to-many" in drop.event.notes and not way.isdisjoint(_BRIDGING) and way.isdisjoint(_HOSTS_OWN)
    )


def route_lookup(drop: Drop, host: Host) -> Verdict | None:
    """`ip route get` has the kernel make up a packet, for which it looks up the route; connect() does without one."""
    noted = "connecting" in drop.event.notes
    if noted or (drop.event.source == "xfrm_lookup" and not kernel_word.way(drop).isdisjoint(_CONNECTING)):
        fact = "not a packet: connect() of a datagram socket asked for a route, and was refused"
        source = "probe xfrm_lookup_with_ifid" if noted else "place"
        return kernel_word.certain(drop, Evidence(source, fact))
    if kernel_word.place(drop) in {"inet_rtm_getroute", "inet6_rtm_getroute"}:
        return kernel_word.certain(drop, Evidence("place", "not a packet: a route lookup"))
    return None


def echo_reply(drop: Drop, host: Host) -> Verdict | None:
    """No ping socket waits for this echo reply, wherever it is bound, and a raw socket had its copy before.

    Where the kernel gives no reasons, a wrong checksum dies in the same function.
    """
    packet = drop.packet
    if (packet.proto, packet.icmp_type) not in {("icmp", 0), ("icmp6", 129)}:
        return None
    received = kernel_word.place(drop) in {"icmp_rcv", "icmpv6_rcv"} and drop.reason is None
    unwanted = drop.reason == "NO_SOCKET" or (received and icmp_checksum_holds(drop))
    if unwanted and "copied" in drop.event.notes and not _has_ping_socket(drop, host):
        return kernel_word.certain(
            drop, Evidence("probe raw_rcv", "an echo reply that a raw socket received as a copy")
        )
    return None


def _has_ping_socket(drop: Drop, host: Host) -> bool:
    waiting = host.ping_sockets(drop.event.netns, drop.event.monotonic_ns)
    return waiting is not None and echo_identifier(drop) in waiting


def told_before(drop: Drop, host: Host) -> Verdict | None:
    """An echo reply whose copy for a ping socket has died (ping_rcv in net/ipv4/ping.c gives the copy's reason)."""
    packet = drop.packet
    is_reply = (packet.proto, packet.icmp_type) in {("icmp", 0), ("icmp6", 129)}
    if not is_reply or drop.reason not in _OF_A_COPY or kernel_word.place(drop) not in _ICMP_ENTRANCES:
        return None
    fact = "an echo reply, of which a ping socket was to have a copy: that has died before it, and was told"
    return kernel_word.certain(drop, Evidence("place", fact))


def empty_buffer(drop: Drop, host: Host) -> Verdict | None:
    """As a device is made the kernel tries once whether it gets the buffers that it needs."""
    if kernel_word.place(drop) == "napi_get_frags_check":
        return kernel_word.certain(
            drop, Evidence("place", "not a packet: a buffer that was made for a check")
        )
    return None


def fragment_list(drop: Drop, host: Host) -> Verdict | None:
    """A piece of a packet that was put together: freed with the whole, which is reported on its own."""
    if kernel_word.place(drop) == "skb_release_data":
        return kernel_word.certain(drop, Evidence("place", "a fragment, freed together with its packet"))
    return None


def late_reset(drop: Drop, host: Host) -> Verdict | None:
    """RFC 9293, 3.10.7.1: a reset for a connection that does not exist is discarded. There is nothing to reset.

    Or the other end gives up a connection that is not open yet.
    """
    packet = drop.packet
    if "ended-half-open" in drop.event.notes and "R" in (packet.tcp_flags or ""):
        fact = "a reset that ended a connection before it was established"
        said = kernel_word.certain(drop, Evidence("probe inet_csk_reqsk_queue_drop", fact))
        return replace(said, title="a reset that ended a half-open connection")
    is_reset = packet.proto == "tcp" and drop.reason == "NO_SOCKET" and "R" in (packet.tcp_flags or "")
    may_be_for_somebody = (
        kept_from_nat(drop) or connection_elsewhere(drop, host) or may_be_elsewhere(drop, host)
    )
    if is_reset and not may_be_for_somebody:
        return kernel_word.certain(drop, Evidence("packet", "a reset without a connection here"))
    return None


def handshake_done(drop: Drop, host: Host) -> Verdict | None:
    """A SYN that was sent again because the answer to the first was late: it is answered again, and freed."""
    flags = drop.packet.tcp_flags or ""
    is_syn = "S" in flags and "A" not in flags and kernel_word.place(drop) in {"tcp_v4_rcv", "tcp_v6_rcv"}
    if is_syn and "answered" in drop.event.notes and kernel_word.gave_no_reason(drop):
        fact = "a SYN that has come before: the connection is half open, and the answer was sent again"
        return kernel_word.certain(drop, Evidence("probe tcp_rtx_synack", fact))
    return None


def ack_consumed(drop: Drop, host: Host) -> Verdict | None:
    """A pure ACK that says nothing new: a keepalive or a duplicate. It is answered and freed.

    Or one on a connection that one end has closed: tcp_rcv_state_process() reads it, and frees what it does
    not queue.
    """
    if drop.packet.tcp_flags != "A" or tcp_payload_length(drop) != 0:
        return None
    if drop.event.source == kernel_word.DISCARDED:
        fact = "an ACK without data, of what the connection had been told before or has just read"
        known = says_nothing_new(drop)
        return kernel_word.certain(drop, Evidence(receiver.SOURCE, fact)) if known else None
    keepalive = drop.reason == "TCP_INVALID_SEQUENCE" and "answered" in drop.event.notes
    if drop.reason == "TCP_OLD_SEQUENCE" or keepalive:
        return kernel_word.certain(
            drop, Evidence("packet", "an ACK without data: a keepalive or a duplicate")
        )
    if kernel_word.place(drop) == "tcp_rcv_state_process" and kernel_word.gave_no_reason(drop):
        return kernel_word.certain(
            drop,
            Evidence("packet", "an ACK without data, read by a connection that one end has closed"),
        )
    return None


def closed(drop: Drop, host: Host) -> Verdict | None:
    """It had waited while its connection came to its end, and the connection had all its bytes, or it has none."""
    if drop.reason != "TCP_CLOSE" or "S" in (drop.packet.tcp_flags or "S"):
        return None
    if tcp_payload_length(drop) == 0:
        return kernel_word.certain(drop, Evidence("packet", "no data, for a connection that has ended"))
    if has_all_of(drop):
        fact = "the connection, which has ended, had received all its data before"
        return kernel_word.certain(drop, Evidence(receiver.SOURCE, fact))
    return None


def time_wait(drop: Drop, host: Host) -> Verdict | None:
    """Given to a time-wait socket, which answers or notes it (net/ipv4/tcp_minisocks.c): a FIN, an ACK, a reset.

    Not a SYN, which wanted something that it did not get, and no data but such as had been received before.
    """
    if "time-wait" not in drop.event.notes or not kernel_word.gave_no_reason(drop):
        return None
    flags, length = drop.packet.tcp_flags or "", tcp_payload_length(drop)
    if not flags or "S" in flags or not (length == 0 or (length and "all-old" in drop.event.notes)):
        return None
    data = f"{length} bytes of data that had been received before" if length else "without data"
    fact = f"{tcp_flag_words(flags)} {'with ' if length else ''}{data}, read by a connection in TIME_WAIT or FIN_WAIT_2"
    return kernel_word.certain(drop, Evidence("probe tcp_timewait_state_process", fact))


def _queue_freed(drop: Drop) -> bool:
    return kernel_word.gave_no_reason(drop) or drop.reason == "QUEUE_PURGE"


def _purged_by(drop: Drop, functions: Set[str]) -> bool:
    """Died in one of these, or in a queue that was emptied directly by one of them.

    Further out on the stack they prove nothing: closing a TCP socket sends a FIN, which can be dropped.
    """
    place = kernel_word.place(drop)
    if place in functions:
        return True
    callers = {symbols.base_name(frame.function) for frame in drop.stack[1:3] if frame.function is not None}
    return place in _PURGING and not callers.isdisjoint(functions)
