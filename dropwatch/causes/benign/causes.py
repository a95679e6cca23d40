"""Frees that look like drops and are none: suppressed, but counted; shown with --all."""

from dropwatch.causes.cause import Cause

BENIGN_CAUSES = (
    Cause(
        id="benign.socket-close",
        title="the program closed its socket with data unread",
        why="""
When a program closes a socket, or ends, the packets that still wait in the socket's receive queue are freed
with the function that also frees dropped packets. The network delivered them; the program chose not to read
them. The same is done for connections that a listening socket has not accepted when it is closed, and for the
queue of a tun device whose program goes away.
""",
        confirm="""
The stack shows a socket being released, and often the program that does it:
$ whydrop --all --cause benign.socket-close --stack
If a program was meant to read these packets, look at why it ended:
$ journalctl -e
""",
        fix=(),
        seen_as=("NOT_SPECIFIED", "QUEUE_PURGE"),
        seen_at=(
            "inet_sock_destruct",
            "skb_queue_purge_reason",
            "tcp_disconnect",
            "tun_queue_purge",
            "udp_destruct_common",
        ),
    ),
    Cause(
        id="benign.tap-copy",
        title="a sniffer was closed with copies unread",
        why="""
An AF_PACKET socket (tcpdump, Wireshark, a DHCP client) gets a copy of each packet. When it is closed, the
copies that its program has not read are freed, and look like drops. The packets themselves went their way
long before.
""",
        confirm="""
$ whydrop --all --cause benign.tap-copy --stack
The stack shows packet_release: a packet socket being closed.
""",
        fix=(),
        seen_as=("NOT_SPECIFIED", "QUEUE_PURGE"),
        seen_at=("packet_release", "skb_queue_purge", "skb_queue_purge_reason"),
    ),
    Cause(
        id="benign.unix-socket",
        title="not a network packet: a message between local programs",
        why="""
Unix-domain and netlink sockets keep their messages in the same kind of buffer as network packets, and free
them with the same functions. Connecting to a Unix-domain socket, loading a firewall ruleset, ending a
program: all of that frees such buffers. They have no ethertype, no IP header and no device. whydrop counts
them and passes them over.
""",
        confirm="""
$ whydrop --all --cause benign.unix-socket --stack
""",
        fix=(),
        seen_as=("SOCKET_CLOSE", "UNIX_DISCONNECT", "UNIX_SKIP_OOB", "NOT_SPECIFIED"),
        seen_at=("unix_stream_connect", "unix_release_sock", "nfnetlink_rcv_batch", "netlink_unicast"),
    ),
    Cause(
        id="benign.nat-keepalive",
        title="an IPsec NAT keepalive: it carries nothing",
        why="""
IPsec behind NAT runs in UDP, port 4500. So that the NAT does not forget the mapping, the peers send a
datagram with the single byte 0xff every few seconds (RFC 3948). It has done its work when it has passed the
NAT; the receiving kernel frees it in xfrm4_udp_encap_rcv(), in the same way as a dropped packet.
""",
        confirm="""
$ tcpdump -ni any 'udp port 4500 and udp[4:2] = 9'
Each of them is answered by nothing, and the tunnel works.
""",
        fix=(),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("xfrm4_udp_encap_rcv", "xfrm6_udp_encap_rcv"),
    ),
    Cause(
        id="benign.neighbour-probe",
        title="a neighbour discovery message, already processed",
        why="""
Kernels before 6.3 end icmpv6_rcv() with the function that frees dropped packets, for nearly every kind of
message, also when it was read and answered ("preserve the status quo", says the comment there). So every
neighbour solicitation and advertisement, every router message looks like a drop. Newer kernels tell it apart,
and report only solicitations for addresses that are not ours.
""",
        confirm="""
Neighbours are resolved all the same, and no errors are counted:
$ ip -6 neigh show
$ nstat -az Icmp6InErrors Icmp6InNeighborSolicits Icmp6InNeighborAdvertisements
""",
        fix=(),
        seen_as=("IPV6_NDISC_NS_OTHERHOST", "NOT_SPECIFIED"),
        seen_at=("icmpv6_rcv", "ndisc_recv_ns"),
    ),
    Cause(
        id="benign.icmp6-handled",
        title="an ICMPv6 message, already processed",
        why="""
Kernels before 6.3 free ICMPv6 errors and multicast listener messages at the end of icmpv6_rcv() as if they
were dropped, although they were handled: the socket that an error is about has been told, the path MTU has
been learned.
""",
        confirm="""
$ nstat -az Icmp6InMsgs Icmp6InErrors
A message that was not accepted counts as Icmp6InErrors; one that was handled does not.
""",
        fix=(),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("icmpv6_rcv",),
    ),
    Cause(
        id="benign.multicast-noise",
        title="a multicast or router message that is not for this host",
        why="""
IGMP and MLD reports are for multicast routers, router solicitations for routers, neighbour solicitations for
the owner of an address. They are multicast, so others see them too: a bridge, a promiscuous interface, a
switch without snooping. A host that is not a member of the group drops them, as it must. A bridge without
ports has nobody to send its own reports to.
""",
        confirm="""
$ ip maddr show
$ tcpdump -ni DEV 'igmp or icmp6'
""",
        fix=(),
        seen_as=("NOT_SPECIFIED", "NO_TX_TARGET"),
        seen_at=(
            "br_dev_xmit",
            "br_flood",
            "br_multicast_flood",
            "igmp_rcv",
            "ip6_mc_input",
            "ip_rcv_finish_core",
        ),
    ),
    Cause(
        id="benign.echo-reply",
        title="an echo reply that no ping socket waits for",
        why="""
A ping that uses a raw socket gets its copy of each echo reply before ICMP itself looks at it. ICMP then looks
for a ping socket (the newer, unprivileged kind), finds none, and drops its copy for lack of a socket. The
ping has its answer.
""",
        confirm="""
ping reports no loss. Programs with raw ICMP sockets:
$ ss -wanp
""",
        fix=(),
        seen_as=("NO_SOCKET",),
        seen_at=("icmp_rcv", "icmpv6_rcv", "ping_rcv"),
    ),
    Cause(
        id="benign.fragment-list",
        title="a fragment, freed together with its packet",
        why="""
A datagram that was put together from fragments, or from packets merged by GRO, keeps its pieces as a list.
When the whole is freed, so are the pieces, and older kernels report each of them as a drop even when a
program has read the whole. If the whole was dropped, that is reported on its own.
""",
        confirm="""
The stack shows skb_release_data below the function that freed the whole:
$ whydrop --all --cause benign.fragment-list --stack
""",
        fix=(),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("skb_release_data",),
    ),
    Cause(
        id="benign.tcp-late-reset",
        title="a TCP reset for a connection that is already closed",
        why="""
A reset arrived for a connection of which this host knows nothing (any more). There is nothing left to reset,
and a reset is never answered, so it is discarded (RFC 9293, 3.10.7.1). Typical after a program was killed,
after a refused connection of a port scanner with raw sockets, or as the second reset of two.
""",
        confirm="""
$ tcpdump -ni DEV 'tcp[tcpflags] & tcp-rst != 0 and host SADDR'
""",
        fix=(),
        seen_as=("NO_SOCKET",),
        seen_at=("tcp_v4_rcv", "tcp_v6_rcv"),
    ),
    Cause(
        id="benign.ack-consumed",
        title="a TCP ACK with nothing new in it",
        why="""
An ACK without data that a newer segment has overtaken, or a keepalive: a probe that carries the sequence
number before the next, so that the other end must answer. Both are answered or noted, and then freed as being
out of order. Nothing is lost: there was no data in them.
""",
        confirm="""
$ nstat -az TcpExtPAWSOldAck TcpExtTCPKeepAlive
$ ss -to
""",
        fix=(),
        reasons=("TCP_RFC7323_PAWS_ACK",),
        seen_as=("TCP_OLD_SEQUENCE",),
        seen_at=("tcp_validate_incoming",),
    ),
    Cause(
        id="benign.tcp-time-wait",
        title="a late segment of a closed connection",
        why="""
The end of a TCP connection that closes first keeps only a small TIME_WAIT entry of it. What comes after that,
the FIN of the other end, a repeated ACK, a reset, is read and answered as it should be, and then freed at the
end of tcp_v4_rcv() in the same way as a dropped segment. Every connection that was closed from this side can
show it.
""",
        confirm="""
$ ss -tan state time-wait
$ ss -tan state fin-wait-2
""",
        fix=(),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("tcp_v4_rcv", "tcp_v6_rcv"),
    ),
    Cause(
        id="benign.tcp-handshake-done",
        title="a leftover of a completed TCP handshake",
        why="""
During a handshake the same segment can arrive twice (a SYN that was sent again because the answer was late),
or find that another CPU has just completed the connection. It has been answered, and is freed. whydrop does
not yet tell this from a segment that was really refused, and shows those as unknown.
""",
        confirm="""
$ nstat -az TcpExtTCPSynRetrans TcpExtTCPDeferAcceptDrop TcpExtTCPACKSkippedSynRecv
""",
        fix=(),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("tcp_v4_rcv", "tcp_v6_rcv"),
    ),
)
