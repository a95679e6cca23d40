"""What is said of a datagram that conntrack called INVALID, and that died of something else than a rule."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.model.drop import Drop, Event, Frame, Packet, Where
from dropwatch.model.netfilter import ConntrackNote, NetfilterNote
from tests.unit.causes.verdicts import said
from tests.unit.told_host import ToldHost

SAID = "this packet is INVALID: bad checksum; NAT does not translate such a packet"
BAD = ConntrackNote(words="bad checksum", invalid=True)


@pytest.mark.parametrize(
    ("proto", "reason", "function", "expected"),
    [
        ("udp", "UDP_CSUM", "__udp4_lib_rcv", ("malformed.udp-checksum", "certain")),
        ("udp", "PKT_TOO_SMALL", "__udp4_lib_rcv", ("malformed.truncated", "certain")),
        ("icmp", "ICMP_CSUM", "icmp_rcv", ("malformed.icmp-checksum", "certain")),
        ("icmp6", "ICMP_CSUM", "icmpv6_rcv", ("malformed.icmp-checksum", "certain")),
        ("udp", None, "__udp4_lib_rcv", (None, "unknown")),
    ],
)
def test_nat_left_it_alone(
    make_drop: Callable[..., Drop],
    make_packet: Callable[..., Packet],
    make_event: Callable[..., Event],
    proto: str,
    reason: str | None,
    function: str,
    expected: tuple[str | None, str],
) -> None:
    for note, is_said in ((BAD, True), (replace(BAD, words=None), False), (None, False)):
        netfilter = NetfilterNote(conntrack=note) if note is not None else None
        drop = make_drop(make_packet(proto=proto), make_event(netfilter=netfilter), reason=reason)
        frame = Frame(function, 1, None, 0)
        drop = replace(drop, where=Where(frame, None, "in"), stack=(frame,))
        cause, verdict = diagnose(drop, ToldHost())
        assert (cause.id if cause is not None else None, verdict.confidence) == expected
        assert (SAID in said(verdict)) == is_said


def test_of_tcp_conntrack_may_only_note_it(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> None:
    event = make_event(netfilter=NetfilterNote(conntrack=BAD))
    _, verdict = diagnose(make_drop(make_packet(proto="tcp", tcp_flags="A"), event), ToldHost())
    assert SAID not in said(verdict)
