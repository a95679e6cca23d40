"""Sockets, the way in: nobody listens, a filter or a rule of the socket says no, its program has closed it."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

# Modules by what they handle, in packets of a family.
_MODULES = (
    ("esp4", fits.ipv4, ("esp",)),
    ("esp6", fits.ipv6, ("esp",)),
    ("ah4", fits.ipv4, ("ah",)),
    ("ah6", fits.ipv6, ("ah",)),
    ("ipcomp", fits.ipv4, ("comp",)),
    ("ipcomp6", fits.ipv6, ("comp",)),
    ("ip_gre", fits.ipv4, ("gre",)),
    ("ip6_gre", fits.ipv6, ("gre",)),
    ("ipip", fits.ipv4, ("ipip",)),
    ("sit", fits.ipv4, ("ipv6",)),
    ("ip6_tunnel", fits.ipv6, ("ipip", "ipv6")),
    ("l2tp_ip", fits.ipv4, ("l2tp",)),
    ("l2tp_ip6", fits.ipv6, ("l2tp",)),
    ("sctp", fits.any_packet, ("sctp",)),
    ("dccp_ipv4", fits.ipv4, ("dccp",)),
    ("dccp_ipv6", fits.ipv6, ("dccp",)),
)

STEERING = (
    Fix("find the program, and what loaded it", "bpftool link show; bpftool prog show"),
    Fix("restart the program that fills its map of sockets, or detach it"),
)

ACCESS = (
    Cause(
        id="socket.udp-no-listener",
        title="no UDP socket is bound to this address and port",
        why="""
The datagram reached this host and passed its firewall, but no socket takes it; the sender gets ICMP port
unreachable (not for broadcast and multicast). The program does not run, or is bound to another address
(127.0.0.1 instead of all), to IPv6 only or IPv4 only, to another interface or VRF, or in another network
namespace: a container without a published port. A socket that is connected takes datagrams of its peer only.
""",
        confirm="""
Which program listens on the port, on which address and interface?
$ ss -lnup 'sport = :DPORT'
The same in every network namespace:
$ ip -all netns exec ss -lnup
$ nstat -az UdpNoPorts Udp6NoPorts
""",
        fix=(
            Fix("see which program is bound to the port, and to which address", "ss -lnup 'sport = :DPORT'"),
            Fix("look in the other network namespaces", "ip -all netns exec ss -lnup 'sport = :DPORT'"),
            Fix("start the program, or have it bind to the destination address"),
        ),
        seen_as=("NO_SOCKET", "NOT_SPECIFIED"),
        seen_at=(
            *("udp_rcv", "__udp4_lib_rcv", "__udp4_lib_mcast_deliver"),
            *("udpv6_rcv", "__udp6_lib_rcv", "__udp6_lib_mcast_deliver"),
        ),
    ),
    Cause(
        id="socket.tcp-no-listener",
        title="no TCP socket listens on this address and port",
        why="""
A SYN reached this host and passed its firewall, but no socket listens there; the sender gets a reset
("connection refused"). The program does not run, or listens on another address (127.0.0.1 instead of all), in
one address family only, on another interface or VRF, or in another network namespace: a container without a
published port.
""",
        confirm="""
$ ss -lntp 'sport = :DPORT'
The same in every network namespace:
$ ip -all netns exec ss -lntp
$ nstat -az TcpOutRsts
""",
        fix=(
            Fix("see which program listens on the port, and on which address", "ss -lntp 'sport = :DPORT'"),
            Fix("look in the other network namespaces", "ip -all netns exec ss -lntp 'sport = :DPORT'"),
            Fix("start the program, or have it listen on the destination address"),
        ),
        seen_as=("NO_SOCKET",),
        seen_at=("tcp_v4_rcv", "tcp_v6_rcv"),
    ),
    Cause(
        id="socket.filter",
        title="the program's own filter on the socket refuses the packet",
        why="""
The program attached a classic or extended BPF filter to its socket (SO_ATTACH_FILTER, SO_ATTACH_BPF), and the
filter answered zero. DHCP clients, hostapd, routing daemons, DNS servers against floods and sandboxes do so.
The packet dies only for this socket.
""",
        confirm="""
$ ss --bpf -anp
It prints the instructions of classic filters. Extended ones:
$ bpftool prog show | grep socket_filter
""",
        fix=(
            Fix("see the filter", "ss --bpf -anp 'sport = :DPORT'"),
            Fix("change the filter of the program"),
        ),
        seen_as=("SOCKET_FILTER",),
        seen_at=(
            "udp_queue_rcv_one_skb",
            "udpv6_queue_rcv_one_skb",
            "tcp_v4_rcv",
            "tcp_v6_rcv",
            "sk_filter_trim_cap",
        ),
    ),
    Cause(
        id="socket.security-module",
        title="a Linux security module refuses the packet",
        why="""
Before a packet enters a socket, and when a connection is made, the kernel asks the security module: SELinux
by the labels of packet and socket, Smack by its own labels, or a BPF program attached to the LSM hook. It
said no. With SELinux that needs labelled networking (netlabel, IPsec labels, secmark rules of the firewall)
to happen at all.
""",
        confirm="""
$ cat /sys/kernel/security/lsm
$ ausearch -m avc -ts recent
$ bpftool prog show | grep lsm
""",
        fix=(
            Fix(
                "SELinux: see what was denied, and whether a boolean allows it",
                "ausearch -m avc -ts recent | audit2why",
            ),
            Step(
                "for a test, SELinux permissive",
                "setenforce 0",
                weakens="no policy of SELinux holds until `setenforce 1`",
            ),
        ),
        reasons=("SECURITY_HOOK",),
        seen_as=("SOCKET_FILTER",),
        seen_at=(
            *("udp_queue_rcv_one_skb", "udpv6_queue_rcv_one_skb", "tcp_v4_rcv", "tcp_v6_rcv"),
            *("sk_filter_trim_cap", "cookie_v4_check"),
        ),
    ),
    Cause(
        id="socket.protocol-unhandled",
        title="nothing on this host handles this IP protocol",
        why="""
The protocol number in the IP header has no handler in the kernel, and no raw socket takes it; the sender gets ICMP
protocol unreachable. The module is not loaded because no interface or SA of that kind exists here (ESP, AH,
GRE, IPIP, SCTP, L2TP, VRRP without its daemon), or the packet is not for this host at all. Protocol 4 or 41
out of an IPsec SA means that the sender uses tunnel mode and this end transport mode.
""",
        confirm="""
$ tcpdump -vni DEV host SADDR
$ nstat -az IpInUnknownProtos Ip6InUnknownProtos
$ lsmod | grep -E '^(esp|ah|ip_gre|ipip|sit|sctp|ip6)'
""",
        fix=(
            *(
                Step(
                    "load the module; it also needs an interface, an SA or a socket of that kind",
                    f"modprobe {module}",
                    fits=fits.both(fits.proto(*protocols), family),
                )
                for module, family, protocols in _MODULES
            ),
            Fix("see which protocol it is", "tcpdump -c 3 -vni DEV host SADDR"),
            Fix("or have the sender stop"),
        ),
        reasons=("IP_NOPROTO",),
        seen_at=("ip_protocol_deliver_rcu", "ip_local_deliver_finish", "ip6_protocol_deliver_rcu"),
    ),
    Cause(
        id="socket.closed",
        title="data for a socket that the program has closed",
        why="""
The connection still exists here, but the program has closed its socket, or closed it for reading, and the
other end goes on sending. No program will read the data, so the connection is reset, as RFC 2525 requires. The
other end sees "connection reset by peer" and may lose what it had not yet read. A client that hangs up early,
a proxy with a shorter timeout than its server, a crash: all look like this.
""",
        confirm="""
$ ss -tanp
$ nstat -az TcpExtTCPAbortOnData TcpExtTCPAbortOnClose
""",
        fix=(
            Fix("see which connection it is", "ss -tanpo 'dport = :SPORT'"),
            Fix("have the program read until the end, or shut down and wait, before it closes"),
            Fix("align the timeouts of the two ends: the sender's should be the shorter one"),
        ),
        reasons=("TCP_CLOSE", "TCP_ABORT_ON_DATA"),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("tcp_rcv_state_process", "tcp_v4_do_rcv", "tcp_v6_do_rcv"),
    ),
    Cause(
        id="socket.min-ttl",
        title="the TTL is below the minimum that the socket requires",
        why="""
The program asked the kernel to accept only segments with a certain TTL or hop limit (IP_MINTTL,
IPV6_MINHOPCOUNT). BGP daemons use it as "TTL security" (GTSM, RFC 5082): the peer sends with 255, and a host
further away than expected cannot reach that value. The peer does not send with 255, or there are more routers
in between than configured.
""",
        confirm="""
$ tcpdump -vni DEV 'tcp port DPORT and host SADDR'
$ nstat -az TcpExtTCPMinTTLDrop
""",
        fix=(
            Fix(
                "see the TTL of the peer's packets",
                "tcpdump -c 3 -vni DEV host SADDR and tcp port DPORT",
            ),
            Fix(
                "FRR: neighbor SADDR ttl-security hops, on both ends, with the number of hops; BIRD: ttl "
                "security on, "
                "and multihop with the number"
            ),
        ),
        reasons=("TCP_MINTTL",),
        seen_at=("tcp_v4_rcv", "tcp_v6_rcv"),
    ),
    Cause(
        id="socket.bound-elsewhere",
        title="a socket has the port, but is bound elsewhere",
        why="""
A socket with the right port exists, but SO_BINDTODEVICE, a VRF, its local address or its family keeps this
packet away from it, or it is connected to another peer. A socket that is not in a VRF gets nothing that came
in through one, unless net.ipv4.tcp_l3mdev_accept (udp_l3mdev_accept) allows it; a socket bound to a VRF gets
nothing from elsewhere. An IPv6 socket that is bound to no address accepts IPv4 as well, unless IPV6_V6ONLY is
set. The same holds for a raw socket of a protocol that the kernel has no handler for (raw_l3mdev_accept, on
unless it was switched off). The sockets are read after the drop: whydrop is certain where it saw the same
socket before the drop, too.
""",
        confirm="""
The interface stands behind a percent sign at the address:
$ ss -lntup 'sport = :DPORT'
$ ip -d link show type vrf
$ sysctl net.ipv4.tcp_l3mdev_accept net.ipv4.udp_l3mdev_accept
A socket of UDP that is connected to a peer:
$ ss -anup 'sport = :DPORT'
""",
        fix=(
            Fix("see what the socket is bound to", "ss -lntup 'sport = :DPORT'"),
            Fix("have its program bind to the destination address, or to all"),
            Fix("run the program in the VRF", "ip vrf exec VRF PROGRAM"),
            Step(
                "or have sockets outside VRFs accept traffic of VRFs",
                "sysctl -w net.ipv4.tcp_l3mdev_accept=1",
                fits=fits.tcp,
                weakens="services outside VRFs can be reached from every VRF",
            ),
            Step(
                "or have sockets outside VRFs accept traffic of VRFs",
                "sysctl -w net.ipv4.udp_l3mdev_accept=1",
                fits=fits.udp,
                weakens="services outside VRFs can be reached from every VRF",
            ),
        ),
        seen_as=("NO_SOCKET", "IP_NOPROTO"),
        seen_at=(
            *("__udp4_lib_rcv", "__udp6_lib_rcv", "udp_rcv", "udpv6_rcv", "tcp_v4_rcv", "tcp_v6_rcv"),
            *("ip_protocol_deliver_rcu", "ip_local_deliver_finish", "ip6_protocol_deliver_rcu"),
        ),
    ),
    Cause(
        id="socket.steered-away",
        title="a BPF program keeps it from a matching socket",
        why="""
A socket has the port and the address, and nothing that it is bound to keeps the packet away, and yet the
lookup found none. A BPF program decides: one at the namespace's sk_lookup hook, which runs before unconnected
sockets are looked up, or one of the socket's SO_REUSEPORT group (SO_ATTACH_REUSEPORT_EBPF). Such programs
spread connections over workers and put services on many addresses; when the chosen worker is not there, they
may drop the packet.
""",
        confirm="""
$ ss -anup 'sport = :DPORT'
$ ss -lntp 'sport = :DPORT'
Look for links of type netns with attach_type sk_lookup, and programs of type sk_reuseport:
$ bpftool link show
$ bpftool prog show
""",
        fix=STEERING,
        seen_as=("NO_SOCKET",),
        seen_at=("__udp4_lib_rcv", "__udp6_lib_rcv", "udp_rcv", "udpv6_rcv", "tcp_v4_rcv", "tcp_v6_rcv"),
    ),
)
