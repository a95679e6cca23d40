"""Routing, the addresses: who may be the source of a packet, and for whom it may be."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

NO_WAY_BACK = (
    Fix("see that there is no route back to the sender", "ip route get SADDR"),
    Fix("add a route to the source, best through DEV, where the packet came in"),
    Step(
        "or disable the check: loose mode does not help without any route",
        "sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.DEV.rp_filter=0",
        weakens="forged sources are accepted",
    ),
)

ADDRESSES = (
    Cause(
        id="routing.reverse-path",
        title="rp_filter: no route back through this interface",
        why="""
With rp_filter the kernel looks up the route to the packet's source before it accepts the packet. In strict
mode (1) that route must leave by the interface on which the packet came; in loose mode (2) there must be a
route at all. It protects against forged addresses, and it also drops packets where routing is asymmetric on
purpose: two uplinks, a VPN with policy routing, a router that replies on another path, a container or VRF
without a route for the source. The mode in force is the larger one of conf.all and conf.DEV. Packets out of
an IPsec tunnel are not checked.
""",
        confirm="""
Which mode is in force, and where does the route back lead?
$ sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.DEV.rp_filter
$ ip route get SADDR
$ nstat -az TcpExtIPReversePathFilter
""",
        fix=(
            Fix("see where the route back to the sender leads", "ip route get SADDR"),
            Step(
                "the same with the packet's mark, which is used if src_valid_mark is set",
                "ip route get SADDR mark PACKETMARK",
                fits=fits.marked,
            ),
            Fix("make routing symmetric: add a route to the source through DEV, where the packet came in"),
            Step(
                "with policy routing by mark, have the check use the mark too",
                "sysctl -w net.ipv4.conf.DEV.src_valid_mark=1",
                fits=fits.marked,
            ),
            Step(
                "use loose mode, if routing is meant to be asymmetric",
                "sysctl -w net.ipv4.conf.DEV.rp_filter=2",
                weakens="forged sources are accepted if there is any route to them",
            ),
        ),
        reasons=("IP_RPFILTER",),
        seen_at=("ip_rcv_finish_core", "fib_validate_source"),
    ),
    Cause(
        id="routing.martian-source",
        title="martian source: no packet may come from this address",
        why="""
The packet's source is an address that must not come in from a network: one of this host's own addresses,
127.0.0.0/8, a multicast or broadcast address, 0.0.0.0 outside of DHCP. Two hosts share an address, a frame of
this host came back (a loop, a mirror port, hairpin NAT that is missing), a DNAT to or from 127.0.0.1 without
route_localnet, or a forgery.
""",
        confirm="""
Have the kernel log them (they appear in the kernel log with interface and hardware header):
$ sysctl -w net.ipv4.conf.all.log_martians=1
$ dmesg -w | grep martian
Is the address one of ours?
$ ip addr show to SADDR
""",
        fix=(
            Fix("find the sender by its MAC address", "tcpdump -c 5 -eni DEV src host SADDR"),
            Step(
                "accept it, if it is an address of this host",
                "sysctl -w net.ipv4.conf.DEV.accept_local=1",
                fits=fits.both(fits.ipv4, fits.from_a_host),
                weakens="other hosts can pretend to be this host",
            ),
            Step(
                "accept 127.0.0.0/8 here, if that is meant (DNAT to localhost)",
                "sysctl -w net.ipv4.conf.DEV.route_localnet=1 net.ipv4.conf.DEV.accept_local=1",
                fits=fits.both(fits.ipv4, fits.from_loopback),
                weakens="the network can reach what listens on localhost only",
            ),
        ),
        reasons=("IP_LOCAL_SOURCE", "IP_INVALID_SOURCE"),
        seen_as=("IP_LOCALNET", "IP_INHDR", "NOT_SPECIFIED"),
        seen_at=("ip_rcv_finish_core", "ip6_rcv_core", "fib_validate_source"),
    ),
    Cause(
        id="routing.martian-destination",
        title="martian destination: no packet may go to this address",
        why="""
The packet is addressed to something that is no destination on a network: 0.0.0.0, 127.0.0.0/8 or ::1 from
outside, the broadcast address of a network that is not ours, an interface-local multicast group. Mostly a
wrong DNAT (to 127.0.0.1 without route_localnet), a typing error in a route or a load balancer, or a probe.
""",
        confirm="""
$ ip route get DADDR from SADDR iif DEV
$ nft list ruleset | grep dnat
$ iptables-save -t nat | grep DNAT
""",
        fix=(
            Step("see how the kernel routes the address", "ip route get DADDR from SADDR iif DEV"),
            Step(
                "enable route_localnet, if it is a DNAT to localhost",
                "sysctl -w net.ipv4.conf.DEV.route_localnet=1",
                fits=fits.both(fits.ipv4, fits.to_loopback),
                weakens="the network can reach what listens on localhost only",
            ),
        ),
        reasons=("IP_INVALID_DEST",),
        seen_as=("IP_LOCALNET", "IP_INHDR", "NOT_SPECIFIED"),
        seen_at=("ip_rcv_finish_core", "ip6_rcv_core", "ip_route_input_slow"),
    ),
    Cause(
        id="routing.not-for-us",
        title="the frame is for another MAC address",
        why="""
The hardware destination of the frame is not that of the interface it came in on. A network card normally
filters such frames; they are seen while the interface is promiscuous (a sniffer, a bridge, a virtual switch),
or where a switch floods frames because it does not know the address. If it is unicast that this host should
get, the sender has a wrong or old ARP entry for this host. Another reason: the frame has a VLAN tag and no
VLAN interface for it exists on this host.
""",
        confirm="""
Compare the destination MAC with ours, and look for a VLAN tag:
$ tcpdump -eni DEV host DADDR
$ ip -d link show DEV
A newer kernel counts them:
$ ip -s -s link show DEV
""",
        fix=(
            Fix("see the frames", "tcpdump -c 5 -eni DEV host DADDR"),
            Fix(
                "add a VLAN interface, if they have a VLAN tag",
                "ip link add link DEV name DEV.VID type vlan id VID",
            ),
            Step("on the sender, flush its ARP entry", "ip neigh flush to DADDR", elsewhere=True),
        ),
        seen_as=("OTHERHOST",),
        seen_at=("ip_rcv_core", "ip6_rcv_core"),
    ),
    Cause(
        id="routing.unicast-in-multicast-frame",
        title="a unicast packet in a multicast or broadcast frame",
        why="""
The IP destination is a single host, but the frame was sent to a broadcast or multicast hardware address, and
drop_unicast_in_l2_multicast is on for the interface. It keeps stations of a Wi-Fi network from attacking each
other with the group key. Cluster software that shares one multicast MAC among several nodes needs it off.
""",
        confirm="""
$ tcpdump -eni DEV 'ether multicast and not ip multicast and not ip6 multicast'
$ sysctl net.ipv4.conf.all.drop_unicast_in_l2_multicast net.ipv4.conf.DEV.drop_unicast_in_l2_multicast
""",
        fix=(
            Fix("see who sends them", "tcpdump -c 5 -eni DEV 'ether multicast and not ip multicast'"),
            Step(
                "accept such packets here",
                "sysctl -w net.ipv4.conf.all.drop_unicast_in_l2_multicast=0 "
                "net.ipv4.conf.DEV.drop_unicast_in_l2_multicast=0",
                fits=fits.ipv4,
                weakens="Wi-Fi stations can attack each other with the group key",
            ),
            Step(
                "accept such packets here",
                "sysctl -w net.ipv6.conf.DEV.drop_unicast_in_l2_multicast=0",
                fits=fits.ipv6,
                weakens="Wi-Fi stations can attack each other with the group key",
            ),
        ),
        reasons=("UNICAST_IN_L2_MULTICAST",),
        seen_at=("ip_rcv_finish_core", "ip6_rcv_core"),
    ),
    Cause(
        id="routing.multicast-not-joined",
        title="no program has joined this multicast group here",
        why="""
A program must join a multicast group on an interface before its packets are accepted there. No program has
joined this one, or it joined on another interface: without an explicit interface the kernel takes the one
with the route for 224.0.0.0/4 (or the default route), which on a host with several interfaces is often the
wrong one. Switches without IGMP snooping also flood packets to groups that no host has joined.
""",
        confirm="""
$ ip maddr show dev DEV
$ ip route get DADDR
$ cat /proc/net/igmp
""",
        fix=(
            Step(
                "have the program join on DEV: IP_ADD_MEMBERSHIP with its address or index",
                fits=fits.ipv4,
            ),
            Step("have the program join on DEV: IPV6_JOIN_GROUP with its index", fits=fits.ipv6),
            Fix(
                "a program that chooses no interface joins on that of the route for the group",
                "ip route get DADDR",
            ),
            Step(
                "or have the kernel join, for as long as the address exists",
                "ip address add DADDR/32 dev DEV autojoin",
                fits=fits.ipv4,
            ),
            Step(
                "or have the kernel join, for as long as the address exists",
                "ip address add DADDR/128 dev DEV autojoin",
                fits=fits.ipv6,
            ),
            Fix("list the joined groups", "ip maddr show"),
        ),
        seen_as=("IP_INADDRERRORS", "NOT_SPECIFIED"),
        seen_at=("ip_rcv_finish_core", "ip6_mc_input", "ip6_protocol_deliver_rcu", "ip6_input_finish"),
    ),
    Cause(
        id="routing.source-route",
        title="source routing is not accepted here",
        why="""
The packet has an IPv4 source-route option, or an IPv6 routing header: the sender wants to choose the path.
Hosts refuse that by default, because it can be used to get around filters. Segment routing (SRv6) needs it
and has a switch of its own.
""",
        confirm="""
$ tcpdump -vni DEV 'ip[0] & 0xf > 5 or ip6[6] = 43'
$ sysctl net.ipv4.conf.DEV.accept_source_route net.ipv6.conf.DEV.accept_source_route net.ipv6.conf.DEV.seg6_enabled
""",
        fix=(
            Fix("see who sends it", "tcpdump -c 5 -vni DEV 'ip[0] & 0xf > 5 or ip6[6] = 43'"),
            Step(
                "accept segment routing",
                "sysctl -w net.ipv6.conf.all.seg6_enabled=1 net.ipv6.conf.DEV.seg6_enabled=1",
                fits=fits.ipv6,
                weakens="senders choose the path, and can bypass filters",
            ),
            Step(
                "accept source routing",
                "sysctl -w net.ipv4.conf.all.accept_source_route=1 net.ipv4.conf.DEV.accept_source_route=1",
                fits=fits.ipv4,
                weakens="senders choose the path, and can bypass filters",
            ),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("ip_rcv_finish_core", "ipv6_rthdr_rcv", "ipv6_srh_rcv"),
    ),
    Cause(
        id="routing.address-elsewhere",
        title="the routing table here lacks this address of the host",
        why="""
What comes in through an interface of a VRF is looked up in that VRF's table. Where the rule for the local table of
all others stands behind that for VRFs (as `ip vrf` has it), or another rule leads past it, the packet may be for
addresses of that VRF only. The address is one of this host, but outside of that table: in another VRF, or in none. So
the packet is not delivered, and as this host does not forward there either, it is dropped.
""",
        confirm="""
$ ip addr show to DADDR
$ ip route get DADDR from SADDR iif DEV
$ ip vrf show; ip rule
""",
        fix=(
            Fix("ask the kernel for the route", "ip route get DADDR from SADDR iif DEV"),
            Fix(
                "add the address to an interface of the VRF that the packets come in through, or send them "
                "to one that it has"
            ),
        ),
        seen_as=("IP_INADDRERRORS",),
        seen_at=("ip_error", "ip6_forward"),
    ),
    Cause(
        id="routing.address-gone",
        title="the destination address is not usable on this host",
        why="""
The address was removed from the interface while packets for it were on their way, or an IPv6 address is still
tentative: duplicate address detection has not finished, or has found that somebody else has the address
(dadfailed). Until then the host does not answer for it.
""",
        confirm="""
$ ip addr show to DADDR
$ ip -6 addr show tentative
$ ip -ts monitor address
""",
        fix=(
            Fix("check that the address is there and usable", "ip addr show to DADDR"),
            Step(
                "disable duplicate address detection: new addresses are then usable at once",
                "sysctl -w net.ipv6.conf.DEV.accept_dad=0",
                fits=fits.ipv6,
                weakens="nothing detects another host with the same address",
            ),
        ),
        seen_as=("IP_INADDRERRORS", "IP_INNOROUTES", "NOT_SPECIFIED", "NO_SOCKET"),
        seen_at=("ip_error", "ip6_pkt_drop", "ndisc_recv_ns"),
    ),
)
