"""Tunnels whose own packets find no way."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.host.addresses import OwnAddress
from dropwatch.host.route import Route
from dropwatch.host.tunnel.ip import Tunnel
from dropwatch.host.tunnel.vxlan import Remote, Vxlan
from dropwatch.model.drop import Drop
from tests.unit.causes.tunnel.judging import CHANGED, judged, setting, verdict_of
from tests.unit.causes.verdicts import commands, said
from tests.unit.packet import packets

Died = Callable[..., Drop]
AT = 7
LOCAL, REMOTE, OTHER = (ip_address(text) for text in ("10.9.0.2", "10.0.0.9", "10.0.0.8"))
GRE = Tunnel("t0", AT, "gre", True, LOCAL, REMOTE, link=3, mark=5)
VX0 = Vxlan("vx0", 77, True, AT, 4789)
INNER = packets.ipv4(17, packets.udp())
LINK = packets.ethernet(0x0800, b"")
NONE, ITSELF = Route(None, refusal="the network is unreachable"), Route("t0")
OWN = (OwnAddress(LOCAL, "eth0", True),)
UNKNOWN = ("unknown", "unknown")


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED", "IP_OUTNOROUTES"])
@pytest.mark.parametrize("place", ["ip_tunnel_xmit", "ip6gre_tunnel_xmit", "ip6_tnl_start_xmit"])
def test_no_route(died: Died, reason: str | None, place: str) -> None:
    asked = []

    def route(*arguments: object) -> Route:
        asked.append(arguments)
        return NONE

    drop = died(place, INNER, reason=reason, ifindex=AT)
    told = {"tunnels": (GRE,), "addresses": OWN, "route_of_send": route}
    cause, verdict = verdict_of(drop, **told)
    assert (cause, verdict.confidence, setting(verdict)) == ("tunnel.no-route", "certain", "remote 10.0.0.9")
    assert asked[0][1:6] == (REMOTE, LOCAL, 3, 5, 0)
    assert "t0 sends to 10.0.0.9: the network is unreachable" in said(verdict)
    assert "ip netns exec b ip route get 10.0.0.9" in commands(verdict)
    assert judged(drop, **told, last_change=CHANGED) == ("tunnel.no-route", "likely")


def test_a_route_through_itself(died: Died) -> None:
    drop = died("ip_tunnel_xmit", INNER, ifindex=AT)
    cause, verdict = verdict_of(drop, tunnels=(GRE,), addresses=OWN, route_of_send=ITSELF)
    assert (cause, verdict.confidence) == ("tunnel.loop", "certain")
    assert "the route to 10.0.0.9, the remote end of t0, leads into t0" in said(verdict)


def test_an_address_of_nobody(died: Died) -> None:
    drop = died("ip_tunnel_xmit", INNER, ifindex=AT)
    there = (OwnAddress(OTHER, "eth0", True),)
    cause, verdict = verdict_of(drop, tunnels=(GRE,), addresses=there, route_of_send=NONE)
    assert (cause, setting(verdict)) == ("tunnel.no-route", "local 10.9.0.2")
    assert verdict.title == "the tunnel's own address is no address of this host"


@pytest.mark.parametrize(
    "there",
    [
        replace(GRE, external=True),
        replace(GRE, elsewhere=True),
        replace(GRE, remote=None),
        replace(GRE, ifindex=9),
    ],
    ids=["external", "another namespace", "any remote", "another interface"],
)
def test_what_is_not_known(died: Died, there: Tunnel) -> None:
    drop = died("ip_tunnel_xmit", INNER, ifindex=AT)
    assert judged(drop, tunnels=(there,), addresses=OWN, route_of_send=NONE) == UNKNOWN


def test_a_route_that_is_there(died: Died) -> None:
    drop = died("ip_tunnel_xmit", INNER, ifindex=AT)
    assert judged(drop, tunnels=(GRE,), addresses=OWN, route_of_send=Route("eth0")) == UNKNOWN
    assert judged(drop, tunnels=(GRE,), addresses=OWN, route_of_send=None) == UNKNOWN


def test_remotes_of_vxlan(died: Died) -> None:
    drop = died("vxlan_xmit_one", INNER, ifindex=AT, link=LINK)
    own, default = Remote(REMOTE, default=False, fixed=True), Remote(OTHER, default=True, fixed=True)
    told = {"vxlans": (VX0,), "route_of_send": NONE}
    cause, verdict = verdict_of(drop, **told, vxlan_remotes=(default, own))
    assert (cause, verdict.confidence, setting(verdict)) == ("tunnel.no-route", "certain", "remote 10.0.0.9")
    assert setting(verdict_of(drop, **told, vxlan_remotes=(default,))[1]) == "remote 10.0.0.8"
    assert judged(drop, **told, vxlan_remotes=()) == UNKNOWN


def test_one_of_several_remotes(died: Died) -> None:
    drop = died("vxlan_xmit_one", INNER, ifindex=AT, link=LINK)
    both = tuple(Remote(address, default=True, fixed=True) for address in (REMOTE, OTHER))

    def route(_: int, address: object, *__: object) -> Route:
        return NONE if address == OTHER else Route("eth0")

    cause, verdict = verdict_of(drop, vxlans=(VX0,), vxlan_remotes=both, route_of_send=route)
    assert (cause, verdict.confidence, setting(verdict)) == ("tunnel.no-route", "likely", "remote 10.0.0.8")
    assert "2 remotes" in said(verdict)
