"""The causes of GRE, IP in IP and 6in4, and those that all tunnels share: routes, loops, ECN."""

from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

_SEE_KEY = Fix("see which key the packets have", "tcpdump -c 3 -vni DEV proto gre and host SADDR")


def gre_key(kind: str, *, has_key: bool) -> tuple[Fix, ...]:
    """The interface gets the key of the packet, or none as the packet has none."""
    if has_key:
        return (
            Fix("set the same key on the interface", f"ip link set dev TUNNEL type {kind} key KEY"),
            _SEE_KEY,
        )
    return (
        Fix("have the interface use no key", f"ip link set dev TUNNEL type {kind} nokey"),
        Fix("or set the same key at the other end"),
        _SEE_KEY,
    )


def gre_option(kind: str, words: str) -> tuple[Fix, ...]:
    """`words` are what ip takes, as `noiseq`."""
    return (
        Fix("have the interface not require it", f"ip link set dev TUNNEL type {kind} {words}"),
        Fix("or enable it at the other end: seq, csum"),
    )


KEYS = (
    _SEE_KEY,
    Fix("set the same key on the interface", "ip link set TUNNEL type gre key KEY"),
)
OPTIONS = (
    Fix("compare iseq, icsum of the one end with oseq, ocsum of the other", "ip -d link show type gre"),
    Fix("have the interface not require a number", "ip link set dev TUNNEL type gre noiseq"),
)
_ADDRESSES = Fix("compare local and remote addresses", "ip -d tunnel show")


def peer(kind: str) -> tuple[Fix, ...]:
    """`kind` is the word of `ip link`."""
    return (
        _ADDRESSES,
        Fix("correct the remote", f"ip link set dev TUNNEL type {kind} local DADDR remote SADDR"),
    )


OTHER_KIND = (
    Fix("compare the types of the interfaces at both ends", "ip -d link show dev TUNNEL"),
    _ADDRESSES,
)
PEER = peer("gre")
ECN = (
    Fix("see the outer header", "tcpdump -c 5 -vni DEV host SADDR"),
    Fix("find what rewrites the TOS byte on the path, and have it keep the two ECN bits"),
)
# What is inside is known only, not who sent it.
INNER_ECN = (
    Fix(
        "see the packets of the tunnel with their TOS",
        "tcpdump -c 20 -vni any proto 4 or proto 41 or proto gre or udp",
    ),
    Fix("find what rewrites the TOS byte on the path, and have it keep the two ECN bits"),
)
LOOP = (
    Fix(
        "see where the route to the tunnel's remote endpoint leads",
        "ip route get DADDR; ip -d tunnel show",
    ),
    Fix(
        "route the remote endpoint through the real uplink",
        "ip route add DADDR via GATEWAY dev UPLINK",
    ),
)
LOCAL_ADDRESS = (
    Fix("see the addresses of this host, and local of the tunnel", "ip -br addr; ip -d link show dev TUNNEL"),
)
REMOTE_ROUTE = (
    Fix("see where the route to the remote end leads", "ip route get REMOTE"),
    Fix("add a route to it", "ip route add REMOTE via GATEWAY dev UPLINK"),
)

ENCAPSULATION = (
    Cause(
        id="tunnel.gre-key-mismatch",
        title="no GRE interface has the key of this packet",
        why="""
A GRE tunnel can have a key, a number in each packet; both ends must use the same. No GRE device between these
addresses has this key (or has one although the packet has none). The sender gets ICMP port unreachable.
""",
        confirm="""
$ ip -d link show type gre
$ ip -d tunnel show
$ tcpdump -vni DEV proto gre
""",
        fix=KEYS,
        seen_as=("NOT_SPECIFIED",),
        seen_at=("gre_rcv", "__ipgre_rcv", "ip_tunnel_rcv"),
    ),
    Cause(
        id="tunnel.gre-options",
        title="the GRE packet lacks what the interface requires, or comes out of order",
        why="""
A GRE interface can require a checksum (icsum) or a sequence number (iseq) in what comes in, and refuses a checksum
that it does not expect; the other end must send the same (ocsum, oseq). With sequence numbers all that arrives
after a packet with a higher number is dropped: a path that reorders packets loses some, and when the other end
begins again at zero, everything is lost until its number has caught up.
""",
        confirm="""
"icsum", "iseq" here, "ocsum", "oseq" there:
$ ip -d link show type gre
"fifo" counts sequence numbers, "crc" checksums:
$ ip -s -s link show TUNNEL
$ tcpdump -vni DEV proto gre
""",
        fix=OPTIONS,
        seen_as=("NOT_SPECIFIED",),
        seen_at=("ip_tunnel_rcv",),
    ),
    Cause(
        id="tunnel.unknown-peer",
        title="no tunnel interface here matches this sender",
        why="""
An IPIP, SIT or GRE packet arrived for an address of this host, and no tunnel device has its sender as the
remote (or takes any). The remote's address changed, the device has another local address, is in another
network namespace, or was never made.
""",
        confirm="""
$ ip -d tunnel show
$ ip -d link show type ipip
$ tcpdump -ni DEV 'ip proto 4 or ip proto 41 or proto gre'
""",
        fix=PEER,
        seen_as=("NOT_SPECIFIED", "IP_NOPROTO"),
        seen_at=("tunnel4_rcv", "tunnel64_rcv", "ipip_tunnel_rcv", "gre_rcv", "ipip6_rcv", "tunnel6_rcv"),
    ),
    Cause(
        id="tunnel.no-route",
        title="no route to the remote end of the tunnel",
        why="""
The tunnel interface is up and the packet was routed into it, but for the packet around it there is no route: the
remote end of the tunnel is not reachable, or the tunnel is bound to an interface (dev) or sends from an address
(local) with which there is none. The interface counts it as a carrier error. Whoever sent the packet may get ICMP
host unreachable.
""",
        confirm="""
$ ip -d link show DEV
$ ip route get REMOTE
"carrier" under TX rises:
$ ip -s -s link show DEV
""",
        fix=REMOTE_ROUTE,
        seen_as=("NOT_SPECIFIED",),
        seen_at=("ip_tunnel_xmit", "ip6_tnl_start_xmit", "ip6gre_tunnel_xmit", "vxlan_xmit_one"),
    ),
    Cause(
        id="tunnel.ecn",
        title="the inner and outer ECN bits contradict each other",
        why="""
The outer header says "congestion experienced", and the inner one that its sender does not understand ECN. The
mark cannot be passed on, and ignoring it would hide congestion, so RFC 6040 demands that the packet be
dropped. A tunnel entry that sets ECN bits it should not (it copies them wrongly, or the DSCP byte is
rewritten on the way) causes it.
""",
        confirm="""
$ tcpdump -vni DEV udp port DPORT
"tos 0x3,CE" outside and no ECT inside is it.
$ ip -s link show DEV
"rx errors" and "frame" rise.
""",
        fix=ECN,
        reasons=("IP_TUNNEL_ECN",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("vxlan_rcv", "ip_tunnel_rcv", "geneve_rx"),
    ),
    Cause(
        id="tunnel.loop",
        title="interfaces are stacked too deep, or in a loop",
        why="""
Sending through one virtual device led to another, and so on, until the kernel's limit for such nesting was
reached. As a rule the route to the remote end of a tunnel leads into the tunnel itself: the outer packet is
encapsulated again, for ever. The log says "Dead loop on virtual device".
""",
        confirm="""
$ dmesg | grep -i 'dead loop'
$ ip route get REMOTE
It must not name the tunnel itself.
""",
        fix=LOOP,
        reasons=("RECURSION_LIMIT",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("__dev_queue_xmit", "ip_tunnel_xmit", "iptunnel_xmit", "vxlan_xmit_one"),
    ),
)
