"""The causes of VXLAN and GENEVE: identifiers, headers, remotes, addresses of frames."""

from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

VNIS = (
    Fix("compare the VNI and port of the interfaces", "ip -d link show type vxlan"),
    Fix("add the interface", "ip link add vxlan0 type vxlan id VNI dstport DPORT dev DEV"),
)
EXTENSIONS = (
    Fix("see the header", "tcpdump -c 3 -vvXni DEV udp port DPORT and host SADDR"),
    Fix("give both ends the same extension: gbp or gpe at ip link add ... type vxlan"),
)
REMOTES = (
    Fix("list the forwarding entries", "bridge fdb show dev DEV"),
    Fix("add a default remote", "bridge fdb append 00:00:00:00:00:00 dev DEV dst REMOTE"),
)
OWN_MAC = (
    Fix("see which remote sends it", "tcpdump -c 5 -eni DEV"),
    Fix("cloned hosts: set another MAC address here", "ip link set DEV address MAC"),
)
STATIC = (
    Fix("see the entry", "bridge fdb show dev DEV"),
    Fix("have it lead to the remote that sends", "bridge fdb replace MAC dev DEV dst SADDR"),
)
GENEVE = (
    Fix("compare VNI, remote and port of the interfaces", "ip -d link show type geneve"),
    Fix("add the interface", "ip link add geneve0 type geneve id VNI remote SADDR dstport DPORT"),
)
METADATA = (
    Fix("see what sends into the interface", "ip route show dev DEV; ip addr show dev DEV"),
    Fix("add the metadata to the route", "ip route replace DADDR encap ip id VNI dst REMOTE dev DEV"),
)
BRING_UP = (Fix("bring it up", "ip link set dev DEV up"),)

OVERLAY = (
    Cause(
        id="tunnel.vxlan-unknown-vni",
        title="no VXLAN interface here has this VNI",
        why="""
The packet arrived on a VXLAN port, and no VXLAN interface of this network namespace has its VNI: the
interface was not added or is in another namespace, the VNI is mistyped on one side, the device listens on
another port (8472 is Linux's old default, 4789 the standard), or it has a fixed remote other than this
sender.
""",
        confirm="""
$ ip -d link show type vxlan
$ bridge vni show
$ tcpdump -vni DEV udp port DPORT
tcpdump prints the VNI.
""",
        fix=VNIS,
        reasons=("VXLAN_VNI_NOT_FOUND",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("vxlan_rcv", "vxlan_encap_bypass"),
    ),
    Cause(
        id="tunnel.vxlan-header",
        title="the VXLAN header is not what this interface expects",
        why="""
The flag that says "there is a VNI" is missing, or bits are set that are reserved without the extension in
question (group policy, generic protocol). One end uses VXLAN-GPE or GBP and the other does not, or something
else than VXLAN is sent to the port.
""",
        confirm="""
$ tcpdump -vvXni DEV udp port DPORT
$ ip -d link show type vxlan
""",
        fix=EXTENSIONS,
        reasons=("VXLAN_INVALID_HDR",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("vxlan_rcv",),
    ),
    Cause(
        id="tunnel.no-remote",
        title="the VXLAN interface has no remote for this destination",
        why="""
The forwarding table of the VXLAN device has no entry for the destination MAC and no default entry (all
zeros), and the device has neither a remote nor a group. With a control plane (EVPN, flannel, Cilium) the
entry is put there by a daemon; until then, or when learning is off, unknown destinations have nowhere to go.
""",
        confirm="""
$ bridge fdb show dev DEV
$ ip -d link show DEV
""",
        fix=REMOTES,
        reasons=("VXLAN_NO_REMOTE",),
        seen_as=("NO_TX_TARGET", "NOT_SPECIFIED"),
        seen_at=("vxlan_mdb_xmit", "vxlan_xmit", "vxlan_xmit_one"),
    ),
    Cause(
        id="tunnel.own-mac",
        title="this host's own MAC address came out of the tunnel",
        why="""
The source MAC of the frame is that of the VXLAN device on which it arrived: a frame of this host came back.
There is a loop in the overlay (two bridges joined twice), a remote that floods back to where it came from, or
two hosts with the same MAC address, after cloning a virtual machine for example.
""",
        confirm="""
$ ip link show DEV
$ bridge fdb show dev DEV
$ tcpdump -eni DEV
""",
        fix=OWN_MAC,
        reasons=("LOCAL_MAC",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("vxlan_rcv",),
    ),
    Cause(
        id="tunnel.vxlan-static-entry",
        title="a static entry has the sender's MAC address at another remote",
        why="""
The VXLAN interface learns which remote has which MAC address from what comes in. The forwarding table has the
source of this frame at another remote, by an entry that was added by hand, by a control plane or with a nexthop,
and such an entry is not changed by learning: the frame is dropped. The station has moved and the entry has not,
or two stations have the same address.
""",
        confirm="""
"permanent" or "static" behind the address:
$ bridge fdb show dev DEV
$ tcpdump -eni DEV
""",
        fix=STATIC,
        reasons=("VXLAN_ENTRY_EXISTS",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("vxlan_rcv",),
    ),
    Cause(
        id="tunnel.geneve-unknown-vni",
        title="no GENEVE interface here takes this VNI from this sender",
        why="""
A GENEVE interface has one VNI and one remote, and takes only packets that have this VNI and come from this
remote, unless it is "external". None of this network namespace fits: the interface was not added or is down, the
VNI is mistyped on one side, or the remote sends from another address than the one that is configured here.
""",
        confirm="""
$ ip -d link show type geneve
$ tcpdump -vni DEV udp port DPORT
tcpdump prints the VNI.
""",
        fix=GENEVE,
        seen_as=("NOT_SPECIFIED",),
        seen_at=("geneve_udp_encap_recv",),
    ),
    Cause(
        id="tunnel.no-metadata",
        title="sent without the tunnel metadata that the interface needs",
        why="""
The device is in "external" mode (collect metadata): for each packet something must say where it goes, a route
with "encap", a tc action tunnel_key, a BPF program, Open vSwitch. This packet came on another way, usually
because the host itself has a route or address on the device.
""",
        confirm="""
$ ip -d link show DEV
Look for "external".
$ ip route show dev DEV
""",
        fix=METADATA,
        reasons=("TUNNEL_TXINFO",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("vxlan_xmit", "ip_tunnel_xmit", "geneve_xmit"),
    ),
)
