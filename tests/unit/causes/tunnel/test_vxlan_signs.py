"""VXLAN: remotes, identifiers, headers, frames that come back; and the interfaces that they are held against."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.host.tunnel.vxlan import Remote, Vxlan
from dropwatch.model.drop import Drop
from dropwatch.model.forwarding import Device
from tests.unit.causes.tunnel.judging import CHANGED, judged, setting, verdict_of
from tests.unit.causes.verdicts import commands, said
from tests.unit.packet import packets

Died = Callable[..., Drop]
AT = 7  # index of vx0
VX0 = Vxlan("vx 0", 77, True, AT, 4789, mac="02:00:00:00:00:0a", learning=True)
SOURCE = "02:00:00:00:00:02"  # of packets.ethernet
INNER = packets.ipv4(17, packets.udp())
LINK = packets.ethernet(0x0800, b"")
OTHER, HERE = ip_address("10.0.0.9"), ip_address("10.9.0.1")
SILENT = pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])


def outer(vni: int = 77, flags: int = 0x08000000, port: int = 4789) -> bytes:
    header = flags.to_bytes(4, "big") + (vni << 8).to_bytes(4, "big")
    return packets.ipv4(17, packets.udp(header + packets.ethernet(0x0800, INNER), dport=port))


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED", "NO_TX_TARGET"])
def test_no_remote(died: Died, reason: str | None) -> None:
    drop = died("vxlan_xmit", INNER, reason=reason, ifindex=AT, link=LINK)
    cause, verdict = verdict_of(drop, vxlans=(VX0,), vxlan_remotes=())
    assert (cause, verdict.confidence) == ("tunnel.no-remote", "certain")
    assert verdict.culprit == Device("vx 0 vxlan id 77 dstport 4789", "vx 0", "vxlan", "no remote")
    assert "a frame for 02:00:00:00:00:01: after the drop vx 0 has no entry for it" in said(verdict)
    assert "ip netns exec b bridge fdb show dev 'vx 0'" in commands(verdict)
    learned = (Remote(OTHER, default=False, fixed=False),)
    cause, verdict = verdict_of(drop, vxlans=(VX0,), vxlan_remotes=learned)
    assert "after the drop vx 0 has a remote for it" in said(verdict)
    assert judged(drop, vxlans=(VX0,), last_change=CHANGED) == ("tunnel.no-remote", "likely")


@SILENT
@pytest.mark.parametrize("there", [replace(VX0, external=True, proxy=True), replace(VX0, proxy=True)])
def test_what_frees_other_frames_as_well(died: Died, reason: str | None, there: Vxlan) -> None:
    drop = died("vxlan_xmit", INNER, reason=reason, ifindex=AT, link=LINK)
    assert judged(drop, vxlans=(there,)) == ("unknown", "unknown")
    assert judged(drop) == ("unknown", "unknown")


@SILENT
def test_an_unknown_identifier(died: Died, reason: str | None) -> None:
    drop = died("vxlan_rcv", outer(78), reason=reason)
    cause, verdict = verdict_of(drop, vxlans=(VX0,))
    assert (cause, verdict.confidence) == ("tunnel.vxlan-unknown-vni", "certain")
    assert setting(verdict) == "id 77"
    assert "the packet has VNI 78, port 4789; at this port are vx 0 (id 77)" in said(verdict)
    elsewhere = replace(VX0, name="vx1", vni=78, port=4790)
    assert setting(verdict_of(drop, vxlans=(VX0, elsewhere))[1]) == "dstport 4790"
    assert judged(drop, vxlans=(VX0,), last_change=CHANGED) == ("tunnel.vxlan-unknown-vni", "likely")


@SILENT
def test_another_port_than_the_usual_ones(died: Died, reason: str | None) -> None:
    drop = died("vxlan_rcv", outer(78, port=1234), reason=reason)
    assert judged(drop, vxlans=(replace(VX0, port=1234),)) == ("tunnel.vxlan-unknown-vni", "certain")


@SILENT
def test_what_may_have_been_something_else(died: Died, reason: str | None) -> None:
    """The VNI is taken, nothing is known of who listens, or the header has more than the kernel may like."""
    unknown = ("unknown", "unknown")
    assert judged(died("vxlan_rcv", outer(), reason=reason), vxlans=(VX0,)) == unknown
    assert judged(died("vxlan_rcv", outer(78), reason=reason), vxlans=None) == unknown
    assert judged(died("vxlan_rcv", outer(78), reason=reason), vxlans=(replace(VX0, port=1),)) == unknown
    assert (
        judged(died("vxlan_rcv", outer(78), reason=reason), vxlans=(replace(VX0, external=True),)) == unknown
    )
    assert judged(died("vxlan_rcv", outer(78, 0x88000000), reason=reason), vxlans=(VX0,)) == unknown


@pytest.mark.parametrize("reason", [None, "VXLAN_VNI_NOT_FOUND"])
def test_a_filter_of_identifiers(died: Died, reason: str | None) -> None:
    filtering = replace(VX0, vni=0, external=True, vnifilter=True)
    told = {"vxlans": (filtering,), "vxlan_vnis": ((7, 7), (10, 20))}
    cause, verdict = verdict_of(died("vxlan_rcv", outer(78), reason=reason), **told)
    assert (cause, setting(verdict)) == ("tunnel.vxlan-unknown-vni", "vni 7 10-20")
    if reason is None:
        assert judged(died("vxlan_rcv", outer(11), reason=reason), **told) == ("unknown", "unknown")


def test_an_interface_that_is_down(died: Died) -> None:
    down = replace(VX0, vni=78, up=False)
    cause, verdict = verdict_of(died("vxlan_rcv", outer(78)), vxlans=(VX0, down))
    assert (cause, verdict.confidence, setting(verdict)) == ("device.down", "likely", "down")
    assert commands(verdict) == ["ip netns exec b ip link set dev 'vx 0' up"]


@pytest.mark.parametrize("reason", [None, "VXLAN_INVALID_HDR"])
def test_a_header_without_an_identifier(died: Died, reason: str | None) -> None:
    cause, verdict = verdict_of(died("vxlan_rcv", outer(flags=0), reason=reason), vxlans=(VX0,))
    assert (cause, verdict.confidence) == ("tunnel.vxlan-header", "certain")
    assert "the flags are 0x00000000" in said(verdict)


def test_what_has_lost_its_outer_header_says_nothing_of_it(died: Died) -> None:
    """Its interface is gone when it is read, and the header that is looked at is one of the inner packet's."""
    drop = died("vxlan_rcv", outer(flags=0))
    inner = replace(drop, event=replace(drop.event, skb_iif=0))
    assert judged(inner, vxlans=()) == ("unknown", "unknown")


@pytest.mark.parametrize("reason", [None, "VXLAN_INVALID_HDR"])
@pytest.mark.parametrize(
    ("flags", "words"), [(0x88000000, "group policy"), (0x0C000000, "generic protocol"), (0x08000001, "bits")]
)
def test_a_header_with_more_than_the_interface_takes(
    died: Died, reason: str | None, flags: int, words: str
) -> None:
    cause, verdict = verdict_of(died("vxlan_rcv", outer(flags=flags), reason=reason), vxlans=(VX0,))
    assert (cause, verdict.confidence) == ("tunnel.vxlan-header", "certain")
    assert setting(verdict) == "no gbp, no gpe"
    assert words in said(verdict)
    gbp = judged(died("vxlan_rcv", outer(flags=flags)), vxlans=(replace(VX0, gbp=True),))
    assert gbp == ("unknown", "unknown")


@pytest.mark.parametrize("reason", [None, "LOCAL_MAC"])
def test_a_frame_of_its_own(died: Died, reason: str | None) -> None:
    own = replace(VX0, mac=SOURCE)
    drop = died("vxlan_rcv", outer(), reason=reason, ifindex=AT)
    cause, verdict = verdict_of(drop, vxlans=(own,))
    assert (cause, verdict.confidence) == ("tunnel.own-mac", "certain")
    assert setting(verdict) == f"address {SOURCE}"
    assert judged(drop, vxlans=(VX0,))[0] == ("unknown" if reason is None else "tunnel.own-mac")


@pytest.mark.parametrize(("reason", "confidence"), [(None, "likely"), ("VXLAN_ENTRY_EXISTS", "certain")])
def test_a_station_that_has_moved(died: Died, reason: str | None, confidence: str) -> None:
    drop = died("vxlan_rcv", outer(), reason=reason, ifindex=AT)
    fixed = Remote(OTHER, default=False, fixed=True)
    cause, verdict = verdict_of(drop, vxlans=(VX0,), vxlan_remotes=(fixed,))
    assert (cause, verdict.confidence) == ("tunnel.vxlan-static-entry", confidence)
    assert setting(verdict) == f"{SOURCE} dst 10.0.0.9"
    assert f"ip netns exec b bridge fdb replace {SOURCE} dev 'vx 0' dst 10.9.0.1" in commands(verdict)
    for entry in (replace(fixed, fixed=False), replace(fixed, address=HERE), replace(fixed, default=True)):
        told = judged(drop, vxlans=(VX0,), vxlan_remotes=(entry,))
        assert told[0] == ("unknown" if reason is None else "tunnel.vxlan-static-entry")


@SILENT
def test_an_external_interface(died: Died, reason: str | None) -> None:
    drop = died("vxlan_xmit", INNER, reason=reason, ifindex=AT, link=LINK)
    cause, verdict = verdict_of(drop, vxlans=(replace(VX0, external=True),))
    assert (cause, verdict.confidence) == ("tunnel.no-metadata", "likely")
    assert setting(verdict) == "external"
