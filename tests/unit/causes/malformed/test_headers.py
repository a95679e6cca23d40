"""Which field of a header is wrong, as the bytes say it, with the kernel's reason and without."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.model.drop import Drop, Event, Frame, Where
from dropwatch.packet.checksum import folded
from dropwatch.packet.parse import parse
from tests.unit.told_host import ToldHost

ENDS = ip_address("10.9.0.1").packed + ip_address("10.9.0.2").packed
DATAGRAM = bytes.fromhex("9c4016b4001000006461746167726d61")
SEGMENT = bytes.fromhex("9c4016b40000000100000000500203e800000000")


def ipv4(
    *, first: int = 0x45, total: int | None = None, proto: int = 17, body: bytes = DATAGRAM, off: int = 0
) -> bytes:
    """With its checksum, which is `off` by so much."""
    head = bytes((first, 0)) + (20 + len(body) if total is None else total).to_bytes(2, "big")
    head += bytes((0, 1, 0, 0, 64, proto, 0, 0)) + ENDS
    checksum = (0xFFFF ^ folded(head)) + off
    return head[:10] + checksum.to_bytes(2, "big") + head[12:] + body


def ipv6(*, first: int = 0x60, payload: int = 16) -> bytes:
    addresses = ip_address("fd00::1").packed + ip_address("fd00::2").packed
    return bytes((first, 0, 0, 0)) + payload.to_bytes(2, "big") + bytes((17, 64)) + addresses + DATAGRAM


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> Callable[..., Drop]:
    def build(place: str, reason: str | None, data: bytes) -> Drop:
        protocol = 0x86DD if "6" in place else 0x0800
        frame = Frame(place, 1, None, 0)
        event = make_event(packet=data, protocol=protocol, length=len(data))
        drop = make_drop(parse(data, protocol, len(data), 0), event, reason=reason)
        return replace(drop, where=Where(frame, None, None), stack=(frame,))

    return build


def judged(drop: Drop) -> tuple[str | None, str, str]:
    cause, verdict = diagnose(drop, ToldHost())
    return (cause.id if cause is not None else None), verdict.confidence, verdict.evidence[0].text


@pytest.mark.parametrize(
    ("place", "reason", "data", "cause", "words"),
    [
        ("ip_rcv_core", "IP_INHDR", ipv4(first=0x65), "ip-header", "version in the header is 6, not 4"),
        ("ip_rcv_core", "IP_INHDR", ipv4(first=0x44), "ip-header", "length in the header is 16 bytes"),
        ("ip_rcv_core", "IP_CSUM", ipv4(off=1), "ip-checksum", "would be right"),
        (
            "ip_rcv_core",
            "PKT_TOO_SMALL",
            ipv4(total=90),
            "truncated",
            "total length is 90 bytes, and 36 arrived",
        ),
        ("ip_rcv_core", "IP_INHDR", ipv4(total=19), "ip-header", "less than the header's 20"),
        ("ip6_rcv_core", "IP_INHDR", ipv6(first=0x40), "ip-header", "version in the header is 4, not 6"),
        (
            "ip6_rcv_core",
            "PKT_TOO_SMALL",
            ipv6(payload=90),
            "truncated",
            "length is 90 bytes, and 16 arrived",
        ),
    ],
)
def test_what_is_wrong_at_the_entrance(
    died: Callable[..., Drop], place: str, reason: str, data: bytes, cause: str, words: str
) -> None:
    for given in (reason, None):
        found = judged(died(place, given, data))
        assert found[:2] == (f"malformed.{cause}", "certain")
        assert words in found[2]


@pytest.mark.parametrize("place", ["ip_rcv_core", "ip6_rcv_core"])
def test_a_sound_header_explains_nothing(died: Callable[..., Drop], place: str) -> None:
    data = ipv6() if "6" in place else ipv4()
    assert judged(died(place, None, data))[0] is None
    assert judged(died(place, None, data[:12]))[0] is None


@pytest.mark.parametrize(
    ("place", "data", "words"),
    [
        ("__udp4_lib_rcv", ipv4(body=DATAGRAM[:4] + b"\0\x40" + DATAGRAM[6:]), "is 64 bytes, and 16 arrived"),
        ("__udp4_lib_rcv", ipv4(body=DATAGRAM[:4] + b"\0\4" + DATAGRAM[6:]), "is 4 bytes, less than 8"),
        (
            "tcp_v4_rcv",
            ipv4(proto=6, body=SEGMENT[:12] + b"\x40" + SEGMENT[13:]),
            "says 16 bytes, less than 20",
        ),
        (
            "tcp_v4_rcv",
            ipv4(proto=6, body=SEGMENT[:12] + b"\xf0" + SEGMENT[13:]),
            "says 60 bytes, and 20 arrived",
        ),
    ],
)
def test_what_is_wrong_in_the_transport(
    died: Callable[..., Drop], place: str, data: bytes, words: str
) -> None:
    for reason, confidence in (("PKT_TOO_SMALL", "certain"), (None, "likely")):
        found = judged(died(place, reason, data))
        assert found[:2] == ("malformed.truncated", confidence)
        assert words in found[2]
