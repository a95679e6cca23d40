"""A segment that no socket took: its connection may be here, and be bound to another interface."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.sockets import Device, PortSocket, PortSockets
from dropwatch.model.drop import Drop, Frame, Verdict, Where
from tests.unit.told_host import ToldHost

DROPPED = 5_000
BEFORE, AFTER = DROPPED - 1, DROPPED + 1
OURS = PortSocket(ip_address("10.9.0.2"), ip_address("10.9.0.1"), 40000, 4, False, 4711, 7, BEFORE)
DEVICES = {2: Device("vb"), 4: Device("other")}

Segment = Callable[[str], Drop]


@pytest.fixture
def segment(
    make_drop: Callable[..., Drop], make_packet: Callable[..., object], make_event: Callable[..., object]
) -> Segment:
    def build(flags: str) -> Drop:
        ends = {
            "saddr": ip_address("10.9.0.1"),
            "daddr": ip_address("10.9.0.2"),
            "sport": 40000,
            "dport": 5000,
        }
        packet = make_packet(proto="tcp", tcp_flags=flags, **ends)
        drop = make_drop(packet, make_event(monotonic_ns=DROPPED, ifindex=2, skb_iif=2))
        frame = Frame("tcp_v4_rcv", 1, None, 0)
        return replace(drop, where=Where(frame, "tcp", "in"), stack=(frame,), reason="NO_SOCKET")

    return build


def judged(drop: Drop, *connections: PortSocket, vrf: bool = True) -> tuple[str, Verdict]:
    found = PortSockets(connections, len(connections), DEVICES, l3mdev_accept=vrf)
    cause, verdict = diagnose(drop, ToldHost(connections_at=found, sockets_at=PortSockets()))
    return cause.id if cause is not None else "unknown", verdict


@pytest.mark.parametrize("flags", ["A", "PA", "R", "RA", "SA"])
@pytest.mark.parametrize(("since", "confidence"), [(BEFORE, "certain"), (AFTER, "likely")])
def test_it_is_bound_to_another_interface(segment: Segment, flags: str, since: int, confidence: str) -> None:
    cause, verdict = judged(segment(flags), replace(OURS, since_ns=since))
    assert (cause, verdict.confidence) == ("socket.bound-elsewhere", confidence)
    assert "is bound to interface other, and the packet came in through vb" in verdict.evidence[0].text
    assert verdict.culprit is not None
    assert verdict.fix[1].command == "ip netns exec b ip route get 10.9.0.1"


@pytest.mark.parametrize(("flags", "alone"), [("PA", "tcp.no-connection"), ("R", "benign.tcp-late-reset")])
def test_there_is_no_such_connection(segment: Segment, flags: str, alone: str) -> None:
    others = replace(OURS, peer=ip_address("10.9.0.3")), replace(OURS, address=ip_address("10.9.0.9"))
    for connections in ((), others, (replace(OURS, bound_ifindex=2),)):
        cause, verdict = judged(segment(flags), *connections)
        assert (cause, verdict.confidence) == (alone, "certain")
    assert judged(segment("S"), OURS)[0] == "socket.tcp-no-listener"


@pytest.mark.parametrize("flags", ["PA", "SA", "R", "RA"])
@pytest.mark.parametrize(
    ("found", "why"), [(None, "were not read"), (PortSockets(gone=2), "2 connections with its ports")]
)
def test_nobody_knows_whether_it_is_bound_elsewhere(
    segment: Segment, flags: str, found: PortSockets | None, why: str
) -> None:
    """A namespace that is gone, or a connection that is: no connection is not certain, and a reset not hidden."""
    cause, verdict = diagnose(segment(flags), ToldHost(connections_at=found))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("tcp.no-connection", "likely")
    assert why in verdict.evidence[1].text
