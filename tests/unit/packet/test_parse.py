"""Bytes become packets: whole ones, cut ones, and what no sane sender would send."""

import random
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from dropwatch.model.drop import Event, Packet
from dropwatch.model.ipsec import XfrmNote
from dropwatch.packet.parse import parse, parse_event

IP, IP6, ARP = 0x0800, 0x86DD, 0x0806
A4, B4 = "10.9.0.1", "10.9.0.2"
A6, B6 = "fd00::1", "fd00::2"
TCP, UDP, ICMP, ICMP6, ESP, AH, GRE, IPIP, IPV6 = 6, 17, 1, 58, 50, 51, 47, 4, 41
HOP, ROUTING, FRAGMENT, DESTINATION, MOBILITY, COMP, SCTP = 0, 43, 44, 60, 135, 108, 132


def ipv4(
    proto: int, payload: bytes, *, options: bytes = b"", flags: int = 0, total: int | None = None
) -> bytes:
    ihl = 5 + len(options) // 4
    length = ihl * 4 + len(payload) if total is None else total
    fixed = struct.pack(">BBHHHBBH", 4 << 4 | ihl, 0, length, 0xBEEF, flags, 61, proto, 0)
    return fixed + IPv4Address(A4).packed + IPv4Address(B4).packed + options + payload


def ipv6(proto: int, payload: bytes, *, payload_length: int | None = None) -> bytes:
    length = len(payload) if payload_length is None else payload_length
    fixed = struct.pack(">IHBB", 6 << 28, length, proto, 62)
    return fixed + IPv6Address(A6).packed + IPv6Address(B6).packed + payload


def udp(payload: bytes = b"", sport: int = 40000, dport: int = 5000) -> bytes:
    return struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload


def tcp(flags: int, sport: int = 40000, dport: int = 5000) -> bytes:
    return struct.pack(">HHIIBBHHH", sport, dport, 1, 2, 5 << 4, flags, 1024, 0, 0)


def esp(spi: int = 0x1001, seq: int = 7) -> bytes:
    return struct.pack(">II", spi, seq) + bytes(32)


def extension(following: int, length: int = 8) -> bytes:
    return bytes([following, length // 8 - 1]) + bytes(length - 2)


def fragment(following: int, offset: int, more: bool, identity: int = 0xCAFEBABE) -> bytes:
    return struct.pack(">BBHI", following, 0, offset | more, identity)


def ethernet(ethertype: int, payload: bytes) -> bytes:
    return bytes(12) + ethertype.to_bytes(2, "big") + payload


def read(data: bytes, protocol: int = 0, length: int = 9999) -> Packet:
    return parse(data, protocol, length, 0)


def flow(packet: Packet | None) -> tuple[str | None, str, str, int | None, int | None]:
    assert packet is not None
    return packet.proto, str(packet.saddr), str(packet.daddr), packet.sport, packet.dport


FLOW4 = ("udp", A4, B4, 40000, 5000)
FLOW6 = ("udp", A6, B6, 40000, 5000)


def test_udp_over_ipv4() -> None:
    assert parse(ipv4(UDP, udp(b"hello")), IP, 33, 0x2A) == Packet(
        family=4,
        proto="udp",
        saddr=ip_address(A4),
        daddr=ip_address(B4),
        sport=40000,
        dport=5000,
        length=33,
        mark=0x2A,
        ttl=61,
    )


def test_udp_over_ipv6() -> None:
    assert parse(ipv6(UDP, udp(b"hello")), IP6, 53, 0x2A) == Packet(
        family=6,
        proto="udp",
        saddr=ip_address(A6),
        daddr=ip_address(B6),
        sport=40000,
        dport=5000,
        length=53,
        mark=0x2A,
        ttl=62,
    )


@pytest.mark.parametrize(("data", "family"), [(ipv4(UDP, udp()), 4), (ipv6(UDP, udp()), 6)])
def test_the_bytes_decide_where_the_kernel_had_not(data: bytes, family: int) -> None:
    assert read(data, protocol=0) == read(data, protocol=IP if family == 4 else IP6)
    assert read(data).family == family


def test_length_is_the_packets_not_the_buffers() -> None:
    """skb->len covers the Ethernet header in one place and leaves out the IP header in another."""
    assert read(ipv4(UDP, udp(b"abcd")), length=8).length == 32
    assert read(ipv6(UDP, udp(b"abcd")), length=8).length == 52
    assert read(ipv4(UDP, udp(), total=0), length=70000).length == 70000, "a GSO packet over 64 KiB"
    assert read(ipv6(UDP, udp(), payload_length=0), length=70000).length == 70000


@pytest.mark.parametrize("words", range(11))
def test_ipv4_options(words: int) -> None:
    assert flow(read(ipv4(UDP, udp(), options=bytes([1]) * words * 4))) == FLOW4


@pytest.mark.parametrize(
    ("flags", "letters"),
    [(0x02, "S"), (0x12, "SA"), (0x04, "R"), (0x18, "PA"), (0x00, ""), (0xFF, "FSRPAUEC")],
)
def test_tcp_flags(flags: int, letters: str) -> None:
    packet = read(ipv4(TCP, tcp(flags)))
    assert (packet.proto, packet.sport, packet.dport, packet.tcp_flags) == ("tcp", 40000, 5000, letters)


def test_a_tcp_header_cut_before_its_flags_still_has_ports() -> None:
    packet = read(ipv4(TCP, tcp(2)[:13]))
    assert (packet.sport, packet.dport, packet.tcp_flags) == (40000, 5000, None)


@pytest.mark.parametrize(
    ("number", "name"), [(SCTP, "sctp"), (33, "dccp"), (136, "udplite")], ids=["sctp", "dccp", "udplite"]
)
def test_others_with_ports(number: int, name: str) -> None:
    assert flow(read(ipv4(number, udp()))) == (name, A4, B4, 40000, 5000)


def test_a_protocol_without_a_name() -> None:
    packet = read(ipv4(253, udp()))
    assert (packet.proto, packet.sport, packet.dport, packet.header_error) == ("253", None, None, None)


def test_a_chain_of_every_extension_header() -> None:
    chain = extension(ROUTING) + extension(DESTINATION, 24) + extension(MOBILITY, 16)
    chain += extension(FRAGMENT) + fragment(UDP, 0, more=False)
    packet = read(ipv6(HOP, chain + udp()))
    assert flow(packet) == FLOW6
    assert (packet.fragment_id, packet.fragment_offset, packet.more_fragments) == (0xCAFEBABE, 0, False)


@pytest.mark.parametrize("kind", [HOP, ROUTING, DESTINATION, MOBILITY])
@pytest.mark.parametrize("length", [8, 16, 64])
def test_one_extension_header(kind: int, length: int) -> None:
    assert flow(read(ipv6(kind, extension(UDP, length) + udp()))) == FLOW6


def test_extension_headers_without_end() -> None:
    packet = read(ipv6(HOP, extension(HOP) * 27))
    assert (packet.sport, packet.dport) == (None, None)


@pytest.mark.parametrize("cut", range(8))
def test_an_extension_header_cut(cut: int) -> None:
    packet = read(ipv6(HOP, extension(UDP)[:cut]))
    assert (packet.proto, packet.header_error) == (None, "IPv6 extension header cut")
    assert str(packet.saddr) == A6


def test_first_fragment() -> None:
    four = read(ipv4(UDP, udp(bytes(16)), flags=0x2000))
    six = read(ipv6(FRAGMENT, fragment(UDP, 0, more=True) + udp(bytes(16))))
    assert (flow(four), flow(six)) == (FLOW4, FLOW6)
    assert (four.fragment_id, four.fragment_offset, four.more_fragments) == (0xBEEF, 0, True)
    assert (six.fragment_id, six.fragment_offset, six.more_fragments) == (0xCAFEBABE, 0, True)


def test_later_fragments_have_no_ports() -> None:
    """Their first bytes are data, whatever they look like."""
    middle = read(ipv4(UDP, udp(bytes(16)), flags=0x2000 | 185))
    last = read(ipv4(UDP, udp(bytes(16)), flags=370))
    six = read(ipv6(FRAGMENT, fragment(UDP, 1448, more=False) + udp(bytes(16))))
    assert (flow(middle), flow(last)) == (("udp", A4, B4, None, None),) * 2
    assert flow(six) == ("udp", A6, B6, None, None)
    assert (middle.fragment_offset, middle.more_fragments, middle.fragment_id) == (1480, True, 0xBEEF)
    assert (last.fragment_offset, last.more_fragments) == (2960, False)
    assert (six.fragment_offset, six.more_fragments, six.fragment_id) == (1448, False, 0xCAFEBABE)


@pytest.mark.parametrize("proto", [ESP, AH, ICMP, GRE, IPIP])
def test_a_later_fragment_of_anything_is_not_read(proto: int) -> None:
    packet = read(ipv4(proto, ipv4(UDP, udp()), flags=1))
    assert (packet.spi, packet.icmp_type, packet.inner, packet.quoted) == (None, None, None, None)


def test_dont_fragment_is_no_fragment() -> None:
    assert read(ipv4(UDP, udp(), flags=0x4000)).fragment_id is None


def test_esp() -> None:
    for packet in (read(ipv4(ESP, esp(0xC0FFEE01, 9))), read(ipv6(ESP, esp(0xC0FFEE01, 9)))):
        assert (packet.proto, packet.spi, packet.seq) == ("esp", 0xC0FFEE01, 9)
        assert (packet.sport, packet.dport) == (None, None)


def test_ah() -> None:
    header = bytes([UDP, 4, 0, 0]) + struct.pack(">II", 0x2002, 11) + bytes(12)
    packet = read(ipv4(AH, header + udp()))
    assert (packet.proto, packet.spi, packet.seq) == ("ah", 0x2002, 11)


@pytest.mark.parametrize("proto", [ESP, AH])
def test_an_ipsec_header_cut(proto: int) -> None:
    packet = read(ipv4(proto, bytes(7)))
    assert packet.spi is None
    assert "cut" in str(packet.header_error)


@pytest.mark.parametrize(("sport", "dport"), [(4500, 4500), (4500, 61234), (61234, 4500)])
def test_esp_in_udp(sport: int, dport: int) -> None:
    packet = read(ipv4(UDP, udp(esp(0x3003, 5), sport, dport)))
    assert (packet.proto, packet.sport, packet.dport) == ("udp", sport, dport)
    assert (packet.spi, packet.seq) == (0x3003, 5)


def test_esp_in_udp_over_ipv6_and_in_the_first_fragment() -> None:
    packet = read(ipv6(FRAGMENT, fragment(UDP, 0, more=True) + udp(esp(), 4500, 4500)))
    assert (packet.spi, packet.seq) == (0x1001, 7)


@pytest.mark.parametrize("payload", [b"", b"\xff", bytes(4) + b"IKE" * 20, bytes(24)])
def test_what_else_uses_port_4500(payload: bytes) -> None:
    """Keepalives are one byte 0xff, IKE follows four zeros (RFC 3948)."""
    packet = read(ipv4(UDP, udp(payload, 4500, 4500)))
    assert (packet.spi, packet.seq, packet.header_error) == (None, None, None)


@pytest.mark.parametrize("padding", [bytes(17), b"\xa5" * 17])
def test_ethernet_padding_belongs_to_no_packet(padding: bytes) -> None:
    """A keepalive is shorter than the shortest frame, and is padded; before ip_rcv the padding is still there."""
    for packet in (
        read(ipv4(UDP, udp(b"\xff", 4500, 4500)) + padding),
        read(ipv6(UDP, udp(b"\xff", 4500, 4500)) + padding),
    ):
        assert (packet.spi, packet.seq, packet.header_error) == (None, None, None)
        assert (packet.sport, packet.dport) == (4500, 4500)


def test_a_total_length_that_is_nonsense_does_not_hide_the_ports() -> None:
    for total in (1, 19):
        assert flow(read(ipv4(UDP, udp(), total=total))) == FLOW4


def icmp(kind: int, code: int, quoted: bytes) -> bytes:
    return bytes([kind, code]) + bytes(6) + quoted


@pytest.mark.parametrize("kind", [3, 4, 5, 11, 12])
def test_icmp_errors_quote(kind: int) -> None:
    packet = read(ipv4(ICMP, icmp(kind, 1, ipv4(UDP, udp()))))
    assert (packet.proto, packet.icmp_type, packet.icmp_code, packet.inner) == ("icmp", kind, 1, None)
    assert flow(packet.quoted) == FLOW4


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 127])
def test_icmp6_errors_quote(kind: int) -> None:
    packet = read(ipv6(ICMP6, icmp(kind, 4, ipv6(UDP, udp()))))
    assert (packet.proto, packet.icmp_type, packet.icmp_code) == ("icmp6", kind, 4)
    assert flow(packet.quoted) == FLOW6


def test_an_icmp_error_quotes_no_more_than_the_ports() -> None:
    """RFC 792 asks for the header and eight bytes; the quoted header tells the length of the whole."""
    quoted = ipv4(TCP, tcp(2)[:8], total=1500)
    packet = read(ipv4(ICMP, icmp(3, 4, quoted)))
    assert flow(packet.quoted) == ("tcp", A4, B4, 40000, 5000)
    assert packet.quoted is not None
    assert packet.quoted.length == 1500


@pytest.mark.parametrize(("proto", "kind"), [(ICMP, 8), (ICMP, 0), (ICMP, 13), (ICMP6, 128), (ICMP6, 135)])
def test_other_icmp_messages_quote_nothing(proto: int, kind: int) -> None:
    inside = ipv4(UDP, udp()) if proto == ICMP else ipv6(UDP, udp())
    packet = read((ipv4 if proto == ICMP else ipv6)(proto, icmp(kind, 0, inside)))
    assert (packet.icmp_type, packet.quoted, packet.inner) == (kind, None, None)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (ipv4(IPIP, ipv4(UDP, udp())), FLOW4),
        (ipv4(IPV6, ipv6(UDP, udp())), FLOW6),
        (ipv6(IPV6, ipv6(UDP, udp())), FLOW6),
        (ipv6(IPIP, ipv4(UDP, udp())), FLOW4),
        (ipv4(GRE, b"\x00\x00\x08\x00" + ipv4(UDP, udp())), FLOW4),
        (ipv4(GRE, b"\x20\x00\x08\x00" + b"key!" + ipv4(UDP, udp())), FLOW4),
        (ipv4(GRE, b"\xb0\x00\x86\xdd" + b"csumkey!seq!" + ipv6(UDP, udp())), FLOW6),
        (ipv4(GRE, b"\x20\x00\x65\x58" + b"key!" + ethernet(IP, ipv4(UDP, udp()))), FLOW4),
        (ipv4(UDP, udp(bytes(8) + ethernet(IP, ipv4(UDP, udp())), 55555, 4789)), FLOW4),
        (ipv6(UDP, udp(bytes(8) + ethernet(IP6, ipv6(UDP, udp())), 55555, 8472)), FLOW6),
        (ipv4(UDP, udp(b"\x00\x00\x65\x58" + bytes(4) + ethernet(IP, ipv4(UDP, udp())), 55555, 6081)), FLOW4),
        (
            ipv4(UDP, udp(b"\x03\x00\x65\x58" + bytes(16) + ethernet(IP, ipv4(UDP, udp())), 55555, 6081)),
            FLOW4,
        ),
    ],
    ids=[
        "ipip",
        "6in4",
        "6in6",
        "4in6",
        "gre",
        "gre-key",
        "gre-all",
        "gretap",
        "vxlan",
        "vxlan-linux",
        "geneve",
        "geneve-options",
    ],
)
def test_tunnels(data: bytes, expected: tuple[str, str, str, int, int]) -> None:
    packet = read(data)
    assert flow(packet.inner) == expected
    assert packet.quoted is None
    assert packet.header_error is None


@pytest.mark.parametrize(
    "data",
    [
        ipv4(GRE, b"\x00\x00\x08\x06" + ipv4(UDP, udp())),
        ipv4(GRE, b"\x00\x00"),
        ipv4(UDP, udp(bytes(8) + ethernet(ARP, ipv4(UDP, udp())), 55555, 4789)),
        ipv4(UDP, udp(bytes(8), 55555, 4789)),
        ipv4(UDP, udp(b"", 55555, 6081)),
        ipv4(IPIP, b""),
        ipv4(IPIP, b"\x55" * 40),
    ],
    ids=["gre-arp", "gre-cut", "vxlan-arp", "vxlan-empty", "geneve-empty", "ipip-empty", "ipip-nonsense"],
)
def test_tunnels_around_something_else(data: bytes) -> None:
    assert read(data).inner is None


def test_a_tunnel_in_a_tunnel_in_a_tunnel_ends() -> None:
    data = ipv4(UDP, udp())
    for _ in range(12):
        data = ipv4(IPIP, data)
    depth, packet = 0, read(data).inner
    while packet is not None:
        depth, packet = depth + 1, packet.inner
    assert depth == 6


def test_an_error_about_a_tunnel_packet() -> None:
    quoted = read(ipv4(ICMP, icmp(3, 4, ipv4(IPIP, ipv4(UDP, udp()))))).quoted
    assert quoted is not None
    assert flow(quoted.inner) == FLOW4


def test_an_inner_packet_cut_says_so_of_itself() -> None:
    packet = read(ipv4(IPIP, ipv4(UDP, udp())[:10]))
    assert packet.header_error is None
    assert packet.inner is not None
    assert "cut after 10 bytes" in str(packet.inner.header_error)


@pytest.mark.parametrize(
    ("ethertype", "name"),
    [(ARP, "arp"), (0x88CC, "lldp"), (0x8100, "vlan"), (0x8847, "mpls"), (0x1234, "0x1234")],
)
@pytest.mark.parametrize("data", [b"", bytes(28), ipv4(UDP, udp())])
def test_what_is_not_ip(ethertype: int, name: str, data: bytes) -> None:
    packet = read(data, protocol=ethertype, length=28)
    assert (packet.proto, packet.family, packet.saddr, packet.sport) == (name, None, None, None)
    assert packet.length == 28


def test_nothing_at_all() -> None:
    assert parse(b"", 0, 0, 0) == Packet(None, None, None, None, None, None, 0, 0)


@pytest.mark.parametrize(
    ("protocol", "data"),
    [
        (IP, ipv6(UDP, udp())),
        (IP6, ipv4(UDP, udp())),
        (IP, b"\x50" * 40),
        (IP6, b"\x00" * 40),
        (IP, b""),
        (IP6, b""),
    ],
)
def test_an_ethertype_that_the_bytes_contradict(protocol: int, data: bytes) -> None:
    packet = read(data, protocol=protocol)
    assert packet.family == (4 if protocol == IP else 6)
    assert packet.header_error
    assert (packet.saddr, packet.daddr, packet.proto) == (None, None, None)


@pytest.mark.parametrize("words", range(5))
def test_an_ipv4_header_length_below_the_least(words: int) -> None:
    data = ipv4(UDP, udp())
    packet = read(bytes([4 << 4 | words]) + data[1:])
    assert "header length" in str(packet.header_error)
    assert (packet.sport, packet.dport, str(packet.saddr)) == (None, None, A4)


WHOLE = {
    "udp": ipv4(UDP, udp(b"data")),
    "options": ipv4(TCP, tcp(2), options=bytes(40)),
    "esp-in-udp": ipv4(UDP, udp(esp(), 4500, 4500)),
    "extensions": ipv6(
        HOP, extension(FRAGMENT) + fragment(DESTINATION, 0, True) + extension(UDP, 24) + udp(b"x")
    ),
    "ah": ipv6(AH, bytes([UDP, 4, 0, 0]) + struct.pack(">II", 1, 2) + bytes(12) + udp()),
    "quote": ipv6(ICMP6, icmp(1, 4, ipv6(UDP, udp()))),
    "gretap": ipv4(GRE, b"\xb0\x00\x65\x58" + bytes(12) + ethernet(IP6, ipv6(TCP, tcp(2)))),
    "geneve": ipv4(UDP, udp(b"\x3f\x00\x65\x58" + bytes(256) + ethernet(IP, ipv4(UDP, udp())), 1, 6081)),
    "vxlan": ipv4(UDP, udp(bytes(8) + ethernet(IP, ipv4(IPIP, ipv4(UDP, udp()))), 1, 4789)),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_cut_at_every_byte(kind: str) -> None:
    """Never an error, never another answer than that of the whole packet: only less of it."""
    whole = read(WHOLE[kind])
    for length in range(len(WHOLE[kind])):
        packet = read(WHOLE[kind][:length])
        for name in (
            "saddr",
            "daddr",
            "proto",
            "sport",
            "dport",
            "spi",
            "seq",
            "icmp_type",
            "tcp_flags",
            "fragment_id",
        ):
            assert getattr(packet, name) in (None, getattr(whole, name)), (
                f"{name} of the first {length} bytes"
            )
        if packet.header_error is None and length > 0:
            assert packet.proto == whole.proto, f"the first {length} bytes"


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes(seed: int) -> None:
    """Whatever comes, an answer comes back."""
    chance = random.Random(seed)
    for _ in range(1500):
        data = bytearray(chance.randbytes(chance.randrange(257)))
        if data and chance.random() < 0.8:
            data[0] = chance.choice((0x45, 0x46, 0x4F, 0x60, 0x6F, 0x40))
        if len(data) > 9 and chance.random() < 0.8:
            at = 9 if data[0] >> 4 == 4 else 6
            data[at] = chance.choice(
                (HOP, ICMP, IPIP, TCP, UDP, IPV6, ROUTING, FRAGMENT, GRE, ESP, AH, ICMP6, COMP)
            )
        packet = parse(bytes(data), chance.choice((0, IP, IP6, ARP)), chance.randrange(1 << 17), 0)
        assert packet.length >= 0
        assert packet.fragment_offset % 8 == 0


@pytest.mark.parametrize("seed", range(8))
def test_damaged_packets(seed: int) -> None:
    chance = random.Random(seed)
    for data in WHOLE.values():
        for _ in range(150):
            damaged = bytearray(data[:256])
            for _ in range(chance.randrange(1, 6)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            assert isinstance(read(bytes(damaged[: chance.randrange(len(damaged) + 1)])), Packet)


@pytest.mark.parametrize(
    "data", [ipv4(17, udp(esp(), dport=4519)), ipv6(17, udp(esp(), dport=4519))], ids=["4", "6"]
)
def test_esp_in_udp_on_another_port(data: bytes, make_event: Callable[..., Event]) -> None:
    """Only where the first bytes are the SPI that the kernel had: any datagram could look like ESP."""

    def noted(spi: int, packet: bytes = data) -> Packet:
        return parse_event(make_event(packet=packet, protocol=0, length=9999, xfrm=XfrmNote(spi=spi)))

    packet = read(data)
    assert packet.spi is None
    found = noted(0x1001)
    assert (found.spi, found.seq, found.dport) == (0x1001, 7, 4519)
    assert noted(0x1002) == packet
    assert noted(0x1001, data[:-36]) == packet
