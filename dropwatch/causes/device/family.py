"""The judge of devices and bridges."""

from dropwatch.causes.device import (
    bridge_output,
    bridge_signs,
    stacked_signs,
    unhandled,
    virtual_signs,
    written_signs,
)
from dropwatch.causes.device.bridge import BRIDGE
from dropwatch.causes.device.interfaces import INTERFACES
from dropwatch.causes.family import Family, Judgement, in_order
from dropwatch.causes.when import NONE_GIVEN, when
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop

_ENTERING = in_order(
    (
        "device.down",
        when(
            reasons=("DEV_READY",),
            at=("enqueue_to_backlog", "flush_backlog", "tun_get_user", "vlan_do_receive", "vxlan_rcv"),
        ),
    ),
    (
        "device.down",
        when(
            reasons=(NONE_GIVEN,),
            at=("vlan_do_receive",),
            confidence="likely",
            fact="the interface of this VLAN is down: for nothing else but a lack of memory this function drops",
        ),
    ),
    ("device.tun-full", when(reasons=("FULL_RING",), at=("tun_net_xmit", "tap_handle_frame"))),
    ("device.tun-no-reader", when(reasons=("DEV_READY",), at=("tun_net_xmit",))),
    ("device.virtio-header", when(reasons=("DEV_HDR",), at=("tap_get_user",))),
    ("device.tun-not-ip", written_signs.not_ip),
    ("device.virtio-header", written_signs.virtio_header),
    (
        "device.queue-gone",
        when(
            reasons=(NONE_GIVEN, "QUEUE_PURGE"),
            at=("tun_queue_purge",),
            fact="the program closed the tun or tap device with packets in its queue",
        ),
    ),
    ("device.bond-inactive", unhandled.bond_inactive),
    ("device.team-inactive", unhandled.team_inactive),
    ("device.unhandled-protocol", unhandled.unhandled_protocol),
    ("device.bridge-vlan-filter", bridge_signs.not_for_the_host),
    ("device.macvlan-no-match", stacked_signs.passthru_down),
    ("device.macvlan-broadcast-full", virtual_signs.broadcasts_of_macvlan),
    ("device.ipvlan-multicast-full", virtual_signs.groups_of_ipvlan),
    ("device.bridge-pause-frame", bridge_signs.pause_frame),
    ("device.mac-source-invalid", bridge_signs.no_sender),
    ("device.bridge-locked", bridge_signs.locked),
    ("device.bridge-stp", bridge_signs.not_forwarding),
    ("device.bridge-vlan-filter", bridge_signs.vlan_refused),
)
_LEAVING = in_order(
    ("device.veth-peer-down", virtual_signs.peer_down),
    ("device.too-big-for-peer", virtual_signs.peer_too_small),
    ("device.too-big-for-port", bridge_output.too_big),
    ("device.bridge-vlan-filter", bridge_output.vlan_egress),
    ("device.bridge-no-port", bridge_output.no_port),
)


def _judge(drop: Drop, host: Host) -> Judgement | None:
    return _ENTERING(drop, host) or bridge_output.not_let_out(drop, host) or _LEAVING(drop, host)


DEVICE = Family("device", (*INTERFACES, *BRIDGE), _judge)
