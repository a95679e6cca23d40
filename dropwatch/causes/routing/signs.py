"""Signs of routing: the reason and the function together, and the packet's own addresses."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from dropwatch.causes import kernel_word
from dropwatch.causes.discovery import asked_for_an_address_aside
from dropwatch.causes.membership import is_joined
from dropwatch.host.host import Host
from dropwatch.model.drop import Address, Drop, Evidence, Fix, Verdict

_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_LIMITED_BROADCAST = IPv4Address("255.255.255.255")
# A locally made packet passes one of these; in a softirq they stand further in than the receiving functions.
SENDING = frozenset(
    {
        "__ip_local_out",
        "__ip_queue_xmit",
        "ip6_local_out",
        "ip6_send_skb",
        "ip6_xmit",
        "ip_local_out",
        "ip_send_skb",
    }
)
_ROUTING_IPV4 = frozenset({"ip_rcv_finish_core"})
_CHECKING_IPV6 = frozenset({"ip6_rcv_core"})
_DELIVERING_IPV6 = frozenset({"ip6_input_finish", "ip6_protocol_deliver_rcu"})
_MULTICAST_ADDRESSES_ONLY_HERE = frozenset({0, 1})


def martian_source(drop: Drop, host: Host) -> Verdict | None:
    """The kernel refused the addresses, and the source is one that may not be a source."""
    wrong = _wrong_source(drop)
    if wrong is None:
        return None
    fact = Evidence("packet", f"source {drop.packet.saddr}: {wrong}")
    return _martian(drop, fact)


def martian_destination(drop: Drop, host: Host) -> Verdict | None:
    """The kernel refused the addresses, and the destination is one that may not be a destination."""
    wrong = _wrong_destination(drop)
    if wrong is None or _wrong_source(drop) is not None:
        return None
    fact = Evidence("packet", f"destination {drop.packet.daddr}: {wrong}")
    return _martian(drop, fact)


def _martian(drop: Drop, fact: Evidence) -> Verdict | None:
    if drop.reason == "IP_LOCALNET" or (
        drop.reason == "IP_INHDR" and kernel_word.place(drop) in _CHECKING_IPV6
    ):
        return kernel_word.certain(drop, fact)
    return kernel_word.likely(drop, fact) if _refused_by_routing(drop) else None


def ttl_expired(drop: Drop, host: Host) -> Verdict | None:
    """In the forwarding functions IP_INHDR means nothing else. Without reasons the packet's TTL is a strong hint."""
    if kernel_word.place(drop) not in {"ip_forward", "ip6_forward"}:
        return None
    ttl = drop.packet.ttl
    fact = Evidence(
        "packet", f"its TTL (hop limit) is {ttl}" if ttl is not None else "its TTL (hop limit) is used up"
    )
    if drop.reason == "IP_INHDR":
        return kernel_word.certain(drop, fact)
    if kernel_word.gave_no_reason(drop) and ttl is not None and ttl <= 1:
        return kernel_word.likely(drop, fact)
    return None


def blackhole(drop: Drop, host: Host) -> Verdict | None:
    """A received packet that ends in dst_discard: an IPv6 blackhole route. IPv4 ends those in ip_error."""
    if kernel_word.place(drop) not in {"dst_discard", "dst_discard_out"} or not kernel_word.gave_no_reason(
        drop
    ):
        return None
    if drop.packet.family != 6 or not (drop.event.skb_iif or kernel_word.way(drop).isdisjoint(SENDING)):
        return None
    return kernel_word.likely(
        drop,
        Evidence("place", "this function ends routes that discard; an interface that is down has it as well"),
    )


def multicast_not_joined(drop: Drop, host: Host) -> Verdict | None:
    """ip6_mc_input asks only for membership, and the delivery of IPv6 behind it also whether the sender is wanted;
    IPv4's routing asks for both, and for a valid source.
    """
    daddr, function = drop.packet.daddr, kernel_word.place(drop)
    if daddr is None or not daddr.is_multicast:
        return None
    fact = Evidence("packet", f"no program here has joined {daddr}")
    if function in _DELIVERING_IPV6 and drop.reason == "IP_INADDRERRORS":
        return _sender_not_wanted(drop)
    if function == "ip6_mc_input" and kernel_word.gave_no_reason(drop):
        return None if asked_for_an_address_aside(drop, host) else kernel_word.certain(drop, fact)
    if _refused_by_routing(drop) and _wrong_source(drop) is None and not is_joined(drop, host):
        return kernel_word.likely(drop, fact)
    return None


def _sender_not_wanted(drop: Drop) -> Verdict:
    """The group was joined, or it would not have come so far (ip6_mc_input)."""
    packet = drop.packet
    fact = (
        f"{packet.daddr} is joined here, but not for packets from {packet.saddr}: a program chose its "
        "sources (SSM)"
    )
    filters = Fix("see which sources are included (INC) and excluded (EXC)", "cat /proc/net/mcfilter6")
    join = Fix(
        f"have the program join the group for {packet.saddr} as well (MCAST_JOIN_SOURCE_GROUP), or for all"
    )
    title = "the multicast group is joined, but not for this sender"
    return replace(kernel_word.certain(drop, Evidence("place", fact)), title=title, fix=(filters, join))


def _refused_by_routing(drop: Drop) -> bool:
    """Refused by IPv4's routing without a reason: where ip_route_input_slow() (net/ipv4/route.c) gives none, the fate
    of every martian; where there are no reasons at all, also of packets that fail the reverse-path check.
    """
    return kernel_word.place(drop) in _ROUTING_IPV4 and kernel_word.gave_no_reason(drop)


def _wrong_source(drop: Drop) -> str | None:
    saddr = drop.packet.saddr
    if saddr is None:
        return None
    if saddr.is_loopback:
        return "a loopback address, on an interface that is not loopback"
    if saddr.is_multicast:
        return "a multicast address"
    if saddr == _LIMITED_BROADCAST:
        return "the broadcast address"
    if isinstance(saddr, IPv4Address) and saddr in _THIS_NETWORK and not _for_everybody(drop.packet.daddr):
        return "in 0.0.0.0/8"
    return None


def _wrong_destination(drop: Drop) -> str | None:
    daddr = drop.packet.daddr
    if daddr is None:
        return None
    if daddr.is_loopback:
        return "a loopback address, on an interface that is not loopback"
    if isinstance(daddr, IPv4Address):
        return "in 0.0.0.0/8" if daddr in _THIS_NETWORK else None
    if daddr.is_multicast and daddr.packed[1] & 0xF in _MULTICAST_ADDRESSES_ONLY_HERE:
        return "a multicast address that must not leave its host"
    return None


def _for_everybody(daddr: Address | None) -> bool:
    """Packets without an address of their own may be sent to everybody on the link: DHCP, IGMP."""
    return daddr is not None and (daddr == _LIMITED_BROADCAST or daddr.is_multicast)
