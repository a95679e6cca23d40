"""Bridges: ports that do not forward, VLANs that are not allowed, frames with nowhere to go."""

from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

FLOODING = ("br_flood", "br_multicast_flood")
INGRESS_VLAN = ("__allowed_ingress", "br_allowed_ingress")
VLANS = (
    Fix("see which VLANs each port may have", "bridge vlan show"),
    Fix("allow the VLAN on the port", "bridge vlan add dev DEV vid VID"),
    Fix("untagged frames: give the port a PVID", "bridge vlan add dev DEV vid VID pvid untagged"),
    Fix("frames for the host: allow it on the bridge itself", "bridge vlan add dev BRIDGE vid VID self"),
    Step(
        "or disable VLAN filtering on the bridge",
        "ip link set dev BRIDGE type bridge vlan_filtering 0",
        weakens="what VLANs on this bridge keep apart can communicate",
    ),
)
SELF = (
    Fix("see which VLANs the bridge itself may have", "bridge vlan show dev BRIDGE"),
    Fix("allow the VLAN on the bridge itself", "bridge vlan add dev BRIDGE vid VID self"),
    Fix("and give this host an interface in it", "ip link add link BRIDGE name BRIDGE.VID type vlan id VID"),
)
STP = (
    Fix("see the state of the ports", "bridge -d link show"),
    Fix(
        "a bridge for virtual machines without loops needs no spanning tree",
        "ip link set BRIDGE type bridge stp_state 0",
    ),
    Fix("or shorten the delay", "ip link set BRIDGE type bridge forward_delay 400"),
)
STATE = (
    Fix(
        "set it to forwarding: spanning tree is off on this bridge, so the state was set by hand",
        "bridge link set dev DEV state 3",
    ),
    Fix("see whether the port is up and has a carrier", "bridge -d link show"),
)
ISOLATED = (
    Fix("see which ports are isolated", "bridge -d link show"),
    Step(
        "end the isolation of the port that should get it",
        "bridge link set dev DEV isolated off",
        weakens="the tenant behind it can reach those on all ports",
    ),
)
HAIRPIN = (
    Fix("have the bridge send frames back through the port", "bridge link set dev DEV hairpin on"),
    Fix("list the addresses behind it", "bridge fdb show br BRIDGE"),
)
LOCKED = (
    Fix("add the station, if it may use the port", "bridge fdb add MAC dev DEV master static"),
    Step(
        "end the lock",
        "bridge link set dev DEV locked off",
        weakens="any station behind the port can send without authentication",
    ),
)
TOO_BIG = (
    Fix("give the port the MTU of the others", "ip link set dev DEV mtu MTU"),
    Fix("or lower the MTU of all: the bridge, its ports, and the interfaces of the hosts behind them"),
)
NO_PORT = (
    Fix("see the ports and their state", "bridge -d link show"),
    Fix(
        "enable flooding on a port that must get unknown addresses",
        "bridge link set dev PORT flood on mcast_flood on bcast_flood on",
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
        fix=STP,
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
        fix=ISOLATED,
        seen_as=("NOT_SPECIFIED", "NO_TX_TARGET"),
        seen_at=("br_forward", "br_flood"),
    ),
    Cause(
        id="device.bridge-hairpin",
        title="the frame would leave through the bridge port that it came in through",
        why="""
The bridge has the destination address behind the port where the frame came in, and sends nothing back through
it: hairpin mode is off, as it is by default. A container or guest that speaks to a published address of its own
host meets this: the address is translated (DNAT) to the container itself, and the frame should return through
its port. Where a switch or another bridge is behind the port, the destination gets the frame there without this
bridge, and nothing is lost.
""",
        confirm="""
The address of the destination is behind the port that it came in through, and "hairpin off":
$ bridge fdb show br BRIDGE
$ bridge -d link show
""",
        fix=HAIRPIN,
        seen_as=("NOT_SPECIFIED",),
        seen_at=("br_forward",),
    ),
    Cause(
        id="device.bridge-locked",
        title="the bridge port is locked for this sender",
        why="""
The port is "locked", as for 802.1X: it accepts frames only from stations that the forwarding database has for
this port, as a rule added by the authentication daemon. The sender is not in it, or is there for another
port.
""",
        confirm="""
$ bridge -d link show
$ bridge fdb show br BRIDGE
Look for "locked on", and for the sender's address.
""",
        fix=LOCKED,
        seen_as=("NOT_SPECIFIED",),
        seen_at=("br_handle_frame_finish",),
    ),
    Cause(
        id="device.too-big-for-port",
        title="the frame is too big for the bridge port",
        why="""
A bridge does not fragment and sends no "packet too big": a frame that is longer than the MTU of the port it
should leave through is dropped without a word to the sender. All ports of a bridge, and what is behind them, must
have the same MTU. A tunnel (VXLAN, GRE, WireGuard) as a port is the usual case.
""",
        confirm="""
The MTU of the ports differs:
$ ip link show master BRIDGE
$ ping -M do -s 1472 DADDR
""",
        fix=TOO_BIG,
        seen_as=("NOT_SPECIFIED",),
        seen_at=("br_dev_queue_push_xmit",),
    ),
    Cause(
        id="device.bridge-pause-frame",
        title="a pause frame: no bridge forwards one",
        why="""
The frame is for 01:80:c2:00:00:01, the address of MAC control: pause frames and priority flow control
(802.3x, 802.1Qbb). They speak to the hardware at the other end of one cable, and IEEE 802.1D forbids a bridge
to pass them on. As a rule the NIC consumes them; one that gets this far was passed on by it, or was sent by a
program, by another host's virtual NIC, or through a tunnel. Nothing but flow control is lost.
""",
        confirm="""
Who sends them, and whether the NIC takes part in flow control:
$ tcpdump -c 5 -eni DEV ether dst 01:80:c2:00:00:01
$ ethtool -a DEV
""",
        fix=(
            Fix("see who sends them", "tcpdump -c 5 -eni DEV ether dst 01:80:c2:00:00:01"),
            Fix("see whether the NIC takes part in flow control", "ethtool -a DEV"),
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
found none that may get it: it has no other port, or the others are down, blocked, isolated, without the
VLAN, or told not to flood. A bridge without ports does that with everything its host sends, the empty default
bridge of Docker or libvirt for example.
""",
        confirm="""
$ bridge -d link show
$ bridge vlan show
$ bridge fdb show br BRIDGE
""",
        fix=NO_PORT,
        seen_as=("NO_TX_TARGET", "NOT_SPECIFIED"),
        seen_at=(*FLOODING, "br_dev_xmit"),
    ),
)
