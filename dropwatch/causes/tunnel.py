"""Tunnels: VXLAN, GRE, IPIP, WireGuard, and devices that lead into each other."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.cause import Cause
from dropwatch.causes.family import Family, in_order
from dropwatch.causes.when import when
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.names.foreign import quoted
from dropwatch.packet.payload import vni

_VXLAN_XMIT = ("vxlan_mdb_xmit", "vxlan_xmit", "vxlan_xmit_one")

_CAUSES = (
    Cause(
        id="tunnel.vxlan-unknown-vni",
        title="no VXLAN device here has this network identifier (VNI)",
        why="""
The packet arrived on a VXLAN port, and no VXLAN device of this network namespace has its VNI: the device was
not made (yet) or is in another namespace, the VNI is mistyped on one side, the device listens on another port
(8472 is Linux's old default, 4789 the standard), or it has a fixed remote other than this sender.
""",
        confirm="""
$ ip -d link show type vxlan
$ bridge vni show
$ tcpdump -vni DEV udp port DPORT
tcpdump prints the VNI.
""",
        fix=(
            Fix("compare the VNI and port of the devices", "ip -d link show type vxlan"),
            Fix("make the device", "ip link add vxlan0 type vxlan id VNI dstport DPORT dev DEV"),
        ),
        reasons=("VXLAN_VNI_NOT_FOUND",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("vxlan_rcv", "vxlan_encap_bypass"),
    ),
    Cause(
        id="tunnel.vxlan-header",
        title="the VXLAN header is not as this device expects",
        why="""
The flag that says "there is a VNI" is missing, or bits are set that are reserved without the extension in
question (group policy, generic protocol). One end uses VXLAN-GPE or GBP and the other does not, or something
else than VXLAN is sent to the port.
""",
        confirm="""
$ tcpdump -vvXni DEV udp port DPORT
$ ip -d link show type vxlan
""",
        fix=(
            Fix("see the header", "tcpdump -c 3 -vvXni DEV udp port DPORT and host SADDR"),
            Fix("give both ends the same extension: gbp or gpe at ip link add ... type vxlan"),
        ),
        reasons=("VXLAN_INVALID_HDR",),
        seen_at=("vxlan_rcv",),
    ),
    Cause(
        id="tunnel.no-remote",
        title="the VXLAN device has no remote for this destination",
        why="""
The forwarding table of the VXLAN device has no entry for the destination MAC and no default entry (all
zeros), and the device has neither a remote nor a group. With a control plane (EVPN, flannel, Cilium) the
entry is put there by a daemon; until then, or when learning is off, unknown destinations have nowhere to go.
""",
        confirm="""
$ bridge fdb show dev DEV
$ ip -d link show DEV
""",
        fix=(
            Fix("see what is known", "bridge fdb show dev DEV"),
            Fix("add a default remote", "bridge fdb append 00:00:00:00:00:00 dev DEV dst REMOTE"),
        ),
        reasons=("VXLAN_NO_REMOTE",),
        seen_as=("NO_TX_TARGET",),
        seen_at=_VXLAN_XMIT,
    ),
    Cause(
        id="tunnel.own-mac",
        title="a frame with this host's own MAC address came out of the tunnel",
        why="""
The source MAC of the frame is that of the VXLAN device on which it arrived: a frame of our own came back.
There is a loop in the overlay (two bridges joined twice), a remote that floods back to where it came from, or
two hosts with the same MAC address, after cloning a virtual machine for example.
""",
        confirm="""
$ ip link show DEV
$ bridge fdb show dev DEV
$ tcpdump -eni DEV
""",
        fix=(
            Fix("which remote sends it?", "tcpdump -c 5 -eni DEV"),
            Fix("cloned machines: give this one another MAC", "ip link set DEV address MAC"),
        ),
        reasons=("LOCAL_MAC",),
        seen_at=("vxlan_rcv",),
    ),
    Cause(
        id="tunnel.no-metadata",
        title="a packet without tunnel metadata was sent to a device that needs it",
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
        fix=(
            Fix("who sends into the device?", "ip route show dev DEV; ip addr show dev DEV"),
            Fix("give the route the data", "ip route replace DADDR encap ip id VNI dst REMOTE dev DEV"),
        ),
        reasons=("TUNNEL_TXINFO",),
        seen_at=("vxlan_xmit", "ip_tunnel_xmit", "geneve_xmit"),
    ),
    Cause(
        id="tunnel.gre-key-mismatch",
        title="no GRE device has the key of this packet",
        why="""
A GRE tunnel can have a key, a number in each packet; both ends must use the same. No GRE device between these
addresses has this key (or has one although the packet has none). The sender gets ICMP port unreachable.
""",
        confirm="""
$ ip -d link show type gre
$ ip -d tunnel show
$ tcpdump -vni DEV proto gre
""",
        fix=(
            Fix("see which key the packets have", "tcpdump -c 3 -vni DEV proto gre and host SADDR"),
            Fix("give the device the same", "ip link set TUNNEL type gre key KEY"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("gre_rcv", "__ipgre_rcv", "ip_tunnel_rcv"),
    ),
    Cause(
        id="tunnel.unknown-peer",
        title="no tunnel device here matches this sender",
        why="""
An IPIP, SIT or GRE packet arrived for an address of this host, and no tunnel device has its sender as the
remote (or takes any). The remote's address changed, the device has another local address, is in another
network namespace, or was never made.
""",
        confirm="""
$ ip -d tunnel show
$ ip -d link show type ipip
$ tcpdump -ni DEV 'ip proto 4 or ip proto 41 or proto gre'
""",
        fix=(
            Fix("compare local and remote addresses", "ip -d tunnel show"),
            Fix("correct the remote", "ip tunnel change TUNNEL local DADDR remote SADDR"),
        ),
        seen_as=("NOT_SPECIFIED", "IP_NOPROTO"),
        seen_at=("tunnel4_rcv", "tunnel64_rcv", "ipip_tunnel_rcv", "gre_rcv", "ipip6_rcv"),
    ),
    Cause(
        id="tunnel.wireguard-allowed-ips",
        title="WireGuard: the address is not among the peer's allowed IPs",
        why="""
WireGuard accepts a decrypted packet only if its source lies within the AllowedIPs of the peer that sent it,
and sends a packet only to the peer whose AllowedIPs cover the destination. If no peer covers it, the
program's send() fails with ENOKEY. Two peers cannot have the same prefix: the one that was configured last
has it.
""",
        confirm="""
$ wg show all allowed-ips
Have WireGuard write to the kernel log what it refuses:
$ echo module wireguard +p > /sys/kernel/debug/dynamic_debug/control
$ dmesg -w | grep wireguard
""",
        fix=(
            Fix("see which peer has which addresses", "wg show all allowed-ips"),
            Fix(
                "add the address to the peer; this replaces its list",
                "wg set DEV peer PEERKEY allowed-ips PREFIXES",
            ),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("wg_xmit", "wg_packet_consume_data_done"),
    ),
    Cause(
        id="tunnel.wireguard-no-handshake",
        title="WireGuard: no handshake with the peer, so the waiting packets are dropped",
        why="""
Packets to a peer wait until a handshake has given it keys. The peer has no endpoint, does not answer, or has
another public key, preshared key or clock; after several attempts the packets are thrown away. A wrong key
shows as silence: WireGuard never answers what it cannot authenticate.
""",
        confirm="""
"latest handshake" is missing or old:
$ wg show DEV
$ tcpdump -ni any udp
$ dmesg -w | grep wireguard
""",
        fix=(
            Fix("compare endpoint and keys with those of the peer", "wg show DEV"),
            Fix("behind NAT, keep the mapping open", "wg set DEV peer PEERKEY persistent-keepalive 25"),
        ),
        seen_as=("NOT_SPECIFIED", "QUEUE_PURGE"),
        seen_at=("wg_xmit", "wg_packet_purge_staged_packets"),
    ),
    Cause(
        id="tunnel.ecn",
        title="the inner and outer ECN bits contradict each other",
        why="""
The outer header says "congestion experienced", and the inner one that its sender does not understand ECN. The
mark cannot be passed on, and ignoring it would hide congestion, so RFC 6040 demands that the packet be
dropped. A tunnel entry that sets ECN bits it should not (it copies them wrongly, or the DSCP byte is
rewritten on the way) causes it.
""",
        confirm="""
$ tcpdump -vni DEV udp port DPORT
"tos 0x3,CE" outside and no ECT inside is it.
$ ip -s link show DEV
"rx errors" and "frame" rise.
""",
        fix=(
            Fix("look at the outer header", "tcpdump -c 5 -vni DEV host SADDR"),
            Fix("find what rewrites the TOS byte on the way, and have it leave the two ECN bits alone"),
        ),
        reasons=("IP_TUNNEL_ECN",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("vxlan_rcv", "ip_tunnel_rcv", "geneve_rx"),
    ),
    Cause(
        id="tunnel.loop",
        title="devices are stacked too deep, or in a loop",
        why="""
Sending through one virtual device led to another, and so on, until the kernel's limit for such nesting was
reached. As a rule the route to the remote end of a tunnel leads into the tunnel itself: the outer packet is
encapsulated again, for ever. The log says "Dead loop on virtual device".
""",
        confirm="""
$ dmesg | grep -i 'dead loop'
$ ip route get REMOTE
It must not name the tunnel itself.
""",
        fix=(
            Fix(
                "where does the route to the tunnel's remote end lead?",
                "ip route get DADDR; ip -d tunnel show",
            ),
            Fix("pin the remote to the real uplink", "ip route add DADDR via GATEWAY dev UPLINK"),
        ),
        reasons=("RECURSION_LIMIT",),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("__dev_queue_xmit", "ip_tunnel_xmit", "iptunnel_xmit"),
    ),
)


def _vxlan_down(drop: Drop, host: Host) -> Verdict | None:
    """An interface that is down is not searched (vxlan_stop in drivers/net/vxlan takes it out of the hash)."""
    if drop.reason != "VXLAN_VNI_NOT_FOUND":
        return None
    wanted, found = vni(drop), host.vxlans(drop.event.netns, drop.event.monotonic_ns)
    off = next((one for one in found or () if one.vni == wanted and not one.up), None)
    if off is None:
        return None
    fact = f"after the drop {off.name} has the VNI {off.vni} and is down: it takes nothing"
    said = kernel_word.likely(drop, Evidence("netlink route", fact))
    return replace(said, fix=(Fix("bring it up", f"ip link set dev {quoted(off.name)} up"),))


TUNNEL = Family(
    "tunnel",
    _CAUSES,
    in_order(
        ("device.down", _vxlan_down),
        ("tunnel.no-remote", when(reasons=("NO_TX_TARGET",), at=_VXLAN_XMIT)),
    ),
)
