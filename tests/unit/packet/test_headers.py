"""Every header of a packet, in order; every byte belongs to exactly one; nothing hostile breaks the reading."""

import random
import struct
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from dropwatch.model.drop import Event
from dropwatch.model.header import Header
from dropwatch.packet.headers import headers

Read = Callable[..., tuple[Header, ...]]

ETHERNET = bytes.fromhex("0200000000010200000000020800")
TCP_OPTIONS = bytes.fromhex("020405b40402080a00000001000000000103030700000000")[:20]
SYN = struct.pack("!HHIIBBHHH", 40000, 5000, 1, 0, 0xA0, 2, 64240, 0, 0) + TCP_OPTIONS


def ipv4(proto: int, payload: bytes, checksum: int | None = None, flags: int = 0) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, flags, 64, proto, 0)
    head += ip_address("10.9.0.1").packed + ip_address("10.9.0.2").packed
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    right = ~total & 0xFFFF
    return head[:10] + struct.pack("!H", right if checksum is None else checksum) + head[12:] + payload


def ipv6(following: int, payload: bytes) -> bytes:
    ends = ip_address("fd00::1").packed + ip_address("fd00::2").packed
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 63) + ends + payload


def udp(sport: int, dport: int, payload: bytes = b"") -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


QUOTE = bytes((3, 4, 0, 0, 0, 0)) + struct.pack("!H", 1400) + ipv4(17, udp(40000, 5000))
VXLAN = struct.pack("!II", 8 << 24, 42 << 8) + ETHERNET + ipv4(6, SYN)
GENEVE = struct.pack("!BBHI", 0x01, 0, 0x6558, 42 << 8) + bytes(4) + ETHERNET + ipv4(17, udp(1, 2))
GRE = struct.pack("!HHII", 0x3000, 0x0800, 77, 5) + ipv4(17, udp(1, 2))
AH = struct.pack("!BBHII", 4, 4, 0, 0x1001, 7) + bytes(12) + ipv4(17, udp(1, 2))
ESP = struct.pack("!II", 0x1001, 7) + bytes(24)
PACKETS = {
    "udp": (ipv4(17, udp(40000, 5000, b"hello")), ["IPv4", "UDP", "data"]),
    "tcp": (ipv4(6, SYN), ["IPv4", "TCP"]),
    "esp": (ipv4(50, ESP), ["IPv4", "ESP", "ESP payload"]),
    "esp in udp": (ipv4(17, udp(4500, 4500, ESP)), ["IPv4", "UDP", "ESP", "ESP payload"]),
    "ike in udp": (ipv4(17, udp(4500, 4500, bytes(32))), ["IPv4", "UDP", "IKE"]),
    "ah around a tunnel": (ipv4(51, AH), ["IPv4", "AH", "IPv4", "UDP"]),
    "ipcomp": (ipv4(108, bytes((4, 0, 0, 2)) + bytes(8)), ["IPv4", "IPComp", "compressed data"]),
    "vxlan": (ipv4(17, udp(1, 4789, VXLAN)), ["IPv4", "UDP", "VXLAN", "Ethernet", "IPv4", "TCP"]),
    "geneve": (ipv4(17, udp(1, 6081, GENEVE)), ["IPv4", "UDP", "Geneve", "Ethernet", "IPv4", "UDP"]),
    "gre": (ipv4(47, GRE), ["IPv4", "GRE", "IPv4", "UDP"]),
    "ipip": (ipv4(4, ipv4(17, udp(1, 2))), ["IPv4", "IPv4", "UDP"]),
    "6in4": (ipv4(41, ipv6(17, udp(1, 2))), ["IPv4", "IPv6", "UDP"]),
    "icmp error": (ipv4(1, QUOTE), ["IPv4", "ICMP", "IPv4", "UDP"]),
    "icmp echo": (ipv4(1, bytes((8, 0, 0, 0, 0, 5, 0, 3)) + b"ping"), ["IPv4", "ICMP", "data"]),
    "later fragment": (ipv4(17, bytes(16), flags=185), ["IPv4", "fragment data"]),
    "padding": (ipv4(17, udp(1, 2)) + bytes(18), ["IPv4", "UDP", "padding"]),
    "unread protocol": (ipv4(89, bytes(20)), ["IPv4", "data"]),
    "extension headers": (
        ipv6(
            0,
            bytes((43, 0, 1, 4, 0, 0, 0, 0))
            + bytes((44, 0, 0, 0, 0, 0, 0, 0))
            + b"\x11\0\0\1\0\0\0\7"
            + udp(1, 2),
        ),
        ["IPv6", "hop-by-hop", "routing", "fragment", "UDP"],
    ),
    "neighbour solicitation": (
        ipv6(58, bytes((135, 0, 0, 0, 0, 0, 0, 0)) + ip_address("fd00::2").packed),
        ["IPv6", "ICMPv6"],
    ),
    "icmp6 error": (
        ipv6(58, bytes((2, 0, 0, 0, 0, 0, 5, 0)) + ipv6(17, udp(1, 2))),
        ["IPv6", "ICMPv6", "IPv6", "UDP"],
    ),
    "sctp": (ipv4(132, struct.pack("!HHII", 1, 2, 3, 4) + bytes((1, 0, 0, 20))), ["IPv4", "SCTP", "chunks"]),
}


@pytest.fixture
def read(make_event: Callable[..., Event]) -> Read:
    return lambda packet, protocol=0: headers(make_event(packet=packet, protocol=protocol))


@pytest.mark.parametrize("name", PACKETS)
def test_the_headers_of(name: str, read: Read) -> None:
    packet, names = PACKETS[name]
    found = read(packet)
    assert [header.name for header in found] == names
    assert not [header.error for header in found if header.error]


def covers(found: tuple[Header, ...], packet: bytes) -> bool:
    """Every byte once, in order."""
    at = 0
    for header in found:
        if header.offset != at or header.length < 0:
            return False
        at += header.length
    return at == len(packet)


@pytest.mark.parametrize("name", PACKETS)
def test_every_byte_belongs_to_one_header_wherever_the_record_ends(name: str, read: Read) -> None:
    packet, _ = PACKETS[name]
    for length in range(len(packet) + 1):
        found = read(packet[:length])
        assert covers(found, packet[:length]), (length, found)


def test_bytes_of_anybody_are_read_without_a_fault(read: Read) -> None:
    source = random.Random(20261121)
    for _ in range(4000):
        packet, _ = source.choice(list(PACKETS.values()))
        changed = bytearray(packet + source.randbytes(source.randrange(64)))
        for _ in range(source.randrange(1, 12)):
            changed[source.randrange(len(changed))] = source.randrange(256)
        protocol = source.choice((0, 0x0800, 0x86DD, 0x0806, 0x8100, 0x8847, 0x88CC))
        found = read(bytes(changed[:256]), protocol)
        assert covers(found, bytes(changed[:256])), (bytes(changed), found)


def test_many_tunnels_end_somewhere(read: Read) -> None:
    packet = b""
    for _ in range(12):
        packet = ipv4(4, packet)
    found = read(packet)
    assert found[-1].is_data
    assert covers(found, packet)


def fields(found: tuple[Header, ...], name: str, which: int = 0) -> dict[str, str | int]:
    return dict([header for header in found if header.name == name][which].fields)


def test_the_fields_of_a_packet(read: Read) -> None:
    found = read(PACKETS["tcp"][0])
    ip, tcp = fields(found, "IPv4"), fields(found, "TCP")
    assert (ip["src"], ip["dst"], ip["ttl"], ip["protocol"]) == ("10.9.0.1", "10.9.0.2", 64, "6 (tcp)")
    assert "checksum_of_bytes" not in ip
    assert (tcp["sport"], tcp["dport"], tcp["flags"], tcp["window"]) == (40000, 5000, "SYN", 64240)
    assert tcp["options"] == "mss 1460, sack permitted, timestamps 1 0, window scale 7"


def test_a_checksum_that_the_bytes_do_not_give(read: Read) -> None:
    ip = fields(read(ipv4(17, udp(1, 2), checksum=0)), "IPv4")
    assert ip["checksum"] == "0x0000"
    assert ip["checksum_of_bytes"] == fields(read(ipv4(17, udp(1, 2))), "IPv4")["checksum"]


def test_ipsec_shows_its_spi_and_number(read: Read) -> None:
    assert fields(read(PACKETS["esp"][0]), "ESP") == {"spi": "0x00001001", "seq": 7}
    ah = fields(read(PACKETS["ah around a tunnel"][0]), "AH")
    assert (ah["spi"], ah["seq"], ah["next"]) == ("0x00001001", 7, "4 (ipip)")


def test_tunnels_and_quotes_lie_deeper(read: Read) -> None:
    vxlan = read(PACKETS["vxlan"][0])
    assert [header.depth for header in vxlan] == [0, 0, 0, 1, 1, 1]
    assert fields(vxlan, "VXLAN")["vni"] == 42
    quote = read(PACKETS["icmp error"][0])
    assert [(header.depth, header.quoted) for header in quote] == [(0, False)] * 2 + [(1, True)] * 2
    assert fields(quote, "ICMP")["mtu"] == 1400
    assert fields(quote, "ICMP")["code"] == "4 (fragmentation needed)"
    assert fields(read(PACKETS["gre"][0]), "GRE") == {
        "protocol": "0x0800 (IPv4)",
        "key": "0x0000004d",
        "seq": 5,
    }


def test_what_is_cut_says_so(read: Read) -> None:
    found = read(PACKETS["udp"][0][:23])
    assert [header.name for header in found] == ["IPv4", "UDP"]
    assert found[1].error == "only 3 of its 8 bytes are in the record"
    tcp = read(PACKETS["tcp"][0][:44])[1]
    assert tcp.error == "only 24 of its 40 bytes are in the record"
    assert dict(tcp.fields)["dport"] == 5000


def test_what_is_no_ip(read: Read) -> None:
    arp = bytes.fromhex("0001080006040001 020000000002 0a090001 000000000000 0a090002")
    found = read(arp + bytes(18), 0x0806)
    assert [header.name for header in found] == ["ARP", "padding"]
    assert dict(found[0].fields)["target"] == "10.9.0.2 at 00:00:00:00:00:00"
    assert [header.name for header in read(b"\x00\x05\x08\x00" + ipv4(17, udp(1, 2)), 0x8100)] == [
        "VLAN",
        "IPv4",
        "UDP",
    ]
    assert [header.name for header in read(b"\x12\x34", 0x88CC)] == ["data"]
    assert read(b"", 0x0800) == ()


def test_a_version_that_contradicts_the_ethertype(read: Read) -> None:
    found = read(ipv6(17, udp(1, 2)), 0x0800)
    assert found[0].error == "its first byte says IP version 6"
    assert found[1].is_data
