"""IPv6: switched off, neighbour discovery that cannot be genuine, packets without a source."""

from dropwatch.causes import discovery, kernel_word, pinned
from dropwatch.causes.cause import Cause
from dropwatch.causes.family import Family, in_order
from dropwatch.causes.when import NONE_GIVEN, when
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict

_CAUSES = (
    Cause(
        id="ipv6.disabled",
        title="IPv6 is disabled on the interface",
        why="""
disable_ipv6 is set for the interface on which the packet came in or should go out. It was set by hand, by a
VPN client that prevents leaks, by the default of a container runtime, or by NetworkManager
(ipv6.method=disabled). Setting it for "all" changes every interface at that moment; interfaces that are made
later take the value of "default".
""",
        confirm="""
$ sysctl net.ipv6.conf.DEV.disable_ipv6 net.ipv6.conf.all.disable_ipv6 net.ipv6.conf.default.disable_ipv6
$ ip -6 addr show dev DEV
$ nstat -az Ip6InDiscards
""",
        fix=(
            Fix("enable it on this interface", "sysctl -w net.ipv6.conf.DEV.disable_ipv6=0"),
            Fix(
                "find what disabled it",
                "grep -rs disable_ipv6 /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d",
            ),
        ),
        reasons=("IPV6DISABLED",),
        seen_at=("ip6_rcv_core", "ip6_output"),
    ),
    Cause(
        id="ipv6.mtu-too-small",
        title="no IPv6 on the interface: its MTU is too small for it",
        why="""
Each link must carry IPv6 packets of 1280 bytes. When the MTU of an interface is set to less, the kernel takes
IPv6 off it, with all its addresses and routes, and drops what comes in, without saying why. When the MTU is large
enough again, link-local and automatic addresses come back, others do not.
""",
        confirm="""
$ ip link show DEV
$ ip -6 addr show dev DEV
There is no net.ipv6.conf for the interface while it has no IPv6:
$ sysctl net.ipv6.conf.DEV.mtu
""",
        fix=(
            Fix("set an MTU that IPv6 can use", "ip link set dev DEV mtu 1280"),
            Fix(
                "and add its addresses and routes again", "ip -6 addr show dev DEV; ip -6 route show dev DEV"
            ),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("ip6_rcv_core",),
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
            Fix(
                "NDP proxies must send their own messages, not forward these: use ndppd, or ip -6 neigh add proxy"
            ),
        ),
        reasons=("IPV6_NDISC_FRAG", "IPV6_NDISC_HOP_LIMIT", "IPV6_NDISC_BAD_CODE", "IPV6_NDISC_BAD_OPTIONS"),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("ndisc_rcv", "ndisc_recv_ns", "ndisc_recv_na", "ndisc_router_discovery", "icmpv6_rcv"),
    ),
    Cause(
        id="ipv6.message-refused",
        title="this interface does not accept this discovery message",
        why="""
The message is sound, and a setting has the kernel ignore it: router advertisements with accept_ra = 0, or on an
interface that forwards unless accept_ra is 2; redirects with accept_redirects = 0 or on one that forwards;
advertisements that nobody asked for with drop_unsolicited_na. A solicitation for an address that is still
tentative is not answered, and an advertisement of an address of this very host means that two hosts have it.
Since 6.3 the kernel frees a router advertisement that it does not accept as consumed, and whydrop cannot see it.
""",
        confirm="""
$ sysctl net.ipv6.conf.DEV.accept_ra net.ipv6.conf.DEV.forwarding net.ipv6.conf.DEV.accept_redirects
$ ip -6 addr show dev DEV tentative
$ ip -6 route show
""",
        fix=(
            Fix("see what the interface accepts", "ip -6 -d addr show dev DEV"),
            Fix("see the message and who sends it", "tcpdump -c 5 -evvni DEV 'icmp6 and host SADDR'"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("icmpv6_rcv",),
    ),
    Cause(
        id="ipv6.unspecified-source",
        title="no source address (::), so it cannot be forwarded",
        why="""
Only duplicate address detection and a few multicast messages may use the unspecified address as their source,
and they never leave their link. A router must not forward such a packet, whatever its routes say. Usually a
host that sends before it has an address, or a program that builds packets.
""",
        confirm="""
$ tcpdump -eni DEV 'ip6 src ::'
$ nstat -az Ip6InAddrErrors
""",
        fix=(Fix("find the sender by its MAC address", "tcpdump -c 5 -eni DEV 'ip6 src ::'"),),
        seen_as=("IP_INADDRERRORS",),
        seen_at=("ip6_forward",),
    ),
)

_SMALLEST_MTU = 1280  # IPV6_MIN_MTU, RFC 8200, 5


def _mtu_too_small(drop: Drop, host: Host) -> Verdict | None:
    """ip6_rcv_core gives no reason where the interface has no IPv6 at all."""
    device = drop.iface.name if drop.iface is not None else None
    if not kernel_word.gave_no_reason(drop) or kernel_word.place(drop) != "ip6_rcv_core" or device is None:
        return None
    mtu = host.mtu(drop.event.netns, device, drop.event.monotonic_ns)
    if mtu is None or mtu >= _SMALLEST_MTU:
        return None
    fact = Evidence(
        "netlink link", f"after the drop: the MTU of {device} is {mtu}; IPv6 requires {_SMALLEST_MTU}"
    )
    changed = pinned.doubts(drop, host, pinned.Source("links", None))
    return kernel_word.likely(drop, fact, *changed) if changed else kernel_word.certain(drop, fact)


IPV6 = Family(
    "ipv6",
    _CAUSES,
    in_order(
        ("ipv6.mtu-too-small", _mtu_too_small),
        ("ipv6.ndp-invalid", discovery.invalid),
        ("ipv6.message-refused", discovery.asked_in_vain),
        ("ipv6.message-refused", discovery.refused),
        (
            "ipv6.unspecified-source",
            when(
                reasons=("IP_INADDRERRORS", NONE_GIVEN),
                at=("ip6_forward",),
                packet=lambda packet: packet.saddr is not None and packet.saddr.is_unspecified,
                confidence="likely",
                fact="the source is ::, which is never forwarded; with forwarding disabled the result is the same",
            ),
        ),
    ),
)
