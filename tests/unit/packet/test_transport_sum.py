"""Which checksum a packet has and which it should have, as another way of computing it says."""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.model.drop import Drop
from dropwatch.packet.parse import parse
from dropwatch.packet.transport_sum import transport_sum

ENDS = {4: ("10.9.0.1", "10.9.0.2"), 6: ("fd09::1", "fd09::2")}
NUMBERS = {"tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58}
SEGMENT = bytes.fromhex("138803e90000000700000000500203e80000000061626364")
DATAGRAM = bytes.fromhex("138803e9000d00006162636465")
ECHO = bytes.fromhex("0800000000070001616263")
AT = {"tcp": 16, "udp": 6, "icmp": 2, "icmp6": 2}
BODY = {"tcp": SEGMENT, "udp": DATAGRAM, "icmp": ECHO, "icmp6": b"\x80" + ECHO[1:]}


def sum_of(data: bytes) -> int:
    total = sum(data[at] << 8 | (data[at + 1] if at + 1 < len(data) else 0) for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(family: int, proto: str, length: int) -> bytes:
    if proto == "icmp":
        return b""
    addresses = b"".join(ip_address(one).packed for one in ENDS[family])
    return addresses + length.to_bytes(4, "big") + NUMBERS[proto].to_bytes(4, "big")


def packet(family: int, proto: str, checksum: int) -> bytes:
    body = bytearray(BODY[proto])
    body[AT[proto] : AT[proto] + 2] = checksum.to_bytes(2, "big")
    addresses = b"".join(ip_address(one).packed for one in ENDS[family])
    if family == 6:
        head = b"\x60\0\0\0" + len(body).to_bytes(2, "big") + bytes((NUMBERS[proto], 64))
    else:
        head = b"\x45\0" + (20 + len(body)).to_bytes(2, "big") + bytes((0, 1, 0, 0, 64, NUMBERS[proto], 0, 0))
    return head + addresses + bytes(body)


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_event: Callable[..., Any]) -> Callable[[bytes], Drop]:
    def build(data: bytes, length: int | None = None) -> Drop:
        protocol = 0x86DD if data[0] >> 4 == 6 else 0x0800
        whole = length or len(data)
        event = make_event(packet=data, length=whole, protocol=protocol)
        return make_drop(parse(data, protocol, whole, 0), event)

    return build


CASES = [(4, "tcp"), (6, "tcp"), (4, "udp"), (6, "udp"), (4, "icmp"), (6, "icmp6")]


@pytest.mark.parametrize(("family", "proto"), CASES)
def test_what_would_be_right(died: Callable[..., Drop], family: int, proto: str) -> None:
    right = 0xFFFF ^ sum_of(pseudo(family, proto, len(BODY[proto])) + BODY[proto])
    found = transport_sum(died(packet(family, proto, right)))
    assert found is not None
    assert (found.stands, found.right, found.is_unfinished) == (right, right, False)
    wrong = transport_sum(died(packet(family, proto, right ^ 0x5555)))
    assert wrong is not None
    assert (wrong.stands, wrong.right) == (right ^ 0x5555, right)


@pytest.mark.parametrize(("family", "proto"), CASES[:4])
def test_one_that_was_left_to_the_hardware(died: Callable[..., Drop], family: int, proto: str) -> None:
    half = sum_of(pseudo(family, proto, len(BODY[proto])))
    found = transport_sum(died(packet(family, proto, half)))
    assert found is not None
    assert found.is_unfinished


def test_what_was_not_captured_whole_is_not_known(died: Callable[..., Drop]) -> None:
    data = packet(4, "tcp", 0x1234)
    found = transport_sum(died(data[:-2], len(data)))
    assert found is not None
    assert (found.stands, found.right) == (0x1234, None)
    assert transport_sum(died(data[:34], len(data))) is None


def test_a_datagram_without_one(died: Callable[..., Drop]) -> None:
    assert transport_sum(died(packet(4, "udp", 0))) is None
