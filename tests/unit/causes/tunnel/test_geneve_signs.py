"""GENEVE: the interface is found by VNI and sender."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.host.tunnel.ip import Tunnel
from dropwatch.model.drop import Drop
from tests.unit.causes.tunnel.judging import CHANGED, judged, setting, verdict_of
from tests.unit.causes.verdicts import said
from tests.unit.packet import packets

Died = Callable[..., Drop]
SENDER, OTHER = ip_address("10.9.0.1"), ip_address("10.0.0.9")
G0 = Tunnel("g0", 7, "geneve", True, remote=SENDER, key=77, port=6081)


def outer(vni: int = 77, *, version: int = 0) -> bytes:
    inside = packets.geneve(0x6558, packets.ethernet(0x0800, b""), vni=vni)
    return packets.ipv4(17, packets.udp(bytes((version << 6,)) + inside[1:], dport=6081))


@pytest.mark.parametrize("place", ["geneve_udp_encap_recv", "geneve_rx"])
@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (replace(G0, key=78), "id 78"),
        (replace(G0, remote=OTHER), "remote 10.0.0.9"),
        (replace(G0, remote=OTHER, key=78), "id 78"),
    ],
)
def test_nobody_takes_it(died: Died, place: str, there: Tunnel, expected: str) -> None:
    drop = died(place, outer())
    cause, verdict = verdict_of(drop, tunnels=(there,))
    assert (cause, verdict.confidence) == ("tunnel.geneve-unknown-vni", "certain")
    assert setting(verdict) == expected
    assert (
        f"the packet has VNI 77 and is from 10.9.0.1; g0 takes VNI {there.key} from {there.remote}"
        in said(verdict)
    )
    assert judged(drop, tunnels=(there,), last_change=CHANGED)[1] == "likely"


def test_nobody_is_there(died: Died) -> None:
    cause, verdict = verdict_of(died("geneve_udp_encap_recv", outer()), tunnels=())
    assert (cause, verdict.culprit) == ("tunnel.geneve-unknown-vni", None)


def test_what_has_lost_its_outer_header_says_nothing_of_it(died: Died) -> None:
    """Its interface is gone when it is read, and the header that is looked at is one of the inner packet's."""
    drop = died("geneve_rx", outer())
    assert judged(replace(drop, event=replace(drop.event, skb_iif=0)), tunnels=()) == ("unknown", "unknown")


def test_an_interface_that_is_down(died: Died) -> None:
    down = replace(G0, up=False)
    assert judged(died("geneve_udp_encap_recv", outer()), tunnels=(down,)) == ("device.down", "likely")


@pytest.mark.parametrize(
    "there", [(G0,), (replace(G0, external=True, key=0),), None], ids=["taken", "external", "not read"]
)
def test_what_dies_of_something_else(died: Died, there: tuple[Tunnel, ...] | None) -> None:
    assert judged(died("geneve_udp_encap_recv", outer()), tunnels=there) == ("unknown", "unknown")


def test_another_version(died: Died) -> None:
    drop = died("geneve_udp_encap_recv", outer(78, version=1))
    assert judged(drop, tunnels=(G0,)) == ("unknown", "unknown")
