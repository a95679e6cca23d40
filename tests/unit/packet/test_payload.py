"""What judges read from the bytes of a packet, also when they are cut or lie."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from dropwatch.model.drop import Drop, Event
from dropwatch.packet.parse import parse
from dropwatch.packet.payload import icmp_checksum_holds, tcp_numbers, tcp_payload_length, udp_payload

DropOf = Callable[..., Drop]

# A neighbour solicitation for fd00::2 from fd00::1 (RFC 4861, 4.3), its checksum left out.
SOLICITATION = bytes.fromhex(
    "6000000000203afffd000000000000000000000000000001ff0200000000000000000001ff000002"
    "8700000000000000fd0000000000000000000000000000020101027a3b1c5d6e"
)


def with_checksum(message: bytes) -> bytes:
    """The message with the ICMPv6 checksum that RFC 4443 asks for, computed here in another way."""
    covered = message[8:40] + (len(message) - 40).to_bytes(4, "big") + b"\0\0\0\x3a" + message[40:]
    words = [covered[at] << 8 | covered[at + 1] for at in range(0, len(covered), 2)]
    remainder = sum(words) % 0xFFFF
    return message[:42] + (0xFFFF - remainder).to_bytes(2, "big") + message[44:]


def ipv4(proto: int, payload: bytes, more_fragments: bool = False) -> bytes:
    return (
        bytes((0x45, 0))
        + (20 + len(payload)).to_bytes(2, "big")
        + bytes((0, 1, 0x20 if more_fragments else 0, 0, 64, proto, 0, 0))
        + ip_address("10.9.0.1").packed
        + ip_address("10.9.0.2").packed
        + payload
    )


def tcp(flags: int, data: bytes = b"", options: bytes = b"") -> bytes:
    offset = (20 + len(options)) // 4 << 4
    return bytes(4) + bytes(8) + bytes((offset, flags)) + bytes(6) + options + data


@pytest.fixture
def drop_of(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> DropOf:
    def build(data: bytes, protocol: int = 0x0800, captured: int = 256) -> Drop:
        packet = parse(data[:captured], protocol, len(data), 0)
        return make_drop(packet=packet, event=make_event(packet=data[:captured], protocol=protocol))

    return build


@pytest.mark.parametrize("options", [b"", bytes(12)])
@pytest.mark.parametrize("data", [b"", b"x", bytes(1400)])
def test_tcp_payload_is_what_the_headers_leave(drop_of: DropOf, data: bytes, options: bytes) -> None:
    assert tcp_payload_length(drop_of(ipv4(6, tcp(0x10, data, options)))) == len(data)


def test_tcp_payload_over_ipv6(drop_of: DropOf) -> None:
    segment = tcp(0x11, b"abc")
    header = b"\x60\0\0\0" + len(segment).to_bytes(2, "big") + b"\x06\x40" + bytes(32)
    assert tcp_payload_length(drop_of(header + segment, 0x86DD)) == 3


def test_tcp_payload_of_what_is_no_whole_segment_is_unknown(drop_of: DropOf) -> None:
    assert tcp_payload_length(drop_of(ipv4(17, bytes(20)))) is None
    assert tcp_payload_length(drop_of(ipv4(6, tcp(0x10)), captured=30)) is None
    assert tcp_payload_length(drop_of(ipv4(6, tcp(0x10), more_fragments=True))) is None
    assert tcp_payload_length(drop_of(b"")) is None


def test_tcp_numbers_take_what_the_sequence_takes(drop_of: DropOf) -> None:
    stamp = b"\1\1\x08\x0a" + (7).to_bytes(4, "big") + bytes(4)
    found = tcp_numbers(drop_of(ipv4(6, tcp(0x13, b"abc", stamp))))
    assert found is not None
    assert (found.length, found.timestamp) == (5, 7), "data, SYN and FIN"
    for options in (b"\x08\x0a\0\0", b"\x09\0\0\0", b"\1\1\1\x08", b"\0" + stamp[2:5], b""):
        found = tcp_numbers(drop_of(ipv4(6, tcp(0x10, b"", options))))
        assert found is not None
        assert (found.length, found.timestamp) == (0, None)
    assert tcp_numbers(drop_of(ipv4(17, bytes(20)))) is None


def udp(data: bytes, length: int | None = None) -> bytes:
    return bytes(4) + (8 + len(data) if length is None else length).to_bytes(2, "big") + bytes(2) + data


def test_udp_payload_ends_where_udp_says(drop_of: DropOf) -> None:
    assert udp_payload(drop_of(ipv4(17, udp(b"\xff")))) == b"\xff"
    assert udp_payload(drop_of(ipv4(17, udp(b"\xff" + bytes(17), length=9)))) == b"\xff"
    assert udp_payload(drop_of(ipv4(17, udp(b"")))) == b""


def test_udp_payload_that_was_not_captured_is_unknown(drop_of: DropOf) -> None:
    assert udp_payload(drop_of(ipv4(17, udp(bytes(400))))) is None
    assert udp_payload(drop_of(ipv4(17, udp(b"x", length=3)))) is None
    assert udp_payload(drop_of(ipv4(17, b"\0\0"))) is None


def test_a_right_icmp_checksum_holds(drop_of: DropOf) -> None:
    assert icmp_checksum_holds(drop_of(with_checksum(SOLICITATION), 0x86DD))


@pytest.mark.parametrize("at", [8, 30, 40, 43, 50, 71])
def test_any_flipped_bit_breaks_the_icmp6_checksum(drop_of: DropOf, at: int) -> None:
    message = bytearray(with_checksum(SOLICITATION))
    message[at] ^= 0x04
    assert not icmp_checksum_holds(drop_of(bytes(message), 0x86DD))


def test_an_icmp_checksum_covers_the_message_only(drop_of: DropOf) -> None:
    def reply(checksum: str) -> bytes:
        return ipv4(1, bytes.fromhex("0000" + checksum + "00070001deadbeef01"))

    assert icmp_checksum_holds(drop_of(reply("615a")))
    assert not icmp_checksum_holds(drop_of(reply("615b")))
    assert not icmp_checksum_holds(drop_of(reply("615a"), captured=30))


def test_a_checksum_over_bytes_that_were_not_captured_does_not_hold(drop_of: DropOf) -> None:
    assert not icmp_checksum_holds(drop_of(with_checksum(SOLICITATION), 0x86DD, captured=60))
    assert not icmp_checksum_holds(drop_of(ipv4(17, bytes(8))))
