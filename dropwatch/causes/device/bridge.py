"""Bridges: ports that do not forward, VLANs that are not allowed, frames with nowhere to go."""

from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

FLOODING = ("br_flood", "br_multicast_flood")
INGRESS_VLAN = ("__allowed_ingress", "br_allowed_ingress")
VLANS = (
    Fix("see which VLANs each port may have", "bridge vlan show"),
    Fix("allow the VLAN on the port", "bridge vlan add dev DEV vid VID"),
    Fix("untagged frames need a PVID", "bridge vlan add dev DEV vid VID pvid untagged"),
    Fix("the host itself needs it on the bridge", "bridge vlan add dev BRIDGE vid VID self"),
    Step(
        "or have the bridge not look at VLANs at all",
        "ip link set dev BRIDGE type bridge vlan_filtering 0",
        weakens="what is kept apart by VLANs on this bridge can talk then",
    ),
)

BRIDGE = (
    Cause(
        id="device.bridge-stp",
        title="the bridge port is not forwarding (spanning tree)",
        why="""
The frame came in on a bridge port that is disabled, blocking, listening or learning. A port that has just
come up listens and learns for two forward delays (30 seconds by default), even on a bridge without a loop, if
spanning tree is on. A port that stays blocking closes a loop: the frames go the other way, as they should.
""",
        confirm="""
"state" of each port:
$ bridge -d link show
$ ip -d link show type bridge
""",
        fix=(
            Fix("see the state of the ports", "bridge -d link show"),
            Fix(
                "a bridge for virtual machines without loops needs no spanning tree",
                "ip link set BRIDGE type bridge stp_state 0",
            ),
            Fix("or shorten the wait", "ip link set BRIDGE type bridge forward_delay 400"),
        ),
        reasons=("BRIDGE_INGRESS_STP_STATE",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("br_handle_frame", "br_handle_frame_finish"),
    ),
    Cause(
        id="device.bridge-vlan-filter",
        title="the bridge's VLAN filter refuses it",
        why="""
The bridge has vlan_filtering on, and the VLAN of the frame (its tag, or the port's PVID if it has none) is
not allowed on the port where it came in, or not in a forwarding state there. A port without PVID drops
everything that is untagged. For packets of the host itself the bridge interface is a port too, and needs its
VLANs ("self").
""",
        confirm="""
$ bridge vlan show
$ ip -d link show type bridge
$ tcpdump -eni DEV
""",
        fix=VLANS,
        seen_as=("NOT_SPECIFIED",),
        seen_at=(*INGRESS_VLAN, "br_handle_vlan", "br_pass_frame_up", "br_handle_frame_finish"),
    ),
    Cause(
        id="device.bridge-isolated",
        title="the two bridge ports are isolated from each other",
        why="""
Both ports, the one the frame came in on and the one it should leave by, are set to "isolated": such ports
reach only ports that are not. Container and guest networks use it to keep tenants apart, with one port that
is not isolated as the way out of the segment.
""",
        confirm="""
$ bridge -d link show
Look for "isolated on".
""",
        fix=(
            Fix("see which ports are isolated", "bridge -d link show"),
            Step(
                "end the isolation of the port that it came in on",
                "bridge link set dev DEV isolated off",
                weakens="the tenant behind it then reaches those on all ports",
            ),
        ),
        seen_as=("NOT_SPECIFIED", "NO_TX_TARGET"),
        seen_at=("br_forward", "__br_forward", "br_flood"),
    ),
    Cause(
        id="device.bridge-pause-frame",
        title="a pause frame came to a bridge port, and no bridge forwards one",
        why="""
The frame is for 01:80:c2:00:00:01, the address of MAC control: pause frames and priority flow control (802.3x,
802.1Qbb). They speak to the hardware at the other end of one cable, and IEEE 802.1D forbids a bridge to pass
them on. As a rule the network card takes them; one that gets this far was let through by it, or was sent by a
program, by another machine's virtual network card, or through a tunnel. Nothing but flow control is lost.
""",
        confirm="""
Who sends them, and whether the card takes part in flow control:
$ tcpdump -c 5 -eni DEV ether dst 01:80:c2:00:00:01
$ ethtool -a DEV
""",
        fix=(
            Fix("see who sends them", "tcpdump -c 5 -eni DEV ether dst 01:80:c2:00:00:01"),
            Fix("see whether the card takes part in flow control", "ethtool -a DEV"),
        ),
        reasons=("MAC_IEEE_MAC_CONTROL",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("br_handle_frame",),
    ),
    Cause(
        id="device.bridge-no-port",
        title="the bridge has no port to forward it to",
        why="""
The bridge should have sent the frame to all its ports (a broadcast, or a MAC address it does not know), and
found none that may have it: it has no other port, or the others are down, blocked, isolated, without the
VLAN, or told not to flood. A bridge without ports does that with everything its host sends, the empty default
bridge of Docker or libvirt for example.
""",
        confirm="""
$ bridge -d link show
$ bridge vlan show
$ bridge fdb show br BRIDGE
""",
        fix=(
            Fix("see the ports and their state", "bridge -d link show"),
            Fix(
                "a port that must get unknown addresses",
                "bridge link set dev PORT flood on mcast_flood on bcast_flood on",
            ),
        ),
        seen_as=("NO_TX_TARGET", "NOT_SPECIFIED"),
        seen_at=(*FLOODING, "br_dev_xmit"),
    ),
)
