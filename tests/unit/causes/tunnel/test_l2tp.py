"""L2TP: sessions, cookies, and an interface that is down."""

import struct
from collections.abc import Callable

import pytest

from dropwatch.host.link import Link
from dropwatch.host.tunnel.l2tp import L2tpSession
from dropwatch.model.drop import Drop
from dropwatch.model.forwarding import Device
from tests.unit.causes.tunnel.judging import CHANGED, judged, verdict_of
from tests.unit.packet import packets

Died = Callable[..., Drop]
SESSION = L2tpSession(10, 30, "l0")
WITH_COOKIE = L2tpSession(10, 30, "l0", 8)
DOWN = Link("l0", 1500, "DOWN", False, False)
UNKNOWN = ("unknown", "unknown")


def in_ip(number: int) -> bytes:
    return packets.ipv4(115, struct.pack("!I", number) + bytes(40))


def in_udp(number: int, version: int = 3) -> bytes:
    body = struct.pack("!HHI", version, 0, number) + bytes(40)
    return packets.ipv4(17, packets.udp(body, sport=1701, dport=1701))


@pytest.mark.parametrize(
    ("number", "sessions", "words"),
    [
        (31, (SESSION,), "the packet is for session 31; there are here: session 30 in tunnel 10 (l0)"),
        (31, (), "there are here: none"),
        (31, tuple(L2tpSession(1, n) for n in range(1, 6)), "session 3 in tunnel 1 and 2 more"),
        (0, (SESSION,), "it is a control message"),
    ],
)
def test_no_session(died: Died, number: int, sessions: tuple[L2tpSession, ...], words: str) -> None:
    cause, verdict = verdict_of(died("l2tp_ip_recv", in_ip(number)), l2tp_sessions=sessions)
    assert (cause, verdict.confidence) == ("tunnel.l2tp-unknown-session", "likely")
    assert words in verdict.evidence[0].text


@pytest.mark.parametrize(("place", "packet"), [("l2tp_ip_recv", in_ip(30)), ("l2tp_recv_common", in_udp(30))])
def test_another_cookie(died: Died, place: str, packet: bytes) -> None:
    drop = died(place, packet)
    cause, verdict = verdict_of(drop, l2tp_sessions=(WITH_COOKIE,))
    assert (cause, verdict.confidence) == ("tunnel.l2tp-cookie", "likely")
    assert verdict.culprit == Device("l0 l2tp session 30", "l0", "l2tp", "peer_cookie of 8 bytes")
    assert judged(drop, l2tp_sessions=(SESSION,)) == UNKNOWN


def test_a_header_of_version_2_has_other_numbers(died: Died) -> None:
    assert judged(died("l2tp_recv_common", in_udp(30, 2)), l2tp_sessions=(WITH_COOKIE,)) == UNKNOWN


def test_its_interface_is_down(died: Died) -> None:
    way = "dev_forward_skb", "l2tp_eth_dev_recv", "l2tp_recv_common"
    drop = died("__dev_forward_skb2", in_ip(30), *way)
    cause, verdict = verdict_of(drop, l2tp_sessions=(SESSION,), link=DOWN)
    assert (cause, verdict.confidence) == ("device.down", "certain")
    assert [fix.command for fix in verdict.fix] == ["ip netns exec b ip link set dev l0 up"]
    assert judged(drop, l2tp_sessions=(SESSION,), link=DOWN, last_change=CHANGED) == ("device.down", "likely")
    assert judged(drop, l2tp_sessions=(), link=DOWN) == UNKNOWN
