"""A packet that a program's own socket refuses, by what is set on it."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.socket_options import SocketOptions
from dropwatch.host.sockets import PortSocket, PortSockets
from dropwatch.model.culprits import Socket
from dropwatch.model.drop import Drop, Frame, Packet, Process, Verdict, Where
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
HOLDER = Process(812, "named")


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]) -> Died:
    def build(reason: str | None, function: str, **fields: Any) -> Drop:
        frame = Frame(function, 1, None, 0)
        drop = make_drop(make_packet(**fields), reason=reason)
        return replace(drop, where=Where(frame, "socket", "in"), stack=(frame,))

    return build


def judged(drop: Drop, options: SocketOptions | None, count: int = 1) -> tuple[str | None, Verdict]:
    address = drop.packet.daddr or ip_address("0.0.0.0")
    sockets = tuple(
        PortSocket(address, None, 0, 0, v6_only=False, inode=77 + at, cookie=1 + at, since_ns=0)
        for at in range(count)
    )
    host = ToldHost(sockets_at=PortSockets(sockets, count), socket_holder=HOLDER, socket_options=options)
    cause, verdict = diagnose(drop, host)
    return (cause.id if cause is not None else None), verdict


@pytest.mark.parametrize("reason", ["SOCKET_FILTER", None])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (SocketOptions(3), "has a classic filter of 3 instructions"),
        (SocketOptions(0, extended=True), "has an eBPF program"),
    ],
)
def test_a_socket_with_a_filter(died: Died, reason: str | None, options: SocketOptions, words: str) -> None:
    cause, verdict = judged(died(reason, "udp_queue_rcv_one_skb"), options)
    assert (cause, verdict.confidence) == ("socket.filter", "likely")
    assert words in verdict.evidence[0].text
    assert isinstance(verdict.culprit, Socket)
    assert verdict.culprit.inode == 77
    assert verdict.owner == HOLDER


@pytest.mark.parametrize("options", [SocketOptions(), None])
def test_without_a_filter_something_else_refused_it(died: Died, options: SocketOptions | None) -> None:
    assert judged(died("SOCKET_FILTER", "udp_queue_rcv_one_skb"), options)[0] != "socket.filter"


def test_two_sockets_with_a_filter_leave_it_open(died: Died) -> None:
    assert judged(died("SOCKET_FILTER", "udp_queue_rcv_one_skb"), SocketOptions(3), 2)[0] != "socket.filter"


@pytest.mark.parametrize(("reason", "confidence"), [("TCP_MINTTL", "certain"), (None, "likely")])
def test_a_ttl_below_what_the_socket_asks_for(died: Died, reason: str | None, confidence: str) -> None:
    drop = died(reason, "tcp_v4_rcv", proto="tcp", tcp_flags="A", ttl=64)
    cause, verdict = judged(drop, SocketOptions(min_ttl=255))
    assert (cause, verdict.confidence) == ("socket.min-ttl", confidence)
    assert "asks for IP_MINTTL 255, and the packet has 64" in verdict.evidence[0].text
    assert verdict.owner == HOLDER


def test_a_ttl_that_is_enough(died: Died) -> None:
    drop = died(None, "tcp_v4_rcv", proto="tcp", tcp_flags="A", ttl=64)
    assert judged(drop, SocketOptions(min_ttl=64))[0] != "socket.min-ttl"
