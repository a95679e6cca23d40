"""Routing, the ways: routes that lead nowhere, forwarding that is off, packets that are too old or too big."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix


def _delete(kind: str) -> tuple[Step, Step]:
    """All of the type whose prefix has the destination: which of them the kernel took is not known."""
    what = f"delete the routes of type {kind} to the destination, if they are not wanted"
    gives_up = "they may be there on purpose, and packets then follow the next route"
    command = f"route flush table all type {kind} match DADDR"
    return (
        Step(what, f"ip {command}", fits=fits.ipv4, weakens=gives_up),
        Step(what, f"ip -6 {command}", fits=fits.ipv6, weakens=gives_up),
    )


PATHS = (
    Cause(
        id="routing.prohibit",
        title="a route or rule of type prohibit matches",
        why="""
The route that matches the destination is of type "prohibit", or an ip rule with that action matched. The
packet is dropped and its sender gets ICMP "communication administratively prohibited". A program of this host
gets EACCES from its system call, and no packet ever exists. It is configured that way on purpose.
""",
        confirm="""
$ ip route get DADDR from SADDR iif DEV
$ ip rule
$ ip route show table all type prohibit
""",
        fix=(
            Step("find the route or rule", "ip rule; ip route show table all type prohibit", fits=fits.ipv4),
            Step(
                "find the route or rule",
                "ip -6 rule; ip -6 route show table all type prohibit",
                fits=fits.ipv6,
            ),
            *_delete("prohibit"),
            Step("or add a more specific route", "ip route add DADDR via GATEWAY", fits=fits.unicast),
        ),
        seen_as=("NOT_SPECIFIED", "IP_INNOROUTES", "IP_OUTNOROUTES"),
        seen_at=("ip_error", "ip6_pkt_prohibit", "ip6_pkt_drop"),
    ),
    Cause(
        id="routing.blackhole",
        title="a route or rule of type blackhole matches",
        why="""
The route that matches the destination is of type "blackhole", or an ip rule with that action matched. The
packet is dropped in silence; a program of this host gets EINVAL from its system call. Routing daemons install
such routes to aggregate prefixes and against loops, operators against attacks (RTBH).
""",
        confirm="""
$ ip route get DADDR from SADDR iif DEV
$ ip route show table all type blackhole
$ ip rule
""",
        fix=(
            Step("find the route or rule", "ip rule; ip route show table all type blackhole", fits=fits.ipv4),
            Step(
                "find the route or rule",
                "ip -6 rule; ip -6 route show table all type blackhole",
                fits=fits.ipv6,
            ),
            *_delete("blackhole"),
            Step("or add a more specific route", "ip route add DADDR via GATEWAY", fits=fits.unicast),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("ip_error", "dst_discard_out"),
    ),
    Cause(
        id="routing.unreachable",
        title="a route or rule of type unreachable matches",
        why="""
The route that matches the destination is of type "unreachable", or an ip rule with that action matched. The
packet is dropped and its sender gets ICMP host unreachable (IPv6: no route). A program of this host gets an
error from its system call. Often a safety net below a VPN: while the tunnel is down, its prefix must not leak
by the default route.
""",
        confirm="""
$ ip route get DADDR from SADDR iif DEV
$ ip route show table all type unreachable
$ ip rule
""",
        fix=(
            Fix(
                "bring up what should have a better route: the tunnel, the interface, the routing daemon",
                "ip link",
            ),
            Step(
                "find the route or rule", "ip rule; ip route show table all type unreachable", fits=fits.ipv4
            ),
            Step(
                "find the route or rule",
                "ip -6 rule; ip -6 route show table all type unreachable",
                fits=fits.ipv6,
            ),
            *_delete("unreachable"),
        ),
        seen_as=("NOT_SPECIFIED", "IP_INNOROUTES", "IP_OUTNOROUTES", "IP_INADDRERRORS"),
        seen_at=("ip_error", "ip6_pkt_drop"),
    ),
    Cause(
        id="routing.no-route-in",
        title="no route to forward the packet to its destination",
        why="""
The packet is not for this host, forwarding is on, and no route matches its destination: no default route in
the table that applies, a route that went away with its interface, a VRF or policy table that lacks it. The
sender gets ICMP "network unreachable".
""",
        confirm="""
$ ip route get DADDR from SADDR iif DEV
$ ip rule
$ ip route show table all
$ nstat -az IpExtInNoRoutes Ip6InNoRoutes
""",
        fix=(
            Fix("ask the kernel for the route", "ip route get DADDR from SADDR iif DEV"),
            Step("add the missing route", "ip route add DADDR via GATEWAY", fits=fits.unicast),
            Step(
                "a multicast group needs no route: where a program has joined it on the interface, it is "
                "delivered; an "
                "interface without any IPv6 address takes none",
                "ip maddr show dev DEV; ip addr show dev DEV",
                fits=fits.multicast,
            ),
        ),
        seen_as=("IP_INNOROUTES",),
        seen_at=("ip_error", "ip6_pkt_drop", "ip6_pkt_discard"),
    ),
    Cause(
        id="routing.no-route-out",
        title="no route for a packet that this host sends",
        why="""
This host wanted to send and found no route. Usually a program gets "network is unreachable" before any packet
exists. A packet dies of it when the route vanished under a running connection (an interface or VPN went
down), when the answer to a connection from outside has no way back, or when a tunnel has no route to its
other end.
""",
        confirm="""
$ ip route get DADDR
$ ip route show table all
$ nstat -az IpOutNoRoutes Ip6OutNoRoutes
""",
        fix=(
            Fix("ask the kernel for the route", "ip route get DADDR from SADDR"),
            Step("add the missing route", "ip route add DADDR via GATEWAY", fits=fits.unicast),
            Fix("watch routes come and go", "ip -ts monitor route link address"),
        ),
        seen_as=("IP_OUTNOROUTES",),
        seen_at=(
            "__ip_queue_xmit",
            "inet6_csk_xmit",
            "ip6_pkt_drop",
            "ip6_pkt_discard_out",
            "vxlan_xmit_one",
        ),
    ),
    Cause(
        id="routing.forwarding-off",
        title="not addressed to this host, and forwarding is disabled",
        why="""
The frame was addressed to our hardware address, but the IP destination is none of our addresses, and this
host is not a router on that interface. Either it should be one and forwarding is off (net.ipv4.ip_forward, or
the setting of this one interface; for IPv6 conf.all.forwarding), or the packet should never have come here:
the destination address was removed from this host, is configured on the wrong machine, or the sender has a
wrong route or ARP entry.
""",
        confirm="""
$ ip addr show to DADDR
$ sysctl net.ipv4.ip_forward net.ipv4.conf.DEV.forwarding net.ipv6.conf.all.forwarding
$ nstat -az IpInAddrErrors Ip6InAddrErrors
""",
        fix=(
            Step(
                "enable forwarding, if this host should be a router: it then forwards for every host",
                "sysctl -w net.ipv4.ip_forward=1 net.ipv4.conf.DEV.forwarding=1",
                fits=fits.ipv4,
            ),
            Step(
                "enable forwarding, if this host should be a router: it then forwards for every host, and "
                "ignores router advertisements",
                "sysctl -w net.ipv6.conf.all.forwarding=1",
                fits=fits.ipv6,
            ),
            Fix("add the address, if it should be on this host", "ip addr add DADDR/PREFIXLEN dev DEV"),
        ),
        seen_as=("IP_INADDRERRORS",),
        seen_at=("ip_error", "ip6_forward"),
    ),
    Cause(
        id="routing.ttl-expired",
        title="the TTL (hop limit) is used up",
        why="""
Each router decrements the TTL of a packet, and the one that would make it zero drops it and sends ICMP time
exceeded. Either the packet goes round in a loop (two routers send it to each other: the same packet dies here
again and again), or its sender gave it a small TTL: traceroute does so on purpose, multicast programs and
some protocols for the local network use 1 and are not meant to be routed.
""",
        confirm="""
$ traceroute -n DADDR
The same two addresses in turns are a loop.
$ ip route get DADDR from SADDR iif DEV
$ nstat -az IpInHdrErrors IcmpOutTimeExcds
""",
        fix=(
            Fix("look for a loop: see where this router sends it", "ip route get DADDR from SADDR iif DEV"),
            Step("have the sender use a larger TTL (IP_MULTICAST_TTL)", fits=fits.multicast),
        ),
        seen_as=("IP_INHDR", "NOT_SPECIFIED"),
        seen_at=("ip_forward", "ip6_forward"),
    ),
    Cause(
        id="routing.too-big",
        title="too big for the next hop's MTU, and may not be fragmented",
        why="""
The packet is longer than the MTU of the interface or route by which it should leave, and it may not be cut:
its DF bit is set (nearly all TCP), or it is IPv6. This host has told the sender with ICMP "fragmentation
needed" or ICMPv6 "packet too big", including the size that fits. If that message is filtered on its way, the
sender tries again for ever: small packets work, large ones vanish (path MTU black hole).
""",
        confirm="""
$ ip route get DADDR
$ ip link show DEV
$ ping -M do -s 1472 DADDR
$ nstat -az IpFragFails Ip6FragFails Icmp6OutPktTooBigs
""",
        fix=(
            Step(
                "have TCP use segments that fit, in new connections",
                "iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
                fits=fits.both(fits.tcp, fits.came_in),
            ),
            Step("make the program send smaller packets", fits=fits.not_tcp),
            Fix(
                "see through which interface it should leave: the MTU there is too small",
                "ip route get DADDR",
            ),
            Fix("have every firewall on the path accept ICMP fragmentation needed and ICMPv6 packet too big"),
        ),
        seen_as=("PKT_TOO_BIG", "NOT_SPECIFIED"),
        seen_at=("ip_forward", "ip6_forward", "ip_fragment", "ip6_fragment"),
    ),
)
