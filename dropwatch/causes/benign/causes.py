"""Frees that look like drops and are none: suppressed, but counted; shown with --all."""

from dropwatch.causes.cause import Cause

BENIGN_CAUSES = (
    Cause(
        id="benign.socket-close",
        title="the program closed its socket with data unread",
        why="""
When a program closes a socket, or ends, the packets that still wait in the socket's receive queue are freed
with the function that also frees dropped packets. The network delivered them; the program did not read them.
The same is done for connections that a listening socket has not accepted when it is closed.
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
            "udp_destruct_common",
        ),
    ),
    Cause(
        id="benign.tap-copy",
        title="a sniffer was closed with copies unread",
        why="""
An AF_PACKET socket (tcpdump, Wireshark, a DHCP client) gets a copy of each packet. When it is closed, the
copies that its program has not read are freed, and look like drops. The packets themselves went on long
before.
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
        title="an IPsec NAT keepalive: it carries no data",
        why="""
IPsec behind NAT runs in UDP, port 4500. So that the NAT does not forget the mapping, the peers send a
datagram with the single byte 0xff every few seconds (RFC 3948). Once it has passed the NAT it is of no more
use; the receiving kernel frees it in xfrm4_udp_encap_rcv(), in the same way as a dropped packet.
""",
        confirm="""
$ tcpdump -ni any 'udp port 4500 and udp[4:2] = 9'
None of them is answered, and the tunnel works.
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
neighbour solicitation and advertisement, every router message looks like a drop. Newer kernels tell most of them
apart. whydrop reads the message as the kernel does: it is harmless when this host answered it (seen by a probe),
when it asks for an address that is not ours, or when it is sound and no setting of the interface refuses it.
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
Kernels before 6.3 free ICMPv6 messages at the end of icmpv6_rcv() as if they were dropped, although they were
handled: a request for an echo was answered (seen by a probe), an error whose quote reaches to the ports was
handed to the protocol that it is about, a multicast listener message from this link was read.
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
        title="a multicast or router message, not for this host",
        why="""
IGMP and MLD reports are for multicast routers, router solicitations for routers, neighbour solicitations for
the owner of an address. They are multicast, so others see them too: a bridge, a promiscuous interface, a
switch without snooping. A host that is not a member of the group drops them, as it must. A bridge without
ports has nobody to send its own reports to, and what IPv6 sends before an interface is ready it sends again.
The same is true of what every switch sends to all hosts, whoever has joined: the groups 224.0.0.0/24 and those
that IPv6 has registered for one link (mDNS, OSPF, VRRP, ...), and DHCP's broadcasts.
""",
        confirm="""
$ ip maddr show
$ tcpdump -ni DEV 'igmp or icmp6'
""",
        fix=(),
        seen_as=("NOT_SPECIFIED", "NO_TX_TARGET"),
        seen_at=(
            "__dev_queue_xmit",
            "br_dev_xmit",
            "br_flood",
            "br_multicast_flood",
            "igmp_rcv",
            "ip6_mc_input",
            "ip_rcv_finish_core",
        ),
    ),
    Cause(
        id="benign.router-advertisement-ignored",
        title="a router advertisement, and this interface is a router's",
        why="""
A router is not configured by other routers: on an interface that forwards, advertisements are taken only with
accept_ra = 2. Where accept_ra is 0 somebody has said so on purpose, and the message is shown as
ipv6.message-refused.
""",
        confirm="""
$ sysctl net.ipv6.conf.DEV.forwarding net.ipv6.conf.DEV.accept_ra
""",
        fix=(),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("icmpv6_rcv",),
    ),
    Cause(
        id="benign.own-copy",
        title="this host's own copy of a multicast or broadcast packet that it sent",
        why="""
What a host sends to a multicast group or as a broadcast is also looped back, in case a program here listens
too. When none does, the copy is dropped. The frame itself has left through the interface, and other hosts
that listen receive it.
""",
        confirm="""
$ tcpdump -eni DEV 'multicast or broadcast'
""",
        fix=(),
        seen_as=("NOT_SPECIFIED", "NO_SOCKET"),
        seen_at=("__udp4_lib_rcv", "udp_rcv", "ip_rcv_finish_core", "ip6_mc_input"),
    ),
    Cause(
        id="benign.bridge-flood",
        title="a bridge's copy for a port that does not want it",
        why="""
A bridge that does not know where a MAC address is sends the frame out of all its ports: the host that has the
address takes it, all others drop their copies. A multicast or broadcast frame in a VLAN that the bridge
interface is not a member of has a copy for the host, which the VLAN filter drops. In both cases the frame
goes to its ports.
""",
        confirm="""
$ bridge fdb show br BRIDGE
$ bridge vlan show
""",
        fix=(),
        seen_as=("OTHERHOST", "NOT_SPECIFIED"),
        seen_at=("ip_rcv_core", "ip6_rcv_core", "br_pass_frame_up"),
    ),
    Cause(
        id="benign.route-lookup",
        title="not a packet: a route lookup",
        why="""
`ip route get`, and whydrop itself, ask the kernel for the route of a packet that does not exist. The kernel
builds one for the lookup and frees it with the function that also frees dropped packets. connect() of a
datagram socket asks for a route as well and sends nothing: a policy that refuses it has cost no packet yet,
and the program has its error. (Before 6.1 the stack does not say that it was connect(), and the refusal is
shown.)
""",
        confirm="""
$ whydrop --all --cause benign.route-lookup --stack
""",
        fix=(),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("inet_rtm_getroute", "inet6_rtm_getroute", "xfrm_lookup_with_ifid"),
    ),
    Cause(
        id="benign.echo-reply",
        title="an echo reply that no ping socket waits for",
        why="""
A ping that uses a raw socket gets its copy of each echo reply before ICMP itself looks at it. ICMP then looks
for a ping socket (the newer, unprivileged kind), finds none, and drops its copy for lack of a socket. The
ping has its answer: a probe saw the copy. A reply of which nobody had a copy is shown.
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
        id="benign.tcp-late-reset",
        title="a TCP reset for a connection that is already closed",
        why="""
A reset arrived for a connection that this host does not have, or no longer has. There is nothing left to reset,
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
        id="benign.port-scan",
        title="a port scan: closed ports are tried one after the other",
        why="""
Within three seconds a host tries ten or more ports of this one where nobody listens, and goes on with pauses of less
than ten. Each attempt is refused and answered, with a reset or (UDP) with a port unreachable, so that its sender
knows: nothing is lost. A finding of a single closed port (socket.tcp-no-listener, socket.udp-no-listener) waits a
second, at most three, for this judgement; not where the filter names ports. What a firewall drops or rejects is told
as the work of its rule, and so is each datagram that the kernel did not answer: it limits the rate of its errors.
""",
        confirm="""
$ nstat -az TcpOutRsts
$ tcpdump -ni DEV 'tcp[tcpflags] & tcp-syn != 0 and host SADDR'
""",
        fix=(),
        seen_as=("NO_SOCKET",),
        seen_at=("tcp_v4_rcv", "tcp_v6_rcv", "__udp4_lib_rcv", "__udp6_lib_rcv"),
    ),
    Cause(
        id="benign.ack-consumed",
        title="a TCP ACK with nothing new in it",
        why="""
An ACK without data that a newer segment has overtaken, or a keepalive: a probe that carries the sequence
number before the next, so that the other end must answer. Both are answered or noted, and then freed as being
out of order. So is every ACK without data on a connection that one end has closed: it is read, and freed because
there is nothing to queue. Nothing is lost: there was no data in them.
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
        title="a TCP handshake's segment that has come before",
        why="""
During a handshake the same segment can arrive twice: a SYN that was sent again because the answer was late. It is
answered again (seen by a probe), and freed. A segment that finds that another CPU has just completed the
connection is freed as well; whydrop does not tell that from one that was really refused, and shows it as unknown.
""",
        confirm="""
$ nstat -az TcpExtTCPSynRetrans TcpExtTCPDeferAcceptDrop TcpExtTCPACKSkippedSynRecv
""",
        fix=(),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("tcp_v4_rcv", "tcp_v6_rcv"),
    ),
)
