"""The judge of tunnels."""

from dropwatch.causes.family import Family, in_order
from dropwatch.causes.tunnel import (
    ecn_signs,
    geneve_signs,
    ip_signs,
    l2tp,
    netkit,
    route_signs,
    vxlan_signs,
    wireguard_signs,
)
from dropwatch.causes.tunnel.encapsulation import ENCAPSULATION
from dropwatch.causes.tunnel.l2tp import L2TP
from dropwatch.causes.tunnel.netkit import NETKIT
from dropwatch.causes.tunnel.overlay import OVERLAY
from dropwatch.causes.tunnel.wireguard import WIREGUARD
from dropwatch.causes.when import when

TUNNEL = Family(
    "tunnel",
    (*OVERLAY, *ENCAPSULATION, *L2TP, *NETKIT, *WIREGUARD),
    in_order(
        ("tunnel.no-remote", vxlan_signs.no_remote),
        ("tunnel.no-remote", when(reasons=("NO_TX_TARGET",), at=vxlan_signs.XMIT)),
        ("tunnel.no-metadata", vxlan_signs.no_metadata),
        ("tunnel.vxlan-header", vxlan_signs.no_flag),
        ("device.down", vxlan_signs.down),
        ("tunnel.vxlan-unknown-vni", vxlan_signs.unknown_vni),
        ("tunnel.vxlan-header", vxlan_signs.extension),
        ("tunnel.own-mac", vxlan_signs.own_mac),
        ("tunnel.vxlan-static-entry", vxlan_signs.fixed_elsewhere),
        ("device.down", geneve_signs.down),
        ("tunnel.geneve-unknown-vni", geneve_signs.unknown),
        ("device.down", ip_signs.down),
        ("tunnel.gre-key-mismatch", ip_signs.other_key),
        ("tunnel.unknown-peer", ip_signs.unknown_peer),
        ("tunnel.unknown-peer", ip_signs.taken_by_nobody),
        ("tunnel.gre-options", ip_signs.options),
        ("tunnel.gre-options", ip_signs.out_of_order),
        ("tunnel.ecn", ecn_signs.contradicting),
        ("tunnel.no-route", route_signs.no_route),
        ("tunnel.loop", route_signs.through_itself),
        ("device.down", l2tp.down),
        ("tunnel.l2tp-unknown-session", l2tp.unknown_session),
        ("tunnel.l2tp-cookie", l2tp.wrong_cookie),
        ("tunnel.netkit", netkit.not_passed_on),
        ("tunnel.wireguard-allowed-ips", wireguard_signs.source_not_allowed),
        ("tunnel.wireguard-allowed-ips", wireguard_signs.not_allowed),
        ("tunnel.wireguard-no-endpoint", wireguard_signs.no_endpoint),
        ("tunnel.wireguard-no-handshake", wireguard_signs.no_handshake),
    ),
)
