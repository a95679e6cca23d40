"""The causes of WireGuard: peers, their addresses, handshakes."""

from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

ALLOWED = (
    Fix("see which peer has which addresses", "wg show all allowed-ips"),
    Fix(
        "add the address to the peer; this replaces its list",
        "wg set DEV peer PEERKEY allowed-ips PREFIXES",
    ),
)
ENDPOINT = (
    Fix("set the endpoint of the peer", "wg set DEV peer PEERKEY endpoint ENDPOINT"),
    Fix("or have the peer begin: its handshake tells its endpoint", "wg show DEV latest-handshakes"),
)
HANDSHAKE = (
    Fix("compare endpoint and keys with those of the peer", "wg show DEV"),
    Fix("behind NAT, keep the mapping open", "wg set DEV peer PEERKEY persistent-keepalive 25"),
)

WIREGUARD = (
    Cause(
        id="tunnel.wireguard-allowed-ips",
        title="WireGuard: not among the peer's allowed IPs",
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
        fix=ALLOWED,
        seen_as=("NOT_SPECIFIED",),
        seen_at=("wg_xmit", "wg_allowedips_lookup_src", "wg_packet_consume_data_done"),
    ),
    Cause(
        id="tunnel.wireguard-no-endpoint",
        title="WireGuard: the peer has no endpoint",
        why="""
A peer among whose AllowedIPs the destination is was found, but the interface does not know where to send: no
endpoint is configured, and the peer has not spoken first. WireGuard learns the endpoint from any packet of the
peer that it can authenticate. The sender gets ICMP host unreachable, a program of this host EDESTADDRREQ.
""",
        confirm="""
"endpoint" is missing:
$ wg show DEV
$ wg show DEV endpoints
""",
        fix=ENDPOINT,
        seen_as=("NOT_SPECIFIED",),
        seen_at=("wg_xmit",),
    ),
    Cause(
        id="tunnel.wireguard-no-handshake",
        title="WireGuard: no handshake with the peer",
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
        fix=HANDSHAKE,
        seen_as=("NOT_SPECIFIED", "QUEUE_PURGE"),
        seen_at=("wg_xmit", "wg_packet_purge_staged_packets"),
    ),
)
