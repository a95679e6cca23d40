"""The judge of devices and bridges."""

from dropwatch.causes.device import bridge_signs, unhandled
from dropwatch.causes.device.bridge import BRIDGE, FLOODING
from dropwatch.causes.device.interfaces import INTERFACES
from dropwatch.causes.family import Family, in_order
from dropwatch.causes.when import NONE_GIVEN, when

DEVICE = Family(
    "device",
    (*INTERFACES, *BRIDGE),
    in_order(
        (
            "device.down",
            when(
                reasons=("DEV_READY",),
                at=("enqueue_to_backlog", "flush_backlog", "tun_get_user", "vxlan_rcv"),
            ),
        ),
        ("device.tun-full", when(reasons=("FULL_RING",), at=("tun_net_xmit", "tap_handle_frame"))),
        ("device.tun-no-reader", when(reasons=("DEV_READY",), at=("tun_net_xmit",))),
        (
            "device.queue-gone",
            when(
                reasons=(NONE_GIVEN, "QUEUE_PURGE"),
                at=("tun_queue_purge",),
                fact="the program that reads the tun or tap device has closed it, with packets in its queue",
            ),
        ),
        ("device.bond-inactive", unhandled.bond_inactive),
        ("device.team-inactive", unhandled.team_inactive),
        ("device.unhandled-protocol", unhandled.unhandled_protocol),
        (
            "device.bridge-vlan-filter",
            when(
                reasons=(NONE_GIVEN,),
                at=("br_pass_frame_up",),
                fact="the bridge interface itself is not in the VLAN of the frame",
            ),
        ),
        ("device.bridge-vlan-filter", bridge_signs.vlan_refused),
        (
            "device.bridge-vlan-filter",
            when(
                reasons=(NONE_GIVEN,),
                at=("br_handle_vlan",),
                confidence="likely",
                fact="the function that prepares the VLAN tag for the outgoing port",
            ),
        ),
        ("device.bridge-no-port", when(reasons=("NO_TX_TARGET",), at=FLOODING)),
        (
            "device.bridge-no-port",
            when(
                reasons=(NONE_GIVEN,),
                at=FLOODING,
                confidence="likely",
                fact="the function that sends a frame to all ports; no memory for the copies is the other reason",
            ),
        ),
    ),
)
