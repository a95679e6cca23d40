"""What a bridge does not take: the state of the port, its VLANs, its lock, the addresses of the frame."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.bridges import Bridge, BridgePort, Station, Vlans
from dropwatch.model.drop import Drop, Frame, Verdict, Where
from dropwatch.model.forwarding import BridgePort as Blamed
from tests.unit.told_host import ToldHost

IN, OUT, BRIDGE = 3, 4, 2
TO, FROM = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
PAUSE = bytes.fromhex("0180c2000001")
PORT = BridgePort("p1", IN, "forwarding", 1500, True, vlans=Vlans(((1, 1), (10, 20)), 1))
OTHER = BridgePort("p2", OUT, "forwarding", 1500, True, vlans=Vlans(((1, 1),), 1))
BR0 = Bridge("br 0", BRIDGE, False, False, False, (PORT, OTHER))
CHANGED = 1 << 62  # after every drop

Died = Callable[..., Drop]


def bridge(port: BridgePort = PORT, other: BridgePort = OTHER, *, filtering: bool = False) -> Bridge:
    return replace(BR0, ports=(port, other), vlan_filtering=filtering)


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_event: Callable[..., object]) -> Died:
    def build(
        place: str,
        *,
        to: bytes = TO,
        source: bytes = FROM,
        vid: int | None = None,
        reason: str | None = "NOT_SPECIFIED",
        ifindex: int = IN,
        seen: bool = True,
        skb_iif: int = IN,
    ) -> Drop:
        tag = b"" if vid is None else b"\x81\0" + vid.to_bytes(2, "big")
        link = to + source + tag + b"\x08\0" if seen else b""
        frame = Frame(place, 1, "bridge", 0)
        drop = make_drop(event=make_event(ifindex=ifindex, link=link, skb_iif=skb_iif), reason=reason)
        return replace(drop, where=Where(frame, "bridge", "in"), stack=(frame,))

    return build


def verdict_of(drop: Drop, **told: object) -> tuple[str, Verdict]:
    cause, verdict = diagnose(drop, ToldHost(**told))
    return cause.id if cause is not None else "unknown", verdict


def judged(drop: Drop, **told: object) -> tuple[str, str]:
    cause, verdict = verdict_of(drop, **told)
    return cause, verdict.confidence


@pytest.mark.parametrize("state", ["disabled", "listening", "blocking"])
@pytest.mark.parametrize("reason", ["NOT_SPECIFIED", "BRIDGE_INGRESS_STP_STATE", None])
def test_a_port_that_does_not_forward(died: Died, state: str, reason: str | None) -> None:
    shut = bridge(replace(PORT, state=state))
    cause, verdict = verdict_of(died("br_handle_frame", reason=reason), bridge=shut)
    assert (cause, verdict.confidence) == ("device.bridge-stp", "certain")
    assert verdict.culprit == Blamed(f"p1 of br 0: state {state}", "p1", "br 0", f"state {state}")
    assert verdict.fix[0].command == "ip netns exec b bridge link set dev p1 state 3"
    cause, verdict = verdict_of(died("br_handle_frame", reason=reason), bridge=replace(shut, stp=True))
    assert any(fix.command and "'br 0' type bridge stp_state 0" in fix.command for fix in verdict.fix)


def test_a_port_that_learns_takes_it_no_further(died: Died) -> None:
    learns = bridge(replace(PORT, state="learning"))
    assert judged(died("br_handle_frame_finish"), bridge=learns) == ("device.bridge-stp", "certain")
    assert judged(died("br_handle_frame"), bridge=learns) == ("unknown", "unknown")


def test_a_port_that_forwards_by_the_reading(died: Died) -> None:
    drop = died("br_handle_frame")
    assert judged(drop, bridge=BR0) == ("unknown", "unknown")
    assert judged(drop, bridge=BR0, last_change=CHANGED) == ("device.bridge-stp", "likely")
    told = died("br_handle_frame", reason="BRIDGE_INGRESS_STP_STATE")
    assert verdict_of(told, bridge=BR0)[0] == "device.bridge-stp"


def test_a_state_that_was_not_read_or_may_be_another(died: Died) -> None:
    assert judged(died("br_handle_frame")) == ("device.bridge-stp", "likely")
    shut = bridge(replace(PORT, state="blocking"))
    assert judged(died("br_handle_frame", seen=False), bridge=shut) == ("unknown", "unknown")
    assert judged(died("br_handle_frame"), bridge=shut, last_change=CHANGED) == (
        "device.bridge-stp",
        "likely",
    )


def test_the_addresses_of_the_frame(died: Died) -> None:
    shut = bridge(replace(PORT, state="blocking"))
    assert judged(died("br_handle_frame", to=PAUSE), bridge=shut) == ("device.bridge-pause-frame", "certain")
    for source in (bytes(6), b"\x01" + bytes(5)):
        drop = died("br_handle_frame", source=source)
        assert judged(drop, bridge=shut) == ("device.mac-source-invalid", "certain")


@pytest.mark.parametrize("station", [None, Station(OUT, 0)])
def test_a_locked_port(died: Died, station: Station | None) -> None:
    locked = bridge(replace(PORT, locked=True))
    cause, verdict = verdict_of(died("br_handle_frame_finish"), bridge=locked, station=station)
    assert (cause, verdict.confidence) == ("device.bridge-locked", "certain")
    command = "ip netns exec b bridge fdb add 02:00:00:00:00:02 dev p1 master static"
    assert verdict.fix[0].command == command


def test_a_locked_port_whose_stations_have_changed(died: Died) -> None:
    locked, drop = bridge(replace(PORT, locked=True, hairpin=True)), died("br_handle_frame_finish")
    assert judged(drop, bridge=locked, station=Station(IN, 0)) == ("unknown", "unknown")
    assert judged(drop, bridge=locked, station=Station(OUT, CHANGED)) == ("device.bridge-locked", "likely")


@pytest.mark.parametrize(
    ("vid", "vlans", "words"),
    [
        (30, PORT.vlans, "the frame is of VLAN 30; p1 has VLANs 1 10-20, PVID 1"),
        (None, Vlans(), "the frame has no VLAN tag; p1 has no VLAN, no PVID"),
    ],
)
def test_the_vlans_of_a_port(died: Died, vid: int | None, vlans: Vlans, words: str) -> None:
    drop = died("__allowed_ingress", vid=vid)
    cause, verdict = verdict_of(drop, bridge=bridge(replace(PORT, vlans=vlans), filtering=True))
    assert (cause, verdict.confidence) == ("device.bridge-vlan-filter", "certain")
    assert words in {fact.text for fact in verdict.evidence}
    assert isinstance(verdict.culprit, Blamed)
    last = verdict.fix[-1]
    assert last.command == "ip netns exec b ip link set dev 'br 0' type bridge vlan_filtering 0"
    assert "this weakens security: what VLANs on this bridge keep apart" in last.text


def test_a_vlan_that_the_port_has_is_refused_for_its_state(died: Died) -> None:
    cause, verdict = verdict_of(died("br_allowed_ingress", vid=10), bridge=bridge(filtering=True))
    assert (cause, verdict.confidence, verdict.culprit) == ("device.bridge-vlan-filter", "certain", None)


def test_a_bridge_that_is_not_known_is_asked_for(died: Died) -> None:
    cause, verdict = verdict_of(died("__allowed_ingress"))
    assert (cause, verdict.confidence) == ("device.bridge-vlan-filter", "certain")
    assert verdict.fix[-1].command is None
    assert "BRIDGE is the bridge of the port" in verdict.fix[-1].text


def itself(vlans: Vlans) -> Bridge:
    return replace(bridge(filtering=True), vlans=vlans)


@pytest.mark.parametrize(("tag", "vid"), [(None, 1), (0, 1), (15, 15)])
def test_a_frame_for_the_host_in_a_vlan_that_the_bridge_lacks(died: Died, tag: int | None, vid: int) -> None:
    drop = died("br_pass_frame_up", vid=tag)
    cause, verdict = verdict_of(drop, bridge=itself(Vlans(((30, 30),), 30)))
    assert (cause, verdict.confidence) == ("device.bridge-vlan-filter", "certain")
    setting = "VLANs 30, PVID 30"
    assert verdict.culprit == Blamed(f"br 0 of br 0: {setting}", "br 0", "br 0", setting)
    fact = f"the frame is of VLAN {vid}, from port p1; br 0 itself has {setting}"
    assert verdict.evidence[0].text == fact
    allow = f"ip netns exec b bridge vlan add dev 'br 0' vid {vid} self"
    assert verdict.fix[1].command == allow


def test_what_the_bridge_has_by_now_is_not_blamed(died: Died) -> None:
    drop = died("br_pass_frame_up", vid=15)
    for told in ({"bridge": itself(PORT.vlans)}, {}):
        cause, verdict = verdict_of(drop, **told)
        assert (cause, verdict.confidence, verdict.culprit) == ("device.bridge-vlan-filter", "certain", None)
    wanting = itself(Vlans())
    assert judged(drop, bridge=wanting, last_change=CHANGED) == ("device.bridge-vlan-filter", "likely")
