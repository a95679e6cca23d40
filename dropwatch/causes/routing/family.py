"""The judge of routing."""

from dropwatch.causes.device import stacked_signs, virtual_signs
from dropwatch.causes.family import Family, Judgement, in_order
from dropwatch.causes.routing import mpls, multicast, segments, signs, way_back
from dropwatch.causes.routing.addresses import ADDRESSES
from dropwatch.causes.routing.localnet import LOCALNET, route_localnet
from dropwatch.causes.routing.mpls import MPLS
from dropwatch.causes.routing.multicast import MULTICAST
from dropwatch.causes.routing.not_local import not_local
from dropwatch.causes.routing.paths import PATHS
from dropwatch.causes.routing.refused import refused
from dropwatch.causes.routing.segments import SEGMENTS
from dropwatch.causes.routing.too_big import not_cut, too_big
from dropwatch.causes.when import NONE_GIVEN, when
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop

_OTHERS = in_order(
    ("routing.route-localnet", route_localnet),
    ("routing.martian-source", signs.martian_source),
    ("routing.martian-destination", signs.martian_destination),
    ("routing.reverse-path", way_back.reverse_path),
    ("routing.source-route", segments.not_accepted),
    ("routing.source-route", way_back.source_route),
    ("device.macvlan-no-match", stacked_signs.down),
    ("device.vlan-unknown", virtual_signs.tag_of_nobody),
    (
        "routing.not-for-us",
        when(
            reasons=("OTHERHOST",),
            confidence="likely",
            fact="a frame with a VLAN tag that no interface here has is marked in the same way",
        ),
    ),
    ("routing.multicast-not-joined", signs.multicast_not_joined),
    (
        "routing.prohibit",
        when(
            at=("ip6_pkt_drop",),
            through=("ip6_pkt_prohibit", "ip6_pkt_prohibit_out"),
            fact="this function ends IPv6 routes of type prohibit",
        ),
    ),
    (
        "routing.prohibit",
        when(
            at=("ip6_pkt_prohibit", "ip6_pkt_prohibit_out"),
            fact="this function ends IPv6 routes of type prohibit",
        ),
    ),
    ("routing.blackhole", signs.blackhole),
    (
        "routing.no-route-in",
        when(
            reasons=("IP_INNOROUTES",),
            at=("ip_error", "ip6_pkt_drop", "ip6_pkt_discard"),
            confidence="likely",
            fact="no usable route was found; a route of type unreachable (IPv6: or prohibit) has the same effect",
        ),
    ),
    (
        "routing.no-route-out",
        when(
            reasons=("IP_OUTNOROUTES",),
            at=("ip6_pkt_drop", "ip6_pkt_discard_out"),
            confidence="likely",
            fact="the lookup failed; a route that forbids the destination, or an IPsec policy, has the same effect",
        ),
    ),
    (
        "routing.no-route-out",
        when(
            reasons=("IP_OUTNOROUTES", NONE_GIVEN),
            at=("__ip_queue_xmit", "inet6_csk_xmit"),
            confidence="likely",
            fact="the lookup failed before an IP header existed, so the addresses are those of the socket; a "
            "route that forbids the destination, or an IPsec policy, has the same effect",
        ),
    ),
    ("routing.ttl-expired", signs.ttl_expired),
    ("routing.too-big", too_big),
    ("routing.too-big", not_cut),
    ("routing.mpls-input-off", mpls.input_off),
    ("routing.mpls-no-route", mpls.no_route),
    ("routing.mpls-ttl-expired", mpls.ttl_expired),
    ("routing.mpls-too-big", mpls.too_big),
    ("routing.mpls-not-sent", mpls.not_sent),
    ("routing.multicast-unresolved", multicast.unresolved),
    ("routing.multicast-not-routed-here", multicast.not_routed_here),
    ("routing.multicast-wrong-interface", multicast.wrong_interface),
    ("routing.multicast-no-output", multicast.no_output),
    ("routing.srv6-action", segments.other_action),
    ("routing.srv6-no-vrf", segments.no_vrf),
)


def _judge(drop: Drop, host: Host) -> Judgement | None:
    return not_local(drop, host) or refused(drop, host) or _OTHERS(drop, host)


ROUTING = Family("routing", (*ADDRESSES, *PATHS, LOCALNET, *MPLS, *MULTICAST, *SEGMENTS), _judge)
