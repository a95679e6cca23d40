"""One walk: every byte of it bounded, and what a recording keeps and renames of the deepest packets."""

import random
import struct
import time
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from dropwatch.model.drop import Event
from dropwatch.packet.headers import headers
from dropwatch.packet.layer import Layer
from dropwatch.packet.outline import outline
from dropwatch.packet.parse import parse
from dropwatch.packet.rewrite import headers_only, rewritten
from dropwatch.packet.walk import Walk, walk
from tests.unit.packet import packets as made
from tests.unit.packet.combined import combined

EVERYTHING = [packet for _, packet in combined()]
ETHERTYPES = (0, 0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8, 0x8847, 0x88CC, 0x6558, 0x880B)
FLOW = made.ipv4(made.UDP, made.udp(b"payload"), "203.0.113.5", "203.0.113.6")


def kinds(walked: Walk) -> list[str]:
    return [layer.kind for layer in walked.layers]


def shape(walked: Walk) -> list[Layer]:
    """The layers without their bytes."""
    return [layer._replace(data=b"") for layer in walked.layers]


def test_a_vlan_tag_in_vxlan() -> None:
    frame = made.ethernet(0x8100, made.vlan(5, 0x0800, FLOW))
    walked = walk(made.ipv4(made.UDP, made.udp(made.vxlan(frame), 51000, 4789)))
    assert kinds(walked) == ["ipv4", "udp", "vxlan", "ethernet", "vlan", "ipv4", "udp"]
    assert [layer.depth for layer in walked.layers] == [0, 0, 0, 1, 1, 1, 1]
    assert walked.rest.at == len(walked.data) - len(b"payload")


def test_the_redirect_of_ipv6_quotes_in_its_last_option() -> None:
    mac = b"\2\1" + bytes.fromhex("020000000001")
    quoted = made.ipv6(made.UDP, made.udp(b"x", 1, 53))
    redirected = bytes((4, 1 + len(quoted) // 8)) + bytes(6) + quoted
    ends = ip_address("fe80::1").packed + ip_address("fd00::9").packed
    packet = made.ipv6(made.ICMP6, made.icmp(137, 0, ends + mac + redirected))
    read = parse(packet, 0, 0, 0)
    assert read.quoted is not None
    assert (read.quoted.dport, read.inner) == (53, None)
    found = outline(walk(packet))
    renamed = {packet[start:end] for start, end in found.addresses}
    assert renamed >= {ends[:16], ends[16:], bytes.fromhex("020000000001"), quoted[8:24]}


def test_what_is_named_and_not_opened() -> None:
    for packet, name in (
        (made.udp(b"\4\0\0\0" + bytes(28), 51820, 40000), "wireguard"),
        (made.udp(b"\5\0\0\0" + bytes(28), 51820, 40000), None),
        (made.udp(bytes(8), 2152, 2152), None),
        (made.udp(b"\x32\1\0\4" + bytes(8), 2152, 2152), "gtp"),
        (made.udp(b"\xc8\2" + bytes(18), 1701, 1701), "l2tp"),
        (made.udp(b"\x01\0" + bytes(18), 1701, 1701), None),
    ):
        found = kinds(walk(made.ipv4(made.UDP, packet)))
        assert found == ["ipv4", "udp", *([name] if name else [])], packet.hex()


@pytest.mark.parametrize("length", [41, 43, 0, 0xFFFF])
def test_a_segment_in_the_middle_of_messages_is_no_esp(length: int) -> None:
    """RFC 9329: only a segment that is exactly one message is known to begin one."""
    segment = made.tcp(struct.pack("!H", length) + made.esp(), 40000, 4500)
    assert parse(made.ipv4(made.TCP, segment), 0, 0, 0).spi is None


def test_esp_in_tcp_is_known_by_the_whole_length_also_of_a_cut_record() -> None:
    segment = made.tcp(struct.pack("!H", 42) + made.esp(), 40000, 4500)
    assert parse(made.ipv4(made.TCP, segment)[:60], 0, 0, 0).spi == 0x1001


def test_depth_is_bounded() -> None:
    packet = FLOW
    for _ in range(40):
        packet = made.ipv4(made.IPIP, packet)
    walked = walk(packet)
    assert max(layer.depth for layer in walked.layers) == 6
    labels = walk(made.mpls(b"", *range(16, 400)), 0x8847)
    assert len(labels.layers) < 64


def hostile(chance: random.Random) -> bytes:
    """Noise, or a real packet with some of its bytes changed, cut to what a record holds."""
    if chance.random() < 0.3:
        data = bytearray(chance.randbytes(chance.randrange(257)))
    else:
        data = bytearray(chance.choice(EVERYTHING)[:256])
        for _ in range(chance.choice((0, 1, 2, 4, 16))):
            data[chance.randrange(len(data))] = chance.choice((chance.randrange(256), 0, 0xFF))
        del data[chance.choice((256, chance.randrange(257))) :]
    return bytes(data)


@pytest.mark.parametrize("seed", range(6))
def test_hostile_bytes(seed: int, make_event: Callable[..., Event]) -> None:
    """Whatever comes: no error, no span outside, every byte in one header, and zeros for payload change nothing."""
    chance = random.Random(seed)
    for _ in range(600):
        data, protocol, spi = hostile(chance), chance.choice(ETHERTYPES), chance.choice((None, 0x1001))
        walked = walk(data, protocol, spi)
        at = 0
        for layer in walked.layers:
            assert at <= layer.at <= layer.end <= layer.limit <= len(data), data.hex()
            at = layer.end
        found = outline(walked)
        assert all(0 <= start < end <= len(data) for start, end in (*found.headers, *found.addresses))
        shown = headers(make_event(packet=data, protocol=protocol))
        assert sum(header.length for header in shown) == len(data), data.hex()
        blank = rewritten(walked, payload=False)
        assert shape(walk(blank, protocol, spi)) == shape(walked), data.hex()
        assert len(headers_only(walked)) <= len(data)


def test_no_256_bytes_take_long() -> None:
    """The slowest of thousands; a walk that is not linear would take seconds."""
    chance = random.Random(9)
    slowest = 0.0
    for _ in range(4000):
        data, protocol = hostile(chance), chance.choice(ETHERTYPES)
        begin = time.thread_time()
        outline(walk(data, protocol))
        slowest = max(slowest, time.thread_time() - begin)
    assert slowest < 0.1


def test_a_recording_keeps_the_headers_and_zeros_the_payload_however_deep() -> None:
    for name, data in combined():
        walked = walk(data)
        blank = rewritten(walked, payload=False)
        assert shape(walk(blank)) == shape(walked), name
        assert parse(blank, 0, 0, 0) == parse(data, 0, 0, 0), name
        chunk = 4 if walked.layers[-1].kind == "sctp" else 0  # what the first one is
        assert not any(blank[walked.rest.at + chunk :]), name
        sums = [layer.at + 6 for layer in walked.layers if layer.kind == "udp"]
        sums += [layer.at + 2 for layer in walked.layers if layer.kind in ("icmp", "icmp6")]
        sums += [layer.at + 4 for layer in walked.layers if layer.kind == "gre"]
        sums += [layer.at + 16 for layer in walked.layers if layer.kind == "tcp"]
        sums += [layer.at + half for layer in walked.layers if layer.kind == "sctp" for half in (8, 10)]
        for at in range(walked.rest.at):
            assert blank[at] == data[at] or any(start <= at < start + 2 for start in sums), (name, at)


def test_no_address_of_the_walk_keeps_its_value() -> None:
    addresses = [
        ip_address(text).packed
        for text in ("10.9.0.1", "10.9.0.2", "203.0.113.9", "fd00::1", "fd00::2", "192.0.2.1", "2001:db8::1")
    ]
    addresses += [bytes.fromhex("020000000001"), bytes.fromhex("020000000002")]
    for name, data in combined():
        new = rewritten(walk(data), payload=False, rename=lambda address: b"\xee" * len(address))
        assert not [address for address in addresses if address in new], name


@pytest.mark.parametrize(
    ("packet", "address"),
    [
        (
            made.ipv4(made.UDP, made.udp(), options=b"\x44\x0c\x0d\x01" + b"\xcb\0\x71\x09" + bytes(4)),
            "203.0.113.9",
        ),
        (made.ipv4(made.TCP, made.tcp(options=b"\x1e\x08\x30\x01\xcb\0\x71\x09")), "203.0.113.9"),
        (
            made.ipv6(
                60, bytes((17, 2, 1, 2, 0, 0, 201, 16)) + ip_address("2001:db8::9").packed + made.udp()
            ),
            "2001:db8::9",
        ),
        (
            made.ipv6(135, bytes((59, 2, 7, 0, 0, 0, 1, 0)) + ip_address("2001:db8::9").packed),
            "2001:db8::9",
        ),
        (
            made.ipv6(made.ICMP6, made.icmp(131, 0, ip_address("2001:db8::9").packed)),
            "2001:db8::9",
        ),
    ],
    ids=["timestamps", "multipath TCP", "home address", "binding error", "listener report"],
)
def test_addresses_in_options(packet: bytes, address: str) -> None:
    packed = ip_address(address).packed
    assert packed in packet
    assert packed not in rewritten(walk(packet), payload=False, rename=lambda old: b"\xee" * len(old))


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("kind", [2, 4])
def test_a_checksum_covers_the_final_destination_of_a_routing_header(kind: int, left: int) -> None:
    final = ip_address("2001:db8::f").packed
    for_checksum = final if left else ip_address("fd00::2").packed
    segment = made.udp(b"payload!")
    source = ip_address("fd00::1").packed
    pseudo = source + for_checksum + struct.pack("!II", len(segment), made.UDP)
    segment = segment[:6] + struct.pack("!H", made.checksum(pseudo + segment)) + segment[8:]
    packet = made.ipv6(made.ROUTING, bytes((17, 2, kind, left, 0, 0, 0, 0)) + final + segment)
    new = rewritten(walk(packet), payload=False, rename=lambda old: bytes(byte ^ 0x5A for byte in old))
    at = len(packet) - len(segment)
    end = new[48:64] if left else new[24:40]
    assert made.checksum(new[8:24] + end + struct.pack("!II", len(segment), made.UDP) + new[at:]) == 0


def test_the_checksum_of_gre_stays_right() -> None:
    packet = made.ipv4(made.GRE, made.gre(0x0800, FLOW, bytes(4), 0x8000))
    right = struct.pack("!H", made.checksum(packet[20:]))
    packet = packet[:24] + right + packet[26:]
    new = rewritten(walk(packet), payload=False, rename=lambda old: bytes(byte ^ 0x5A for byte in old))
    assert made.checksum(new[20:]) == 0
    assert made.checksum(new[28:48]) == 0
