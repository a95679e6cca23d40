"""Signs of a free that looks like a drop and is no loss. Each must prove its case: when in doubt, None."""

from collections.abc import Set

from dropwatch.causes import kernel_word
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.names import symbols
from dropwatch.packet.payload import icmp_checksum_holds, tcp_payload_length, udp_payload

# Functions that free what a socket still holds, and nothing else.
_CLOSING = frozenset(
    {
        "inet_sock_destruct",
        "netlink_sock_destruct",
        "sk_stream_kill_queues",
        "tcp_disconnect",
        "tcp_v4_destroy_sock",
        "tun_queue_purge",
        "udp_destruct_common",
        "udp_destruct_sock",
        "udpv6_destruct_sock",
        "unix_sock_destructor",
    }
)
_PURGING = frozenset({"skb_queue_purge", "skb_queue_purge_reason", "skb_rbtree_purge"})
_NDP = frozenset(range(133, 138))
_MLD = frozenset({130, 131, 132, 143})
_ICMP6_ERRORS = frozenset(range(1, 5))
_ROUTER_SOLICITATION, _NEIGHBOUR_SOLICITATION = 133, 135
_NOT_DELIVERED = frozenset(
    {
        "br_dev_xmit",
        "br_flood",
        "br_multicast_flood",
        "igmp_rcv",
        "ip6_mc_input",
        "ip6_pkt_drop",
        "ip_rcv_finish_core",
    }
)


def socket_close(drop: Drop, host: Host) -> Verdict | None:
    """A socket or tun device was closed: what its program had not read is freed."""
    if _purged_by(drop, _CLOSING) and _queue_freed(drop):
        return kernel_word.certain(
            drop, Evidence("place", "what a program had not read when it closed its socket")
        )
    return None


def tap_copy(drop: Drop, host: Host) -> Verdict | None:
    """An AF_PACKET socket was closed: the copies that its program had not read are freed."""
    if _purged_by(drop, frozenset({"packet_release"})) and _queue_freed(drop):
        return kernel_word.certain(
            drop, Evidence("place", "a sniffer's copy; the packet itself went its way")
        )
    return None


def unix_socket(drop: Drop, host: Host) -> Verdict | None:
    """A message between programs, no network packet: it has no ethertype and no IP header."""
    function = kernel_word.place(drop)
    if drop.packet.family is not None or drop.event.protocol:
        return None
    of_unix = symbols.function(function)
    if drop.reason in {"SOCKET_CLOSE", "UNIX_DISCONNECT", "UNIX_SKIP_OOB"} or (
        of_unix and of_unix.layer == "unix"
    ):
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
        return kernel_word.certain(drop, Evidence("packet", "its only byte of data is 0xff: a NAT keepalive"))
    return None


def neighbour_probe(drop: Drop, host: Host) -> Verdict | None:
    """A neighbour discovery message that was read, or was for somebody else.

    Before 6.3 icmpv6_rcv() frees those it has handled as if they were dropped (net/ipv6/icmp.c). One that was
    refused there has a hop limit other than 255, a code, or a wrong checksum.
    """
    if drop.reason == "IPV6_NDISC_NS_OTHERHOST":
        return kernel_word.certain(drop, Evidence("packet", "a question for an address that is not ours"))
    packet = drop.packet
    if _handled_icmp6(drop, _NDP) and packet.ttl == 255 and packet.icmp_code == 0:
        return kernel_word.certain(
            drop, Evidence("packet", "a neighbour discovery message, read and then freed")
        )
    return None


def icmp6_handled(drop: Drop, host: Host) -> Verdict | None:
    """An ICMPv6 error or MLD message that was read: before 6.3 icmpv6_rcv() frees it as if it were dropped."""
    if _handled_icmp6(drop, _MLD | _ICMP6_ERRORS):
        return kernel_word.certain(drop, Evidence("packet", "an ICMPv6 message, read and then freed"))
    return None


def multicast_noise(drop: Drop, host: Host) -> Verdict | None:
    """Messages by which hosts and routers manage groups and addresses, where nobody is meant to get them."""
    packet = drop.packet
    if packet.daddr is None or not packet.daddr.is_multicast or kernel_word.place(drop) not in _NOT_DELIVERED:
        return None
    # IP_INNOROUTES: an interface that has just come up has no route for groups yet
    if not (kernel_word.gave_no_reason(drop) or drop.reason in {"NO_TX_TARGET", "IP_INNOROUTES"}):
        return None
    asking = _MLD | {_ROUTER_SOLICITATION, _NEIGHBOUR_SOLICITATION}
    if packet.proto == "igmp" or (packet.proto == "icmp6" and packet.icmp_type in asking):
        return kernel_word.certain(
            drop, Evidence("packet", "a message for routers or members of another group")
        )
    return None


def echo_reply(drop: Drop, host: Host) -> Verdict | None:
    """No ping socket waits for this echo reply. A ping with a raw socket has had its copy before.

    Where the kernel gives no reasons, a wrong checksum dies in the same function.
    """
    packet = drop.packet
    if (packet.proto, packet.icmp_type) not in {("icmp", 0), ("icmp6", 129)}:
        return None
    received = kernel_word.place(drop) in {"icmp_rcv", "icmpv6_rcv"} and drop.reason is None
    if drop.reason == "NO_SOCKET" or (received and icmp_checksum_holds(drop)):
        return kernel_word.certain(
            drop, Evidence("packet", "an echo reply; raw sockets had their copies before")
        )
    return None


def fragment_list(drop: Drop, host: Host) -> Verdict | None:
    """A piece of a packet that was put together: freed with the whole, which is reported on its own."""
    if kernel_word.place(drop) == "skb_release_data":
        return kernel_word.certain(drop, Evidence("place", "a fragment, freed together with its packet"))
    return None


def late_reset(drop: Drop, host: Host) -> Verdict | None:
    """RFC 9293, 3.10.7.1: a reset for a connection that does not exist is discarded. There is nothing to reset."""
    packet = drop.packet
    if packet.proto == "tcp" and drop.reason == "NO_SOCKET" and "R" in (packet.tcp_flags or ""):
        return kernel_word.certain(
            drop, Evidence("packet", "a reset, and there is no connection to be reset")
        )
    return None


def ack_consumed(drop: Drop, host: Host) -> Verdict | None:
    """A pure ACK that says nothing new: a keepalive or a duplicate. It is answered and freed."""
    bare = drop.packet.tcp_flags == "A" and tcp_payload_length(drop) == 0
    if bare and drop.reason == "TCP_OLD_SEQUENCE":
        return kernel_word.certain(
            drop, Evidence("packet", "an ACK without data: a keepalive or a duplicate")
        )
    return None


def time_wait(drop: Drop, host: Host) -> Verdict | None:
    """Given to a time-wait socket, which answers or notes it (net/ipv4/tcp_minisocks.c): a FIN, an ACK, a reset.

    Not a SYN, which wanted something that it did not get, and no data.
    """
    if "time-wait" not in drop.event.notes or not kernel_word.gave_no_reason(drop):
        return None
    flags = drop.packet.tcp_flags or ""
    if flags and "S" not in flags and tcp_payload_length(drop) == 0:
        source = "probe tcp_timewait_state_process"
        return kernel_word.certain(
            drop, Evidence(source, f"flags {flags}, no data: read by a connection that is over")
        )
    return None


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


def _handled_icmp6(drop: Drop, types: Set[int]) -> bool:
    """Freed at the end of icmpv6_rcv. Where the kernel gives no reasons, a wrong checksum ends there as well."""
    packet = drop.packet
    if kernel_word.place(drop) != "icmpv6_rcv" or packet.proto != "icmp6" or packet.icmp_type not in types:
        return False
    if drop.reason is None and drop.iface is not None and drop.iface.name == "lo":
        return True  # nothing changes a packet there
    return drop.reason == "NOT_SPECIFIED" or (drop.reason is None and icmp_checksum_holds(drop))
