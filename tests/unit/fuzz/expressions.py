"""Expressions of pcap-filter(7), and frames that they may fit."""

from hypothesis import strategies as st

from tests.unit.fuzz.changes import changed
from tests.unit.packet import packets as made
from tests.unit.packet.combined import combined

FRAGMENTS = [
    made.ipv4(17, made.udp(b"x" * 32), flags=0x2000),
    made.ipv4(17, b"x" * 32, flags=0x0005),
    made.ipv6(44, made.fragment(17, made.udp(b"x" * 8))),
]
PACKETS = [packet for _, packet in combined()]
SIDES = st.sampled_from(["", "src ", "dst ", "src or dst ", "src and dst "])
PORTS = st.sampled_from(["40000", "50007", "53", "http", "4789", "4500"])
HOSTS = st.sampled_from(["10.9.0.1", "10.9.0.2", "10.0.0.1", "192.168.7.1"])
HOSTS6 = st.sampled_from(["fd00::1", "fd00::2", "2001:db8::7"])
NETS = st.sampled_from(
    ["10", "10.9", "10.9.0.0/24", "192.168.0.0/16", "10.9.0.0 mask 255.255.255.0", "fd00::/8"]
)
ALONE = st.sampled_from(
    [
        "ip",
        "ip6",
        "tcp",
        "udp",
        "sctp",
        "icmp",
        "icmp6",
        "esp",
        "ah",
        "igmp",
        "pim",
        "vrrp",
        "arp",
        "ether[0] & 1 = 0",
    ]
)
BYTES = st.sampled_from(
    [
        *(
            "tcp[tcpflags] & (tcp-syn|tcp-ack) != 0",
            "udp[4:2] > 20",
            "ip[8] < 64",
            "icmp[icmptype] == icmp-echo",
        ),
        *(
            "len > 60",
            "less 100",
            "greater 50",
            "(ip[0] & 0xf) != 5",
            "ip6[6] = 17",
            "len % 7 - 1 > ip[9] * 2",
        ),
        *(
            "ip[2:2] - ((ip[0]&0xf)<<2) >= 8",
            "ether[12:2] == 0x800",
            "tcp[((tcp[12] & 0xf0) >> 2):2] = 0x4745",
        ),
        *(
            "vlan",
            "vlan 5 and udp",
            "mpls",
            "ether host 02:00:00:00:00:01",
            "ether broadcast",
            "ip multicast",
        ),
        *(
            "ip proto \\udp",
            "ip6 proto 58",
            "proto 47",
            "ip protochain 17",
            "len / 3 > 20",
            "ip[8] ^ 0x40 = 0",
        ),
    ]
)
PORTED = st.builds(
    lambda protocol, side, port: f"{protocol}{side}port {port}",
    st.sampled_from(["", "udp ", "tcp "]),
    SIDES,
    PORTS | st.builds(lambda one, other: f"({one} or {other})", PORTS, PORTS),
)
RANGES = st.builds(
    lambda side, low, size: f"{side}portrange {low}-{low + size}",
    SIDES,
    st.integers(1, 50007),
    st.integers(0, 9000),
)
HOSTED = st.builds(lambda side, host: f"{side}host {host}", SIDES, HOSTS | HOSTS6)
NETTED = st.builds(lambda side, net: f"{side}net {net}", SIDES, NETS)
LISTS = st.builds(
    lambda one, join, other: f"port {one} {join} {other}",
    PORTS,
    st.sampled_from(["or", "and", "and not"]),
    PORTS,
)


def _joined(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joins = st.sampled_from(["and", "or", "&&", "||", "and not", "or not", "and !"])
    pair = st.builds(lambda one, join, other: f"{one} {join} {other}", part, joins, part)
    return pair | part.map(lambda text: f"({text})") | part.map(lambda text: f"not {text}")


FLOWS = st.recursive(ALONE | PORTED | RANGES | HOSTED | NETTED | LISTS, _joined, max_leaves=6)
EXPRESSIONS = st.recursive(FLOWS | BYTES, _joined, max_leaves=6)
DATA = st.sampled_from(PACKETS + FRAGMENTS) | changed(PACKETS) | st.binary(max_size=256)
