"""What a bridge does not let out: the port that should get the frame, or all of them."""

from dataclasses import replace

import pytest

from dropwatch.host.bridges import BridgePort, Station, Vlans
from dropwatch.model.forwarding import BridgePort as Blamed
from dropwatch.packet.frame import BROADCAST
from tests.unit.causes.device.test_bridge_signs import (
    BR0,
    BRIDGE,
    CHANGED,
    FROM,
    IN,
    OTHER,
    OUT,
    PORT,
    TO,
    Died,
    bridge,
    died,
    judged,
    verdict_of,
)

__all__ = ["died"]
GROUP = bytes.fromhex("01005e000001")


@pytest.mark.parametrize(
    ("station", "port", "other", "cause", "setting"),
    [
        (IN, PORT, replace(OTHER, vlans=PORT.vlans), "device.bridge-hairpin", "hairpin off"),
        (
            OUT,
            replace(PORT, hairpin=True),
            replace(OTHER, state="blocking"),
            "device.bridge-stp",
            "state blocking",
        ),
        (
            *(OUT, replace(PORT, hairpin=True), replace(OTHER, vlans=Vlans()), "device.bridge-vlan-filter"),
            "no VLAN, no PVID",
        ),
        (
            *(OUT, replace(PORT, hairpin=True, isolated=True, vlans=Vlans(((10, 10),)))),
            *(
                replace(OTHER, isolated=True, vlans=Vlans(((10, 10),))),
                "device.bridge-isolated",
                "isolated on",
            ),
        ),
    ],
)
def test_the_port_it_should_leave_by(
    died: Died, station: int, port: BridgePort, other: BridgePort, cause: str, setting: str
) -> None:
    found = bridge(port, other, filtering=True)
    name = "p1" if station == IN else "p2"
    drop = died("br_forward", vid=10)
    judgement, verdict = verdict_of(drop, bridge=found, station=Station(station, CHANGED))
    assert (judgement, verdict.confidence) == (cause, "certain")
    assert verdict.culprit == Blamed(f"{name} of br 0: {setting}", name, "br 0", setting)
    assert judged(drop, bridge=found, station=Station(station, 0), last_change=CHANGED) == (cause, "likely")


def test_two_reasons_are_possible(died: Died) -> None:
    """The entry of the database is younger than the drop: the station may have been elsewhere."""
    found, drop = bridge(PORT, replace(OTHER, state="blocking")), died("br_forward")
    for changed, confidence in ((0, "certain"), (CHANGED, "likely")):
        told = {"bridge": found, "station": Station(OUT, changed)}
        assert judged(drop, **told) == ("device.bridge-stp", confidence)
        told = {"bridge": found, "station": Station(IN, changed)}
        assert judged(drop, **told) == ("device.bridge-hairpin", confidence)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"bridge": BR0},
        {"bridge": BR0, "station": Station(OUT, 0)},
        {"bridge": BR0, "station": Station(77, 0)},
    ],
)
def test_no_reason_is_known(died: Died, told: dict[str, object]) -> None:
    assert judged(died("br_forward"), **told) == ("unknown", "unknown")


@pytest.mark.parametrize(("to", "cause"), [(FROM, "device.bridge-hairpin"), (GROUP, "unknown")])
def test_where_br_forward_is_inlined(died: Died, to: bytes, cause: str) -> None:
    drop = died("br_handle_frame_finish", to=to)
    assert verdict_of(drop, bridge=BR0, station=Station(IN, 0))[0] == cause


def test_a_frame_for_its_own_sender(died: Died) -> None:
    _, verdict = verdict_of(died("br_forward", to=FROM), bridge=BR0, station=Station(IN, 0))
    assert "a frame to its own sender, and hairpin is off" in verdict.evidence[0].text
    assert verdict.fix[0].command == "ip netns exec b bridge link set dev p1 hairpin on"


@pytest.mark.parametrize(
    ("to", "other", "words"),
    [
        (FROM, replace(OTHER, flood=False), "p2: flood off"),
        (BROADCAST, replace(OTHER, bcast_flood=False), "p2: bcast_flood off"),
        (GROUP, replace(OTHER, mcast_flood=False), "p2: mcast_flood off"),
        (GROUP, replace(OTHER, state="listening"), "p2: state listening"),
    ],
)
@pytest.mark.parametrize("reason", ["NOT_SPECIFIED", "NO_TX_TARGET"])
def test_no_port_takes_it(died: Died, to: bytes, other: BridgePort, words: str, reason: str) -> None:
    cause, verdict = verdict_of(died("br_flood", to=to, reason=reason), bridge=bridge(other=other))
    assert (cause, verdict.confidence) == ("device.bridge-no-port", "certain")
    assert f"ports of br 0: {words}" in {fact.text for fact in verdict.evidence}


@pytest.mark.parametrize(("to", "confidence"), [(TO, "certain"), (BROADCAST, "certain"), (GROUP, "likely")])
def test_no_port_takes_it_where_the_call_is_a_jump(died: Died, to: bytes, confidence: str) -> None:
    quiet = replace(OTHER, flood=False, mcast_flood=False, bcast_flood=False)
    drop = died("br_handle_frame_finish", to=to)
    assert judged(drop, bridge=bridge(other=quiet)) == ("device.bridge-no-port", confidence)
    assert judged(drop, bridge=BR0) == ("unknown", "unknown")
    assert judged(drop, bridge=bridge(other=quiet), last_change=CHANGED)[0] != "device.bridge-no-port"


def test_the_bridge_has_no_other_port(died: Died) -> None:
    cause, verdict = verdict_of(died("br_flood"), bridge=replace(BR0, ports=(PORT,)))
    assert (cause, verdict.confidence) == ("device.bridge-no-port", "certain")
    assert verdict.evidence[0].text == "br 0 has no other port"


def test_what_the_host_itself_sends_goes_to_ports_that_flood_no_groups(died: Died) -> None:
    quiet = replace(OTHER, mcast_flood=False)
    drop = died("br_flood", to=GROUP, ifindex=BRIDGE)
    assert judged(drop, bridge=replace(BR0, ports=(quiet,))) == ("device.bridge-no-port", "likely")


def test_a_port_would_take_it(died: Died) -> None:
    """Then there was no memory, or it did not when the frame came."""
    assert judged(died("br_flood"), bridge=BR0) == ("device.bridge-no-port", "likely")
    assert judged(died("br_flood", reason="NO_TX_TARGET"), bridge=BR0) == ("device.bridge-no-port", "certain")


def test_too_big_for_the_port(died: Died) -> None:
    drop = died("br_dev_queue_push_xmit", ifindex=OUT)
    size = drop.packet.length
    cause, verdict = verdict_of(drop, bridge=bridge(other=replace(OTHER, mtu=size - 1)))
    assert (cause, verdict.confidence) == ("device.too-big-for-port", "certain")
    words = f"the packet has {size} bytes, the MTU of p2 is {size - 1}; it came in through p1, MTU 1500"
    assert verdict.evidence[0].text == words
    assert verdict.fix[0].command == "ip netns exec b ip link set dev p2 mtu 1500"
    assert judged(drop, bridge=BR0) == ("unknown", "unknown")


@pytest.mark.parametrize(("tag", "vid"), [(None, 1), (15, 15)])
def test_the_vlan_of_the_outgoing_port_has_gone(died: Died, tag: int | None, vid: int) -> None:
    drop = died("br_handle_vlan", vid=tag)
    found = bridge(other=replace(OTHER, vlans=Vlans(((30, 30),), 30)), filtering=True)
    cause, verdict = verdict_of(drop, bridge=found, station=Station(OUT, 0))
    assert (cause, verdict.confidence) == ("device.bridge-vlan-filter", "likely")
    assert verdict.culprit == Blamed("p2 of br 0: VLANs 30, PVID 30", "p2", "br 0", "VLANs 30, PVID 30")
    assert f"the frame is of VLAN {vid}, and the port has VLANs 30" in verdict.evidence[0].text


def test_an_outgoing_port_that_is_not_known_or_has_the_vlan(died: Died) -> None:
    drop = died("br_handle_vlan")
    filtering = bridge(filtering=True)
    for told in ({}, {"bridge": filtering}, {"bridge": filtering, "station": Station(OUT, 0)}):
        cause, verdict = verdict_of(drop, **told)
        assert (cause, verdict.confidence, verdict.culprit) == ("device.bridge-vlan-filter", "likely", None)
