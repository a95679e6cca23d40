"""Packets without payload and with other addresses say the same, and their checksums are as right as before."""

import random
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest

from dropwatch.model.drop import Drop, Event
from dropwatch.packet.parse import parse
from dropwatch.packet.payload import icmp_checksum_holds, udp_payload
from dropwatch.packet.rewrite import headers_only, rewritten
from dropwatch.packet.walk import walk

Make = Callable[[int, bytes], bytes]
SECRET = b"the payload"
IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806


def summed(data: bytes) -> int:
    total = sum(int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def with_checksum(data: bytes, at: int, pseudo: bytes = b"") -> bytes:
    value = 0xFFFF - summed(pseudo + data[:at] + b"\0\0" + data[at + 2 :])
    return data[:at] + value.to_bytes(2, "big") + data[at + 2 :]


def ipv4(
    proto: int, body: bytes, saddr: str = "192.0.2.1", daddr: str = "198.51.100.7", options: bytes = b""
) -> bytes:
    words = 5 + len(options) // 4
    head = (
        bytes((0x40 | words, 0))
        + (words * 4 + len(body)).to_bytes(2, "big")
        + bytes((0, 9, 0, 0, 64, proto, 0, 0))
    )
    return with_checksum(head + IPv4Address(saddr).packed + IPv4Address(daddr).packed + options, 10) + body


def ipv6(proto: int, body: bytes, saddr: str = "2001:db8::1", daddr: str = "2001:db8:1::2") -> bytes:
    head = b"\x60\0\0\0" + len(body).to_bytes(2, "big") + bytes((proto, 64))
    return head + IPv6Address(saddr).packed + IPv6Address(daddr).packed + body


def pseudo(packet: bytes, proto: int, length: int) -> bytes:
    if packet[0] >> 4 == 4:
        return packet[12:20] + bytes((0, proto)) + length.to_bytes(2, "big")
    return packet[8:40] + length.to_bytes(4, "big") + bytes((0, 0, 0, proto))


def transport(make: Make, proto: int, head: bytes, checksum_at: int, body: bytes = SECRET) -> bytes:
    """An IP packet with a right checksum in its transport header."""
    data = head + body
    around = make(proto, data)
    return around[: -len(data)] + with_checksum(data, checksum_at, pseudo(around, proto, len(data)))


def udp(make: Make, dport: int = 9, body: bytes = SECRET) -> bytes:
    return transport(
        make,
        17,
        bytes.fromhex("9c40") + dport.to_bytes(2, "big") + (8 + len(body)).to_bytes(2, "big") + b"\0\0",
        6,
        body,
    )


def tcp(make: Make) -> bytes:
    options = bytes.fromhex("020405b40402080a0102030405060708")
    return transport(make, 6, bytes.fromhex("9c40 0050 00000001 00000002 9018 ffff 0000 0000") + options, 16)


def echo(make: Make) -> bytes:
    if make is ipv4:
        return ipv4(1, with_checksum(bytes.fromhex("0800000000010002") + SECRET, 2))
    return transport(ipv6, 58, bytes.fromhex("8000000000010002"), 2)


def renamed(address: bytes) -> bytes:
    return bytes((*address[:1], *(byte ^ 0x5A for byte in address[1:])))


def transport_sum_is_right(packet: bytes, proto: int) -> bool:
    head = (packet[0] & 0xF) * 4 if packet[0] >> 4 == 4 else 40
    return summed(pseudo(packet, proto, len(packet) - head) + packet[head:]) == 0xFFFF


@pytest.mark.parametrize("make", [ipv4, ipv6])
@pytest.mark.parametrize(("packet", "proto"), [(udp, 17), (tcp, 6)])
def test_checksums_stay_right(make: Make, packet: Callable[[Make], bytes], proto: int) -> None:
    data = packet(make)
    assert transport_sum_is_right(data, proto)
    new = rewritten(walk(data, 0), payload=False, rename=renamed)
    assert SECRET not in new
    assert len(new) == len(data)
    assert new != rewritten(walk(data, 0), payload=False)
    assert transport_sum_is_right(new, proto)
    assert make is ipv6 or summed(new[:20]) == 0xFFFF


def test_checksums_stay_wrong() -> None:
    data = udp(ipv4)
    broken = data[:10] + bytes((data[10] ^ 1,)) + data[11:26] + bytes((data[26] ^ 1,)) + data[27:]
    new = rewritten(walk(broken, IPV4), payload=False, rename=renamed)
    assert summed(new[:20]) != 0xFFFF
    assert not transport_sum_is_right(new, 17)


@pytest.mark.parametrize("make", [ipv4, ipv6])
@pytest.mark.parametrize(("packet", "proto", "offset"), [(udp, 17, 6), (tcp, 6, 16)])
def test_checksums_that_a_card_was_to_finish_stay_so(
    make: Make, packet: Callable[[Make], bytes], proto: int, offset: int
) -> None:
    """They are over the addresses alone, whatever becomes of the payload."""
    data = packet(make)
    head = (data[0] & 0xF) * 4 if data[0] >> 4 == 4 else 40
    at = head + offset
    half = summed(pseudo(data, proto, len(data) - head))
    data = data[:at] + half.to_bytes(2, "big") + data[at + 2 :]
    new = rewritten(walk(data, 0), payload=False, rename=renamed)
    assert int.from_bytes(new[at : at + 2], "big") == summed(pseudo(new, proto, len(new) - head)) != half
    assert rewritten(walk(data, 0), payload=False)[at : at + 2] == data[at : at + 2]


def test_a_udp_checksum_that_was_not_made_is_not_made() -> None:
    data = udp(ipv4)
    new = rewritten(walk(data[:26] + b"\0\0" + data[28:], IPV4), payload=False, rename=renamed)
    assert new[26:28] == b"\0\0"


@pytest.mark.parametrize("make", [ipv4, ipv6])
def test_what_the_judges_look_at_stays(
    make: Make, make_drop: Callable[..., Drop], make_event: Callable[..., Event]
) -> None:
    def holds(data: bytes) -> bool:
        protocol = 0
        return icmp_checksum_holds(make_drop(parse(data, protocol, 0, 0), make_event(packet=data)))

    data = echo(make)
    wrong = data[:-1] + b"!"
    for rename in (None, renamed):
        assert holds(data)
        assert holds(rewritten(walk(data, 0), payload=False, rename=rename))
        assert not holds(wrong)
        assert not holds(rewritten(walk(wrong, 0), payload=False, rename=rename))


def test_a_keepalive_stays_one(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> None:
    data = rewritten(walk(udp(ipv4, 4500, b"\xff"), IPV4), payload=False)
    assert udp_payload(make_drop(parse(data, IPV4, 0, 0), make_event(packet=data))) == b"\xff"


@pytest.mark.parametrize("make", [ipv4, ipv6])
def test_esp_on_an_unusual_port_keeps_its_spi(make: Make) -> None:
    esp = bytes.fromhex("0000100100000007")
    data = udp(make, 4519, esp + SECRET)
    start = data.index(esp)
    assert rewritten(walk(data, 0, 0x1001), payload=False)[start:] == esp + bytes(len(SECRET))
    assert headers_only(walk(data, 0, 0x1001)).endswith(esp)
    for spi in (None, 0x1002):
        assert rewritten(walk(data, 0, spi), payload=False)[start:] == bytes(len(esp + SECRET))


def test_with_payload_only_the_addresses_change() -> None:
    data = udp(ipv4)
    assert rewritten(walk(data, IPV4), payload=True) == data
    new = rewritten(walk(data, IPV4), payload=True, rename=renamed)
    assert new.endswith(SECRET)
    assert new[12:16] == renamed(data[12:16])


def test_addresses_everywhere() -> None:
    """Outside, inside tunnels, in quotes, in options, in ARP and in neighbour discovery."""
    old4, old6, mac = (
        IPv4Address("203.0.113.5").packed,
        IPv6Address("2001:db8::77").packed,
        bytes.fromhex("0a1122334455"),
    )
    inner = ipv4(17, bytes(8), "203.0.113.5", "203.0.113.5")
    inner6 = ipv6(17, bytes(8), "2001:db8::77", "2001:db8::77")
    ethernet = mac + mac + b"\x08\0" + inner
    packets = [
        (ipv4(4, inner), IPV4),
        (ipv6(4, inner), IPV6),
        (ipv4(41, inner6), IPV4),
        (ipv4(47, b"\0\0\x08\0" + inner), IPV4),
        (ipv4(47, b"\x20\0\x65\x58\0\0\0\1" + ethernet), IPV4),
        (udp(ipv4, 4789, bytes(8) + ethernet), IPV4),
        (udp(ipv6, 6081, b"\1" + bytes(11) + ethernet), IPV6),
        (ipv4(1, b"\x03\x03" + bytes(6) + inner), IPV4),
        (ipv4(1, b"\x05\x01\0\0" + old4 + inner), IPV4),
        (ipv6(58, b"\x01\x00" + bytes(6) + inner6), IPV6),
        (ipv6(58, b"\x87\x00" + bytes(6) + old6 + b"\1\1" + mac), IPV6),
        (ipv4(17, bytes(8), options=b"\x83\x07\x04" + old4 + b"\0"), IPV4),
        (bytes.fromhex("0001080006040001") + mac + old4 + mac + old4, ARP),
        (ipv4(6, bytes(20), "203.0.113.5"), 0),
    ]
    for data, protocol in packets:
        assert any(old in data for old in (old4, old6, mac))
        new = rewritten(walk(data, protocol), payload=False, rename=lambda address: b"\xee" * len(address))
        assert not any(old in new for old in (old4, old6, mac)), data.hex()


def test_headers_end_where_the_payload_begins() -> None:
    assert headers_only(walk(udp(ipv4), IPV4)) == udp(ipv4)[:28]
    assert headers_only(walk(tcp(ipv6), IPV6)) == tcp(ipv6)[: 40 + 36]
    assert headers_only(walk(b"lldp and more", 0x88CC)) == b""
    assert headers_only(walk(b"", 0)) == b""


def random_packet(source: random.Random, depth: int = 0) -> bytes:
    """Mostly well made, of protocols that the parser knows."""
    proto = source.choice([1, 2, 4, 6, 17, 17, 33, 41, 47, 50, 51, 58, 108, 132, 136, 0, 43, 44, 60])
    if depth < 3 and proto in (4, 41):
        body = random_packet(source, depth + 1)
    elif depth < 3 and proto in (1, 58):
        body = (
            bytes((source.choice([1, 2, 3, 5, 11, 128, 133, 135, 137]),))
            + bytes(7)
            + random_packet(source, depth + 1)
        )
    elif proto == 17:
        port = source.choice([9, 4500, 4789, 6081])
        body = bytes(2) + port.to_bytes(2, "big") + source.randbytes(source.randrange(60))
    else:
        body = source.randbytes(source.randrange(60))
    return source.choice([ipv4, ipv6])(proto, body)


def test_without_payload_a_packet_reads_the_same() -> None:
    source = random.Random(5000)
    for _ in range(4000):
        damaged = bytearray(random_packet(source)[:256])
        for _ in range(source.choice([0, 0, 1, 4])):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        data = bytes(damaged[: source.choice([256, source.randrange(256)])])
        protocol = source.choice([0, IPV4 if data[:1] < b"\x50" else IPV6, IPV4, ARP])
        new = rewritten(walk(data, protocol), payload=False)
        assert len(new) == len(data)
        assert parse(new, protocol, 7, 0) == parse(data, protocol, 7, 0), data.hex()
        rewritten(walk(data, protocol), payload=True, rename=renamed)
