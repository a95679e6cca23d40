"""IPv6: switched off, neighbour discovery that cannot be genuine, packets without a source."""

from dropwatch.causes import kernel_word
from dropwatch.causes.cause import Cause
from dropwatch.causes.family import Family, in_order
from dropwatch.causes.when import when
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict

_NDP = frozenset(range(133, 138))

_CAUSES = (
    Cause(
        id="ipv6.disabled",
        title="IPv6 is switched off on the interface",
        why="""
disable_ipv6 is set for the interface on which the packet came in or should go out. It was set by hand, by a
VPN client that is afraid of leaks, by the default of a container runtime, or by NetworkManager
(ipv6.method=disabled). Setting it for "all" changes every interface at that moment; interfaces that are made
later take the value of "default".
""",
        confirm="""
$ sysctl net.ipv6.conf.DEV.disable_ipv6 net.ipv6.conf.all.disable_ipv6 net.ipv6.conf.default.disable_ipv6
$ ip -6 addr show dev DEV
$ nstat -az Ip6InDiscards
""",
        fix=(
            Fix("switch it on for this interface", "sysctl -w net.ipv6.conf.DEV.disable_ipv6=0"),
            Fix(
                "find what switched it off",
                "grep -rs disable_ipv6 /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d",
            ),
        ),
        reasons=("IPV6DISABLED",),
        seen_at=("ip6_rcv_core", "ip6_output"),
    ),
    Cause(
        id="ipv6.ndp-invalid",
        title="an invalid neighbour discovery message",
        why="""
Neighbour discovery must come from the same link: it is sent with hop limit 255 and must arrive with it. A
lower value means that a router forwarded it, so it was forged or badly proxied. The code must be zero, the
options well-formed, and the message must not be fragmented. What fails is dropped in silence, and the
neighbour is not resolved, or the router not accepted.
""",
        confirm="""
$ tcpdump -vvni DEV 'icmp6 and ip6[40] >= 133 and ip6[40] <= 137'
$ nstat -az Icmp6InErrors
""",
        fix=(
            Fix("see the message and who sends it", "tcpdump -c 5 -evvni DEV 'icmp6 and host SADDR'"),
            Fix("NDP proxies must send the messages anew, not forward them: ndppd, or ip -6 neigh add proxy"),
        ),
        reasons=("IPV6_NDISC_FRAG", "IPV6_NDISC_HOP_LIMIT", "IPV6_NDISC_BAD_CODE", "IPV6_NDISC_BAD_OPTIONS"),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("ndisc_rcv", "ndisc_recv_ns", "ndisc_recv_na", "ndisc_router_discovery", "icmpv6_rcv"),
    ),
    Cause(
        id="ipv6.unspecified-source",
        title="the packet has no source address (::) and cannot be forwarded",
        why="""
Only duplicate address detection and a few multicast messages may use the unspecified address as their source,
and they never leave their link. A router must not forward such a packet, whatever its routes say. Usually a
host that sends before it has an address, or a program that builds packets.
""",
        confirm="""
$ tcpdump -eni DEV 'ip6 src ::'
$ nstat -az Ip6InAddrErrors
""",
        fix=(Fix("find the sender by its hardware address", "tcpdump -c 5 -eni DEV 'ip6 src ::'"),),
        seen_as=("IP_INADDRERRORS",),
        seen_at=("ip6_forward",),
    ),
)


def _ndp_through_a_router(drop: Drop, host: Host) -> Verdict | None:
    """Before 6.3 the kernel gives no reason, but ndisc_rcv() never takes a hop limit other than 255, or a code
    (net/ipv6/ndisc.c).
    """
    packet = drop.packet
    if kernel_word.place(drop) != "icmpv6_rcv" or packet.icmp_type not in _NDP or packet.proto != "icmp6":
        return None
    if not kernel_word.gave_no_reason(drop) or (packet.ttl == 255 and packet.icmp_code == 0):
        return None
    fact = Evidence(
        "packet", f"hop limit {packet.ttl} and code {packet.icmp_code}: only 255 and 0 are accepted"
    )
    # Without reasons a wrong checksum dies at the same place.
    return kernel_word.likely(drop, fact) if drop.reason is None else kernel_word.certain(drop, fact)


IPV6 = Family(
    "ipv6",
    _CAUSES,
    in_order(
        ("ipv6.ndp-invalid", _ndp_through_a_router),
        (
            "ipv6.unspecified-source",
            when(
                reasons=("IP_INADDRERRORS",),
                at=("ip6_forward",),
                packet=lambda packet: packet.saddr is not None and packet.saddr.is_unspecified,
                confidence="likely",
                fact="the source is ::, which is never forwarded; with forwarding off the answer would be the same",
            ),
        ),
    ),
)
