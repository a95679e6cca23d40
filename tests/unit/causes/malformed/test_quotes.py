"""ICMP errors whose quote is too short, or makes no sense."""

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.model.drop import Drop
from tests.unit.packet import packets
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
UNREACHABLE, UNREACHABLE6 = 3, 1


def error(quote: bytes, *, spoilt: bool = False) -> bytes:
    message = packets.icmp(UNREACHABLE, 1, quote)
    return packets.ipv4(1, message[:2] + bytes(2) + message[4:] if spoilt else message)


def error6(quote: bytes) -> bytes:
    """With the checksum of ICMPv6, which covers the addresses as well."""
    bare = packets.ipv6(58, struct.pack("!BBHI", UNREACHABLE6, 1, 0, 0) + quote)
    covered = bare[8:40] + struct.pack("!II", len(bare) - 40, 58) + bare[40:]
    return bare[:42] + struct.pack("!H", packets.checksum(covered)) + bare[44:]


def judged(drop: Drop) -> tuple[str | None, str, str]:
    cause, verdict = diagnose(drop, ToldHost())
    return cause.id if cause is not None else None, verdict.confidence, verdict.evidence[0].text


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED", "PKT_TOO_SMALL"])
def test_a_short_quote(died: Died, reason: str | None) -> None:
    for place, packet, protocol, words in (
        ("icmp_rcv", error(bytes(19)), 0x0800, "quotes 19 bytes: an IP header has 20"),
        ("icmpv6_rcv", error6(bytes(39)), 0x86DD, "quotes 39 bytes: an IPv6 header has 40"),
        ("icmpv6_rcv", error6(b"\x60" + bytes(43)), 0x86DD, "quotes 44 bytes: an IPv6 header and what must"),
    ):
        cause, confidence, text = judged(died(place, packet, reason=reason, protocol=protocol))
        assert (cause, confidence) == ("malformed.truncated", "certain")
        assert words in text


@pytest.mark.parametrize("reason", [None, "IP_INHDR"])
def test_a_header_below_its_minimum(died: Died, reason: str | None) -> None:
    cause, confidence, text = judged(died("icmp_rcv", error(b"\x44" + bytes(27)), reason=reason))
    assert (cause, confidence) == ("malformed.icmp-quote", "certain")
    assert "quotes is 16 bytes, less than 20" in text


@pytest.mark.parametrize("reason", ["IPV6_BAD_EXTHDR", "IPV6_TOO_MANY_EXTHDRS"])
def test_extension_headers_that_lead_nowhere(died: Died, reason: str) -> None:
    drop = died("icmpv6_rcv", error6(packets.ipv6(0, b"")), reason=reason, protocol=0x86DD)
    assert judged(drop)[:2] == ("malformed.icmp-quote", "certain")
    request = packets.ipv6(58, packets.icmp(128, 0, bytes(4)))
    assert (
        judged(died("icmpv6_rcv", request, reason=reason, protocol=0x86DD))[0] == "malformed.ipv6-extension"
    )


def test_what_is_another_thing(died: Died) -> None:
    whole = b"\x45" + bytes(27)
    assert judged(died("icmp_rcv", error(whole), reason="IP_INHDR"))[0] is None
    assert judged(died("icmp_rcv", error(b"\x44" + bytes(27)), reason="NOT_SPECIFIED"))[0] is None
    wrong = died("icmp_rcv", error(b"\x44" + bytes(27), spoilt=True), reason=None)
    assert judged(wrong)[0] == "malformed.icmp-checksum"
    forwarded = replace(wrong, packet=replace(wrong.packet, icmp_type=8))
    assert judged(forwarded)[0] == "malformed.icmp-checksum"
