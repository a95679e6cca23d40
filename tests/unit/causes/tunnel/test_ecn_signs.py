"""Contradicting ECN bits, told by what is left of the packet."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.host.tunnel.ip import Tunnel
from dropwatch.host.tunnel.vxlan import Vxlan
from dropwatch.model.drop import Drop
from tests.unit.causes.tunnel.judging import judged, verdict_of
from tests.unit.packet import packets

Died = Callable[..., Drop]
AT = 7
VX0 = Vxlan("vx0", 77, True, AT, 4789)
G0 = Tunnel("g0", AT, "geneve", True, remote=ip_address("10.9.0.1"), key=77, port=6081)
GRE = Tunnel("t0", AT, "gre", True, ip_address("10.9.0.2"), ip_address("10.9.0.1"))
SIT = replace(GRE, kind="sit")
INNER = packets.ipv4(17, packets.udp())
ECN, UNKNOWN = ("tunnel.ecn", "certain"), ("unknown", "unknown")


def with_ecn(packet: bytes) -> bytes:
    return packet[:1] + b"\x02" + packet[2:]


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("vxlan_rcv", {"vxlans": (VX0,)}),
        ("geneve_rx", {"tunnels": (G0,)}),
        ("geneve_udp_encap_recv", {"tunnels": (G0,)}),
        ("ip_tunnel_rcv", {"tunnels": (GRE,)}),
        ("ipip6_rcv", {"tunnels": (SIT,)}),
    ],
)
def test_a_packet_without_ecn(died: Died, reason: str | None, place: str, told: dict[str, object]) -> None:
    drop = died(place, INNER, reason=reason, ifindex=AT)
    cause, verdict = verdict_of(drop, **told)
    assert (cause, verdict.confidence) == ECN
    assert getattr(verdict.culprit, "interface", None) in ("vx0", "g0", "t0")
    assert judged(died(place, with_ecn(INNER), reason=reason, ifindex=AT), **told) == UNKNOWN
    assert judged(died(place, INNER[:18], reason=reason, ifindex=AT), **told) == UNKNOWN
    assert judged(drop) in (UNKNOWN, ("tunnel.ecn", "likely"))  # nothing was read


def test_ip_tunnels_whose_interface_is_not_known(died: Died) -> None:
    drop = died("ip_tunnel_rcv", INNER)
    _, verdict = verdict_of(drop, tunnels=(GRE,))
    assert getattr(verdict.culprit, "interface", None) == "t0"
    cause, verdict = verdict_of(drop, tunnels=(GRE, SIT))
    assert (cause, verdict.culprit) == ("tunnel.ecn", None)


def test_a_header_that_is_still_the_outer_one(died: Died) -> None:
    outer = packets.ipv4(17, packets.udp(packets.vxlan(packets.ethernet(0x0800, INNER), 77), dport=4789))
    assert judged(died("vxlan_rcv", outer, ifindex=AT), vxlans=(VX0,)) == UNKNOWN
    assert judged(died("ip_tunnel_rcv", packets.ipv4(4, INNER)), tunnels=(GRE,)) == UNKNOWN


def test_a_sender_that_may_be_another(died: Died) -> None:
    anybody = replace(SIT, remote=None)
    assert judged(died("ipip6_rcv", INNER, ifindex=AT), tunnels=(anybody,)) == ("tunnel.ecn", "likely")
