"""Thousands of packets by combination: what stands behind IP, extension headers, tunnels, tunnels in tunnels."""

import random
import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import product

from tests.unit.packet import packets as made
from tests.unit.packet.packets import IP4_TYPE, IP6_TYPE, QINQ_TYPE, VLAN_TYPE

Wrap = Callable[[int, bytes], tuple[int, bytes]]  # protocol number and bytes, before and behind it
IP_TYPES = {4: IP4_TYPE, 6: IP6_TYPE}
OPTIONS = bytes((1, 1, 1, 1))
HOSTS = {4: ("192.0.2.1", "198.51.100.2"), 6: ("2001:db8::1", "2001:db8::2")}

# What can stand behind IP, and of which IP. A later fragment is the middle of something.
LEAVES: dict[str, tuple[int, int, bytes]] = {
    "udp": (0, made.UDP, made.udp(b"data")),
    "udp-empty": (0, made.UDP, made.udp()),
    "tcp": (0, made.TCP, made.tcp(b"data")),
    "tcp-options": (0, made.TCP, made.tcp(options=bytes.fromhex("020405b4010303070402080a0000000100000000"))),
    "sctp": (
        0,
        made.SCTP,
        struct.pack("!HHII", 40000, 50007, 1, 2) + bytes.fromhex("0a00000c00000000deadbeef"),
    ),
    "udplite": (0, made.UDPLITE, struct.pack("!HHHH", 40000, 50007, 8, 0) + b"data"),
    "esp": (0, made.ESP, made.esp()),
    "esp-in-udp": (0, made.UDP, made.udp(made.esp(0x1002), 4500, 4500)),
    "ike-in-udp": (0, made.UDP, made.udp(bytes(4) + bytes(range(28)), 4500, 4500)),
    "keepalive": (0, made.UDP, made.udp(b"\xff", 4500, 4500)),
    "esp-in-tcp": (0, made.TCP, made.tcp(struct.pack("!H", 42) + made.esp(0x1003), 40000, 4500)),
    "ah": (0, made.AH, made.ah(made.UDP, made.udp(b"data"))),
    "ah-esp": (0, made.AH, made.ah(made.ESP, made.esp(0x1004))),
    "ipcomp": (0, made.COMP, bytes((4, 0, 0, 2)) + bytes(range(12))),
    "wireguard": (0, made.UDP, made.udp(b"\4\0\0\0" + bytes(range(1, 45)), 51820, 51820)),
    "echo": (4, made.ICMP, made.icmp(8, 0, b"ping", 0x10001)),
    "echo6": (6, made.ICMP6, made.icmp(128, 0, b"ping", 0x10001)),
    "unreachable": (4, made.ICMP, made.icmp(3, 3, made.ipv4(made.UDP, made.udp(b"quoted"), *HOSTS[4]))),
    "time-exceeded": (4, made.ICMP, made.icmp(11, 0, made.ipv4(made.TCP, made.tcp(), *HOSTS[4])[:28])),
    "redirect": (4, made.ICMP, made.icmp(5, 1, made.ipv4(made.ESP, made.esp(), *HOSTS[4]), 0x0A090003)),
    "too-big6": (6, made.ICMP6, made.icmp(2, 0, made.ipv6(made.UDP, made.udp(b"quoted"), *HOSTS[6]), 1280)),
    "error-of-extensions": (
        6,
        made.ICMP6,
        made.icmp(1, 0, made.ipv6(made.HOP, made.hop_by_hop(made.TCP, made.tcp()), *HOSTS[6])),
    ),
}
# Extension headers of IPv6 around the protocol behind them, in any order.
EXTENSIONS: dict[str, tuple[Callable[[int, bytes], bytes], ...]] = {
    "none": (),
    "hop-by-hop": (made.hop_by_hop,),
    "destination": (made.destination,),
    "routing": (made.routing,),
    "fragment": (made.fragment,),
    "usual": (made.hop_by_hop, made.destination, made.routing, made.fragment, made.destination),
    "unusual": (made.destination, made.routing, made.hop_by_hop),
    "signed": (made.destination, made.ah, made.destination),
}
EXTENSION_NUMBERS: dict[Callable[[int, bytes], bytes], int] = {
    made.hop_by_hop: made.HOP,
    made.destination: made.DESTINATION,
    made.routing: made.ROUTING,
    made.fragment: made.FRAGMENT,
    made.ah: made.AH,
}


def framed(family: int, packet: bytes, *tags: int) -> bytes:
    """In Ethernet, with VLAN tags: two are QinQ."""
    kind = IP_TYPES[family]
    for at, tag in enumerate(reversed(tags)):
        packet = made.vlan(tag, kind, packet)
        kind = QINQ_TYPE if len(tags) > 1 and at == len(tags) - 1 else VLAN_TYPE
    return made.ethernet(kind, packet)


def in_udp(port: int, body: bytes, sport: int = 51000) -> tuple[int, bytes]:
    return made.UDP, made.udp(body, sport, port)


def ip_in_ip(family: int, packet: bytes) -> tuple[int, bytes]:
    return (made.IPIP if family == 4 else made.IPV6), packet


def gre(flags: int, words: bytes) -> Wrap:
    return lambda family, packet: (made.GRE, made.gre(IP_TYPES[family], packet, words, flags))


def ppp(family: int, packet: bytes) -> bytes:
    return b"\xff\x03" + (b"\x00\x21" if family == 4 else b"\x00\x57") + packet


# A source route of RFC 1701: family, offset, length, one address; and the empty one that ends them.
SOURCE_ROUTE = struct.pack("!HBB", 0x0800, 0, 4) + ip_address("203.0.113.9").packed + bytes(4)
TUNNELS: dict[str, Wrap] = {
    "ip": ip_in_ip,
    "ah": lambda family, packet: (made.AH, made.ah(*ip_in_ip(family, packet), spi=0x3003)),
    "gre": gre(0, b""),
    "gre-checksum": gre(0x8000, bytes(4)),
    "gre-key": gre(0x2000, b"\0\0\0\7"),
    "gre-sequence": gre(0x1000, b"\0\0\0\5"),
    "gre-all": gre(0xB000, bytes(4) + b"\0\0\0\7\0\0\0\5"),
    "gre-routing": gre(0x4000, bytes(4) + SOURCE_ROUTE),
    "gre-everything": gre(0xF000, bytes(4) + b"\0\0\0\7\0\0\0\5" + SOURCE_ROUTE),
    "pptp": lambda family, packet: (
        made.GRE,
        made.gre(0x880B, ppp(family, packet), struct.pack("!HHI", len(packet) + 4, 9, 5), 0x3001),
    ),
    "pptp-ack": lambda family, packet: (
        made.GRE,
        made.gre(0x880B, ppp(family, packet), struct.pack("!HHII", len(packet) + 4, 9, 5, 6), 0x3081),
    ),
    "gretap": lambda family, packet: (made.GRE, made.gre(0x6558, framed(family, packet))),
    "gretap-vlan": lambda family, packet: (made.GRE, made.gre(0x6558, framed(family, packet, 7))),
    "gre-mpls": lambda family, packet: (made.GRE, made.gre(0x8847, made.mpls(packet, 16, 17, 18))),
    "mpls": lambda family, packet: (made.MPLS, made.mpls(packet, 100)),
    "mpls-in-udp": lambda family, packet: in_udp(6635, made.mpls(packet, 100, 200)),
    "vxlan": lambda family, packet: in_udp(4789, made.vxlan(framed(family, packet))),
    "vxlan-vlan": lambda family, packet: in_udp(4789, made.vxlan(framed(family, packet, 5))),
    "vxlan-qinq": lambda family, packet: in_udp(4789, made.vxlan(framed(family, packet, 5, 6))),
    "vxlan-linux": lambda family, packet: in_udp(8472, made.vxlan(framed(family, packet))),
    "vxlan-mpls": lambda family, packet: in_udp(
        4789, made.vxlan(made.ethernet(0x8847, made.mpls(packet, 300)))
    ),
    "geneve": lambda family, packet: in_udp(6081, made.geneve(0x6558, framed(family, packet))),
    "geneve-vlan": lambda family, packet: in_udp(
        6081, made.geneve(0x6558, framed(family, packet, 5), bytes(8))
    ),
    "geneve-qinq": lambda family, packet: in_udp(6081, made.geneve(0x6558, framed(family, packet, 5, 6))),
    "geneve-ip": lambda family, packet: in_udp(6081, made.geneve(IP_TYPES[family], packet, bytes(4))),
    "gtp": lambda family, packet: in_udp(2152, made.gtp(packet), 2152),
    "gtp-sequence": lambda family, packet: in_udp(2152, made.gtp(packet, b"\0\5\0\0", 2)),
    "gtp-extension": lambda family, packet: in_udp(
        2152,
        made.gtp(packet, b"\0\0\0\x85\1\x10\5\0", 4),  # a PDU session container
    ),
    "l2tp": lambda family, packet: in_udp(1701, struct.pack("!HHH", 2, 1, 2) + ppp(family, packet), 1701),
    "l2tp-length": lambda family, packet: in_udp(
        1701,
        struct.pack("!HHHHHH", 0x4802, 16 + len(packet), 1, 2, 3, 4) + ppp(family, packet),
    ),
    "l2tp3-in-udp": lambda family, packet: in_udp(
        1701, struct.pack("!HHI", 3, 0, 77) + bytes(4) + framed(family, packet)
    ),
    "l2tp3": lambda family, packet: (made.L2TP, struct.pack("!II", 77, 0) + framed(family, packet)),
    "ethernet": lambda family, packet: (made.ETHERNET, framed(family, packet)),
    "ethernet-vlan": lambda family, packet: (made.ETHERNET, framed(family, packet, 9)),
}


def around(family: int, proto: int, body: bytes, extensions: str = "none") -> bytes:
    """An IP packet; IPv4 has options where IPv6 would have extension headers."""
    if family == 4:
        return made.ipv4(proto, body, options=OPTIONS if extensions != "none" else b"")
    for put in reversed(EXTENSIONS[extensions]):
        proto, body = EXTENSION_NUMBERS[put], put(proto, body)
    return made.ipv6(proto, body)


def fitting(family: int, leaf: str) -> bool:
    return LEAVES[leaf][0] in (0, family)


def combined() -> Iterator[tuple[str, bytes]]:
    """Every leaf behind every chain of headers, every leaf in every tunnel, and tunnels in tunnels in tunnels."""
    for family, extensions, leaf in product((4, 6), EXTENSIONS, LEAVES):
        if fitting(family, leaf):
            yield f"{family} {extensions} {leaf}", around(family, *LEAVES[leaf][1:], extensions)
    for outer, tunnel, inner, leaf in product((4, 6), TUNNELS, (4, 6), LEAVES):
        if fitting(inner, leaf):
            packet = around(inner, *LEAVES[leaf][1:])
            yield f"{outer} {tunnel} {inner} {leaf}", around(outer, *TUNNELS[tunnel](inner, packet))
    chance = random.Random(4)
    for _ in range(600):
        family = chance.choice((4, 6))
        leaf = chance.choice([name for name in LEAVES if fitting(family, name)])
        words = [leaf, chance.choice(list(EXTENSIONS)), str(family)]
        packet = around(family, *LEAVES[leaf][1:], words[1])
        for _ in range(chance.choice((2, 2, 3))):
            tunnel, extensions = chance.choice(list(TUNNELS)), chance.choice(list(EXTENSIONS))
            proto, body = TUNNELS[tunnel](family, packet)
            family = chance.choice((4, 6))
            packet = around(family, proto, body, extensions)
            words += [tunnel, extensions, str(family)]
        yield " ".join(reversed(words)), packet
