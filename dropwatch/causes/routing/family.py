"""The judge of routing."""

from dropwatch.causes.family import Family, Judgement, in_order
from dropwatch.causes.routing import signs
from dropwatch.causes.routing.addresses import ADDRESSES
from dropwatch.causes.routing.not_local import not_local
from dropwatch.causes.routing.paths import PATHS
from dropwatch.causes.when import NONE_GIVEN, when
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop

_OTHERS = in_order(
    ("routing.reverse-path", signs.reverse_path),
    ("routing.martian-source", signs.martian_source),
    ("routing.martian-destination", signs.martian_destination),
    (
        "routing.not-for-us",
        when(
            reasons=("OTHERHOST",),
            confidence="likely",
            fact="a frame with a VLAN tag that nothing here takes is marked in the same way",
        ),
    ),
    ("routing.multicast-not-joined", signs.multicast_not_joined),
    (
        "routing.prohibit",
        when(
            at=("ip6_pkt_drop",),
            through=("ip6_pkt_prohibit", "ip6_pkt_prohibit_out"),
            fact="the function that ends IPv6 routes of type prohibit",
        ),
    ),
    (
        "routing.prohibit",
        when(
            at=("ip6_pkt_prohibit", "ip6_pkt_prohibit_out"),
            fact="the function that ends IPv6 routes of type prohibit",
        ),
    ),
    ("routing.blackhole", signs.blackhole),
    (
        "routing.no-route-in",
        when(
            reasons=("IP_INNOROUTES",),
            at=("ip_error", "ip6_pkt_drop", "ip6_pkt_discard"),
            confidence="likely",
            fact="no usable route was found; one that says unreachable (IPv6: or prohibit) gives the same answer",
        ),
    ),
    (
        "routing.no-route-out",
        when(
            reasons=("IP_OUTNOROUTES",),
            at=("ip6_pkt_drop", "ip6_pkt_discard_out"),
            confidence="likely",
            fact="the lookup failed; a route that forbids the destination, or IPsec policy, gives the same answer",
        ),
    ),
    (
        "routing.no-route-out",
        when(
            reasons=("IP_OUTNOROUTES", NONE_GIVEN),
            at=("__ip_queue_xmit", "inet6_csk_xmit"),
            confidence="likely",
            fact="the lookup failed before there was an IP header: the addresses are its socket's; a route that"
            " forbids the destination, or IPsec policy, gives the same answer",
        ),
    ),
    ("routing.ttl-expired", signs.ttl_expired),
    ("routing.too-big", signs.too_big),
)


def _judge(drop: Drop, host: Host) -> Judgement | None:
    return not_local(drop, host) or _OTHERS(drop, host)


ROUTING = Family("routing", (*ADDRESSES, *PATHS), _judge)
