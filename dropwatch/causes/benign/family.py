"""The judge of frees that look like drops and lose nobody anything."""

from dropwatch.causes import discovery
from dropwatch.causes.benign import multicast_signs, signs
from dropwatch.causes.benign.buffers import BUFFERS
from dropwatch.causes.benign.causes import BENIGN_CAUSES
from dropwatch.causes.family import Family, in_order

BENIGN = Family(
    "benign",
    (*BENIGN_CAUSES, *BUFFERS),
    in_order(
        ("benign.socket-close", signs.socket_close),
        ("benign.tap-copy", signs.tap_copy),
        ("benign.unix-socket", signs.unix_socket),
        ("benign.nat-keepalive", signs.nat_keepalive),
        ("benign.neighbour-probe", discovery.answered),
        ("benign.router-advertisement-ignored", discovery.ignored_by_router),
        ("benign.icmp6-handled", signs.icmp6_handled),
        ("benign.own-copy", multicast_signs.own_copy),
        ("benign.bridge-flood", signs.bridge_flood),
        ("benign.multicast-noise", multicast_signs.multicast_noise),
        ("benign.multicast-noise", multicast_signs.dhcp_broadcast),
        ("benign.multicast-noise", multicast_signs.kept_in),
        ("benign.multicast-noise", multicast_signs.message_of_switches),
        ("benign.route-lookup", signs.route_lookup),
        ("benign.echo-reply", signs.echo_reply),
        ("benign.told-before", signs.told_before),
        ("benign.empty-buffer", signs.empty_buffer),
        ("benign.fragment-list", signs.fragment_list),
        ("benign.tcp-late-reset", signs.late_reset),
        ("benign.ack-consumed", signs.ack_consumed),
        ("benign.tcp-time-wait", signs.time_wait),
        ("benign.tcp-time-wait", signs.closed),
        ("benign.tcp-handshake-done", signs.handshake_done),
    ),
)
