"""GRE and IP in IP on the way in: the nearest interface, and what differs."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.host.tunnel.ip import Tunnel
from dropwatch.model.drop import Drop
from dropwatch.model.forwarding import Device
from tests.unit.causes.tunnel.judging import CHANGED, judged, setting, verdict_of
from tests.unit.causes.verdicts import commands, said
from tests.unit.packet import packets

Died = Callable[..., Drop]
SENDER, HERE, OTHER = (ip_address(text) for text in ("10.9.0.1", "10.9.0.2", "10.0.0.9"))
GRE = Tunnel("t 0", 7, "gre", True, HERE, SENDER)
IPIP = replace(GRE, kind="ipip", inner=4)
FALLBACK = Tunnel("gre0", 3, "gre", False)
INNER = packets.ipv4(17, packets.udp())
UNKNOWN = ("unknown", "unknown")


def gre(key: int | None = None, sequence: int | None = None) -> bytes:
    words = b"".join(word.to_bytes(4, "big") for word in (key, sequence) if word is not None)
    flags = (0x2000 if key is not None else 0) | (0x1000 if sequence is not None else 0)
    return packets.ipv4(47, packets.gre(0x0800, INNER, words, flags))


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
@pytest.mark.parametrize(
    ("came", "there", "blamed", "command"),
    [
        (7, 5, "ikey 5", "ip link set dev 't 0' type gre key 7"),
        (7, None, "no key", "ip link set dev 't 0' type gre key 7"),
        (None, 5, "ikey 5", "ip link set dev 't 0' type gre nokey"),
    ],
)
def test_another_key(
    died: Died, reason: str | None, came: int | None, there: int | None, blamed: str, command: str
) -> None:
    drop = died("gre_rcv", gre(came), reason=reason)
    cause, verdict = verdict_of(drop, tunnels=(FALLBACK, replace(GRE, key=there)))
    assert (cause, verdict.confidence, setting(verdict)) == ("tunnel.gre-key-mismatch", "certain", blamed)
    assert f"ip netns exec b {command}" in commands(verdict)
    changed = judged(drop, tunnels=(replace(GRE, key=there),), last_change=CHANGED)
    assert changed == ("tunnel.gre-key-mismatch", "likely")


def test_another_peer(died: Died) -> None:
    near = replace(GRE, remote=OTHER)
    far = Tunnel("t1", 8, "gre", True, OTHER, OTHER)
    cause, verdict = verdict_of(died("gre_rcv", gre()), tunnels=(far, near, FALLBACK))
    assert (cause, verdict.confidence) == ("tunnel.unknown-peer", "certain")
    text = "t 0 gre remote 10.0.0.9 local 10.9.0.2"
    assert verdict.culprit == Device(text, "t 0", "gre", "remote 10.0.0.9")
    assert "the packet is from 10.9.0.1 to 10.9.0.2" in said(verdict)
    assert "ip netns exec b ip link set dev 't 0' type gre local 10.9.0.2 remote 10.9.0.1" in commands(
        verdict
    )


def test_ethernet_at_one_end_only(died: Died) -> None:
    tap = replace(GRE, kind="gretap")
    cause, verdict = verdict_of(died("gre_rcv", gre()), tunnels=(tap,))
    assert (cause, setting(verdict)) == ("tunnel.unknown-peer", "type gretap")
    frame = packets.ipv4(47, packets.gre(0x6558, packets.ethernet(0x0800, INNER)))
    assert judged(died("gre_rcv", frame), tunnels=(tap,)) == UNKNOWN
    assert judged(died("gre_rcv", frame), tunnels=(GRE,)) == UNKNOWN


@pytest.mark.parametrize("protocol", [0x88BE, 0x22EB])
def test_erspan_has_other_keys(died: Died, protocol: int) -> None:
    packet = packets.ipv4(47, packets.gre(protocol, bytes(16), bytes(4), 0x1000))
    assert judged(died("gre_rcv", packet), tunnels=(replace(GRE, key=5),)) == UNKNOWN


def test_an_interface_of_another_namespace(died: Died) -> None:
    elsewhere = replace(GRE, elsewhere=True)
    cause, verdict = verdict_of(died("gre_rcv", gre()), tunnels=(elsewhere,))
    assert (cause, verdict.culprit) == ("tunnel.unknown-peer", None)


def test_no_interface_at_all(died: Died) -> None:
    cause, verdict = verdict_of(died("gre_rcv", gre()), tunnels=(FALLBACK,))
    assert (cause, verdict.confidence, verdict.culprit) == ("tunnel.unknown-peer", "certain", None)
    assert judged(died("gre_rcv", gre()), tunnels=(), last_change=CHANGED) == (
        "tunnel.unknown-peer",
        "likely",
    )


def test_one_that_is_down(died: Died) -> None:
    down = replace(GRE, up=False)
    cause, verdict = verdict_of(died("gre_rcv", gre()), tunnels=(down, replace(GRE, remote=OTHER)))
    assert (cause, verdict.confidence, setting(verdict)) == ("device.down", "certain", "down")


@pytest.mark.parametrize(
    "there",
    [
        (GRE,),
        (replace(FALLBACK, up=True),),
        (replace(FALLBACK, up=True, external=True),),
        (replace(GRE, local=None, remote=None), replace(GRE, key=9)),
    ],
    ids=["fits", "takes all", "external", "any peer"],
)
def test_what_dies_of_something_else(died: Died, there: tuple[Tunnel, ...]) -> None:
    assert judged(died("gre_rcv", gre()), tunnels=there) == UNKNOWN


def test_interfaces_that_cannot_be_read(died: Died) -> None:
    cause, verdict = verdict_of(died("gre_rcv", gre(7)), tunnels=None)
    assert (cause, verdict.confidence, verdict.culprit) == ("tunnel.unknown-peer", "likely", None)
    assert "from 10.9.0.1 to 10.9.0.2: no interface took it" in said(verdict)
    erspan = packets.ipv4(47, packets.gre(0x88BE, bytes(8), bytes(4), 0x1000))
    assert judged(died("gre_rcv", erspan), tunnels=None) == UNKNOWN


def test_what_is_no_gre_that_is_known(died: Died) -> None:
    pptp = packets.ipv4(47, packets.gre(0x880B, bytes(8), bytes(4), 0x2001))
    assert judged(died("gre_rcv", pptp), tunnels=(replace(GRE, key=5),)) == UNKNOWN


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
@pytest.mark.parametrize(
    ("place", "proto", "kind"), [("tunnel4_rcv", 4, "ipip"), ("tunnel64_rcv", 41, "sit")]
)
def test_ip_in_ip(died: Died, reason: str | None, place: str, proto: int, kind: str) -> None:
    body = INNER if proto == 4 else packets.ipv6(17, packets.udp())
    drop = died(place, packets.ipv4(proto, body), reason=reason)
    there = replace(IPIP, kind=kind, inner=proto)
    cause, verdict = verdict_of(drop, tunnels=(replace(there, remote=OTHER), GRE))
    assert (cause, verdict.confidence) == ("tunnel.unknown-peer", "certain")
    assert setting(verdict) == "remote 10.0.0.9"
    assert judged(drop, tunnels=(there,)) == UNKNOWN
    assert judged(drop, tunnels=(replace(there, up=False),)) == ("device.down", "certain")
    assert judged(drop, tunnels=(replace(there, inner=99),))[0] == "tunnel.unknown-peer"


def test_where_the_handler_of_ipsec_is_the_last(died: Died) -> None:
    drop = died("xfrm_input", packets.ipv4(4, INNER), "xfrm_tunnel_rcv", "tunnel4_rcv")
    there = replace(IPIP, kind="ipip", inner=4)
    assert judged(drop, tunnels=(replace(there, remote=OTHER),)) == ("tunnel.unknown-peer", "certain")
    assert judged(drop, tunnels=(there,))[0] != "tunnel.unknown-peer"
    elsewhere = died("xfrm_input", packets.ipv4(4, INNER), "xfrm4_rcv")
    assert judged(elsewhere, tunnels=(replace(there, remote=OTHER),))[0] != "tunnel.unknown-peer"


def test_inside_ipv6(died: Died) -> None:
    here, sender = ip_address("fd00::2"), ip_address("fd00::1")
    there = Tunnel("t0", 7, "ip6tnl", True, here, ip_address("fd00::9"), inner=41)
    drop = died("tunnel6_rcv", packets.ipv6(41, packets.ipv6(17, packets.udp())), protocol=0x86DD)
    cause, verdict = verdict_of(drop, tunnels=(there,))
    assert (cause, setting(verdict)) == ("tunnel.unknown-peer", "remote fd00::9")
    assert judged(drop, tunnels=(replace(there, remote=sender),)) == UNKNOWN


@pytest.mark.parametrize(
    ("packet", "there", "expected"),
    [
        (gre(), replace(GRE, sequence=True), ("tunnel.gre-options", "iseq")),
        (gre(sequence=3), replace(GRE, sequence=True), ("tunnel.gre-options", "iseq")),
        (gre(), replace(GRE, checksum=True), ("tunnel.gre-options", "icsum")),
        (gre(), GRE, ("unknown", None)),
        (gre(), replace(GRE, up=False, sequence=True), ("unknown", None)),
    ],
    ids=["no number", "an old number", "no checksum", "nothing", "down"],
)
def test_options(died: Died, packet: bytes, there: Tunnel, expected: tuple[str, str | None]) -> None:
    cause, verdict = verdict_of(died("ip_tunnel_rcv", packet, "gre_rcv"), tunnels=(there, FALLBACK))
    assert (cause, setting(verdict)) == expected


def test_a_checksum_that_is_not_expected(died: Died) -> None:
    packet = packets.ipv4(47, packets.gre(0x0800, INNER, bytes(4), 0x8000))
    cause, verdict = verdict_of(died("ip_tunnel_rcv", packet), tunnels=(GRE,))
    assert (cause, setting(verdict)) == ("tunnel.gre-options", "no icsum")
    assert "ip netns exec b ip link set dev 't 0' type gre icsum" in commands(verdict)
