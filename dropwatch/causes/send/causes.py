"""Sends that fail before there is a packet: what the program's errno means, and what to do about it."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause

LOOKUPS = ("ip_route_output_flow", "ip6_dst_lookup_flow", "tcp_v4_connect", "tcp_v6_connect")
_SEE_ROUTES = (
    Step("ask the kernel for the route", "ip route get DADDR", fits=fits.ipv4),
    Step("ask the kernel for the route", "ip -6 route get DADDR", fits=fits.ipv6),
)
_SEE_RULES = (
    Step("see whether a rule chose another table", "ip rule", fits=fits.ipv4),
    Step("see whether a rule chose another table", "ip -6 rule", fits=fits.ipv6),
)

CAUSES = (
    Cause(
        id="send.no-route",
        title="the send failed: no route to the destination (ENETUNREACH)",
        why="""
A program sent something, or opened a connection, and no route leads to the destination: the system call failed
with ENETUNREACH, and no packet ever existed. A default route is missing, or the table that an ip rule chose has
none; an IPv6 address was tried on a host that has only link-local IPv6; the interface with the route is
down, or lost its address.
""",
        confirm="""
$ ip route get DADDR
$ ip rule
$ nstat -az IpOutNoRoutes Ip6OutNoRoutes
""",
        fix=(
            *_SEE_ROUTES,
            *_SEE_RULES,
            Step("add a route", "ip route add DADDR via GATEWAY", fits=fits.both(fits.ipv4, fits.unicast)),
            Step("add a route", "ip -6 route add DADDR via GATEWAY", fits=fits.both(fits.ipv6, fits.unicast)),
        ),
        seen_at=LOOKUPS,
    ),
    Cause(
        id="send.prohibited",
        title="the send failed: a route or rule forbids the destination",
        why="""
The route that matches the destination, or an ip rule, is of type prohibit, unreachable or blackhole. A
program's system call fails with EACCES, EHOSTUNREACH or EINVAL, and no packet ever exists. It is configured
that way on purpose, for example against loops.
""",
        confirm="""
$ ip route get DADDR
$ ip rule
$ ip route show table all type prohibit
$ ip route show table all type unreachable
$ ip route show table all type blackhole
""",
        fix=(
            Step("find the route or rule", "ip rule; ip route show table all match DADDR", fits=fits.ipv4),
            Step(
                "find the route or rule", "ip -6 rule; ip -6 route show table all match DADDR", fits=fits.ipv6
            ),
            Step("or add a more specific route", "ip route add DADDR via GATEWAY", fits=fits.unicast),
        ),
        seen_at=LOOKUPS,
    ),
    Cause(
        id="send.too-big",
        title="the send failed: larger than the path MTU (EMSGSIZE)",
        why="""
A program sent a datagram that is larger than the MTU of the route or interface, and it may not be fragmented:
the socket requests path MTU discovery (IP_MTU_DISCOVER, IPV6_DONTFRAG), or it is too large even for
fragments. The system call failed with EMSGSIZE, and no packet ever existed. Tunnels and VPNs make the MTU
smaller than programs expect; a router on the path may have said so in an ICMP error (path MTU).
""",
        confirm="""
The present MTU of the route:
$ ip route get DADDR
$ ip link show
""",
        fix=(
            Step(
                "see the MTU of the route, and whether it was learned", "ip route get DADDR", fits=fits.ipv4
            ),
            Step(
                "see the MTU of the route, and whether it was learned",
                "ip -6 route get DADDR",
                fits=fits.ipv6,
            ),
            Step("have the program send smaller datagrams, or let the kernel fragment them"),
        ),
        seen_at=("ip_local_error", "ipv6_local_error", "udp_sendmsg"),
    ),
    Cause(
        id="send.no-address",
        title="the send failed: no address to send from (EADDRNOTAVAIL)",
        why="""
There is no address, or no local port, that the packet could come from. The address that the socket is bound
to is no longer an address of this host; no IPv6 address has a scope that fits the destination; or all ports
of net.ipv4.ip_local_port_range are in use for connections to this destination. No packet ever existed.
""",
        confirm="""
$ ip address
$ ss -s
$ sysctl net.ipv4.ip_local_port_range
""",
        fix=(
            Step("see which addresses there are", "ip address"),
            Step("see how many connections there are", "ss -tan dst DADDR", fits=fits.tcp),
            Step(
                "allow more local ports",
                'sysctl -w net.ipv4.ip_local_port_range="1024 65535"',
                fits=fits.tcp,
            ),
        ),
        seen_at=LOOKUPS,
    ),
    Cause(
        id="send.interface-down",
        title="the send failed: the interface is gone or down (ENODEV, ENETDOWN)",
        why="""
The send is bound to an interface (SO_BINDTODEVICE, IP_PKTINFO, the scope of an IPv6 address) that is gone or
down. No packet ever existed. Interfaces of containers, VPNs and phones come and go, and a program that chose
one by name or index goes on using it.
""",
        confirm="""
$ ip link show
""",
        fix=(Step("see which interfaces there are, and which are down", "ip link show"),),
        seen_at=LOOKUPS,
    ),
    Cause(
        id="send.broadcast-off",
        title="the send failed: to a broadcast address, without SO_BROADCAST (EACCES)",
        why="""
A program sent a datagram to a broadcast address, and its socket does not permit that (SO_BROADCAST). The
system call failed with EACCES, and no packet ever existed. Often it is not meant as a broadcast: the last
address of a network is its broadcast address, and the prefix may be longer than expected.
""",
        confirm="""
The route is of type "broadcast":
$ ip route get DADDR
""",
        fix=(
            Step("see whether it is a broadcast address", "ip route get DADDR"),
            Step("have the program set SO_BROADCAST, if a broadcast is meant"),
        ),
        seen_at=("udp_sendmsg",),
    ),
    Cause(
        id="send.no-buffer",
        title="the send failed: the kernel had no memory (ENOBUFS)",
        why="""
The kernel could not allocate what a route or packet takes. The host is short of memory, or very many IPv6
routes are cached (net.ipv6.route.max_size on older kernels). The system call failed, and no packet ever
existed; the program may try again later.
""",
        confirm="""
$ cat /proc/meminfo
$ sysctl net.ipv6.route.max_size
""",
        fix=(Step("see the memory", "cat /proc/meminfo"),),
        seen_at=LOOKUPS,
        scenario="The kernel has to fail to allocate some hundred bytes in this very call, and the test kernels are "
        "built without fault injection.",
    ),
)
