"""Devices: interfaces that are down, frames that nobody takes, full queues of virtual ones."""

from dropwatch.causes import fits
from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.causes.device.tun import TUN
from dropwatch.model.drop import Fix

# Ethertypes (linux/if_ether.h), by the module that handles them.
_MODULES = {
    "mpls_router": (0x8847, 0x8848),
    "8021q": (0x8100, 0x88A8),
    "pppoe": (0x8863, 0x8864),
    "tipc": (0x88CA,),
    "batman_adv": (0x4305,),
    "hsr": (0x892F, 0x88FB),
}

QUEUE_OF_MACVLAN = (
    Fix("allow a longer queue", "ip link set MACVLAN type macvlan bcqueuelen 10000"),
    Fix("see the limit of each", "ip -d link show type macvlan"),
)
INTERFACES = (
    Cause(
        id="device.down",
        title="the interface is down, or went down with packets waiting",
        why="""
The packet came from, or should go through, an interface that is not running: it was set down or removed while
packets waited in the input queue of a CPU, or a program writes into a tun device or a tunnel that nobody has
set up.
""",
        confirm="""
$ ip link show DEV
$ ip -ts monitor link
$ journalctl -k | grep -i link
""",
        fix=(
            Fix("bring it up", "ip link set DEV up"),
            Fix("see what changes it", "ip -ts monitor link"),
        ),
        seen_as=("DEV_READY", "NOT_SPECIFIED"),
        seen_at=(
            *("enqueue_to_backlog", "flush_backlog", "tun_get_user", "vxlan_rcv", "net_tx_action"),
            "vlan_do_receive",
        ),
    ),
    *TUN,
    Cause(
        id="device.vlan-unknown",
        title="no interface here has the frame's VLAN tag",
        why="""
The frame carries an 802.1Q tag, and no VLAN interface with this id stands on the interface where it came in.
The kernel marks such a frame as meant for another host and drops it in the IP layer, with the same reason as
a frame for another MAC. Wrong VLAN on the switch port, a trunk where an access port was expected, or an
interface that was not added.
""",
        confirm="""
$ tcpdump -eni DEV vlan
$ ip -d link show type vlan
$ cat /proc/net/vlan/config
""",
        fix=(
            Fix("add the interface", "ip link add link DEV name DEV.VID type vlan id VID"),
            Fix("or have the switch send the frames untagged to this port"),
        ),
        seen_as=("OTHERHOST",),
        seen_at=("ip_rcv_core", "ip6_rcv_core"),
    ),
    Cause(
        id="device.bond-inactive",
        title="it came in on a bond port that is not active",
        why="""
Of the ports of a bond in active-backup mode only one receives; with 802.3ad those that are not in the active
aggregate do not. What comes in on another is dropped, unless a program listens on that port itself: it would
be the same broadcast a second time. A switch floods broadcasts and unknown addresses to both ports, so a few
are normal. Frames for this host itself mean that the switch still believes the address to be behind the old
port, or that the ports are one link aggregate for the switch and a backup pair for the host.
""",
        confirm="""
Which port is active, and what state is this one in?
$ ip -d link show DEV
$ grep -E 'Mode|Slave|Status' /proc/net/bonding/*
$ tcpdump -eni DEV
""",
        fix=(
            Fix("see the state of the port, and which port is active", "ip -d link show DEV"),
            Fix("frames for this host: use LACP on both the switch ports and the bond, or on neither"),
            Fix("broadcasts that both ports get are no loss"),
        ),
        seen_as=("UNHANDLED_PROTO",),
        seen_at=("__netif_receive_skb_core",),
    ),
    Cause(
        id="device.team-inactive",
        title="it came in on a team port that is not enabled",
        why="""
A team takes what comes in on ports that its runner has enabled: with activebackup one, with lacp those that
are in the aggregate, and none whose link watch says that it is down. What comes in on another port is dropped.
""",
        confirm="""
$ ip -d link show type team
$ ip -d link show DEV
The program teamd knows which ports are enabled: teamdctl, with the team's name and "state".
""",
        fix=(
            Fix("see the state of the port", "ip -d link show DEV"),
            Fix("frames for this host: make the switch ports and the team's runner agree"),
        ),
        seen_as=("UNHANDLED_PROTO",),
        seen_at=("__netif_receive_skb_core",),
    ),
    Cause(
        id="device.unhandled-protocol",
        title="nothing on this host handles this ethertype",
        why="""
The ethertype of the frame has no handler: LLDP without its daemon, spanning tree frames on a port that is no
bridge, PPPoE, MPLS or IPv6 without the module, vendor protocols. For the network that is normal noise; each
such frame counts as rx_dropped of the interface, which alarms monitoring. An IPv4 frame that ends here came
in on a port of a bond or team that is not active.
""",
        confirm="""
$ cat /proc/net/ptype
$ tcpdump -eni DEV 'not ip and not arp and not ip6'
$ ip -s -s link show DEV
""",
        fix=(
            *(
                Step("load the module", f"modprobe {module}", fits=fits.ethertype(*ethertypes))
                for module, ethertypes in _MODULES.items()
            ),
            Step(
                "see which port of the bond or team is active, if the interface is one of its ports",
                "ip -d link show DEV",
                fits=fits.ethertype(0x0800, 0x0806, 0x86DD),
            ),
            Fix("see who sends them", "tcpdump -c 5 -eni DEV ether proto ETHERTYPE"),
            Fix("or have the switch not send them"),
        ),
        seen_as=("UNHANDLED_PROTO",),
        seen_at=("__netif_receive_skb_core",),
    ),
    Cause(
        id="device.macvlan-no-match",
        title="no macvlan or ipvlan interface takes the frame",
        why="""
The frame came in on the parent of macvlan or ipvlan interfaces and none of them is for it, or the one that
is, is down. In private mode macvlan interfaces do not reach each other, and in none but passthru mode do they
reach their own host through the parent: that is by design.
""",
        confirm="""
$ ip -d link show type macvlan
$ ip -d link show type ipvlan
$ ip -s link show DEV
""",
        fix=(
            Fix(
                "check that the interface is up", "ip -d link show type macvlan; ip -d link show type ipvlan"
            ),
            Fix(
                "for host and container to communicate: give the host a macvlan interface too, with its address",
                "ip link add mv0 link DEV type macvlan mode bridge",
            ),
        ),
        seen_as=("NOT_SPECIFIED", "OTHERHOST"),
        seen_at=("macvlan_handle_frame", "ipvlan_rcv_frame", "ip_rcv_core", "ip6_rcv_core"),
    ),
    Cause(
        id="device.macvlan-broadcast-full",
        title="the broadcast queue of macvlan is full",
        why="""
Broadcast and multicast frames are copied to each macvlan interface in the background. The queue for that has
a limit (bcqueuelen, 1000), and it is reached: much broadcast traffic, very many interfaces, or both.
""",
        confirm="""
$ ip -s -d link show type macvlan
""",
        fix=QUEUE_OF_MACVLAN,
        reasons=("MACVLAN_BROADCAST_BACKLOG",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("macvlan_broadcast_enqueue", "macvlan_handle_frame"),
        scenario="A thousand frames have to come before the worker that copies them runs, which none can promise.",
    ),
    Cause(
        id="device.ipvlan-multicast-full",
        title="the multicast queue of ipvlan is full",
        why="""
Broadcast and multicast frames are copied to each ipvlan interface in the background, and the queue for that
is full: much broadcast traffic, very many interfaces, or both. The limit is fixed in the kernel.
""",
        confirm="""
$ ip -s -d link show type ipvlan
$ tcpdump -eni DEV ether multicast
""",
        fix=(Fix("find out who sends so many broadcasts", "tcpdump -eni DEV ether multicast"),),
        reasons=("IPVLAN_MULTICAST_BACKLOG",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("ipvlan_multicast_enqueue", "ipvlan_queue_xmit", "ipvlan_handle_frame"),
        scenario="A thousand frames have to come before the worker that copies them runs, which none can promise.",
    ),
    Cause(
        id="device.mac-source-invalid",
        title="the source MAC address is zero or multicast",
        why="""
The frame came in on a bridge port or out of a VXLAN tunnel, and its source MAC address is one that no station
can have: all zeros, or with the multicast bit. A program that builds frames, a broken virtual network card,
or an attempt to confuse the bridge's table.
""",
        confirm="""
$ tcpdump -eni DEV 'ether[6] & 1 != 0 or ether src 00:00:00:00:00:00'
""",
        fix=(
            Fix(
                "find the sender", "tcpdump -c 10 -eni DEV 'ether[6] & 1 != 0 or ether src 00:00:00:00:00:00'"
            ),
        ),
        reasons=("MAC_INVALID_SOURCE",),
        seen_at=("br_handle_frame", "vxlan_rcv"),
    ),
    Cause(
        id="device.veth-peer-down",
        title="the other end of the veth pair is down or gone",
        why="""
A veth pair is a cable with two ends. What is sent into one end dies when the other end is set down, has been
deleted with its container. For a moment, a second at most, the first end still sends; then it has no carrier
(queueing.noqueue-down). The end in the container is often up only once its network is set up.
""",
        confirm="""
The number behind "@if" is the index of the other end:
$ ip -d link show type veth
$ ip -all netns exec ip link show type veth
""",
        fix=(
            Fix("bring this end up", "ip link set DEV up"),
            Fix(
                "bring the other end up in its own namespace: `@if` shows its index there",
                "ip -d link show DEV; ip -all netns exec ip link show type veth",
            ),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("__dev_forward_skb", "__dev_forward_skb2", "veth_xmit"),
    ),
    Cause(
        id="device.too-big-for-peer",
        title="the packet is too big for the other end of the veth pair",
        why="""
The two ends of a veth pair have different MTUs, and the packet is larger than the far one's. A pair does not
fragment and sends no "packet too big": what does not fit is dropped without a word to the sender. Small packets
pass, so that a ping and the start of a connection work, and then it stands still. Usually the MTU was changed
on one end alone: by a container network for jumbo frames or a tunnel, or in the container.
""",
        confirm="""
The MTU of this end; the number behind "@if" is the index of the other one:
$ ip -d link show DEV
$ ip -all netns exec ip link show type veth
""",
        fix=(
            Fix(
                "give both ends the same MTU: see what the other one has",
                "ip -d link show DEV; ip -all netns exec ip link show type veth",
            ),
            Fix("or lower the MTU of this end to that", "ip link set dev DEV mtu MTU"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("__dev_forward_skb", "__dev_forward_skb2"),
    ),
)
