"""SRv6: what is not accepted, what an action does not take, and a VRF that is missing."""

import struct
from collections.abc import Callable

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.ipv4 import Setting
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Verdict
from tests.unit.packet import packets
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
IPV6_IN, IPV4_IN = 41, 4


def routed(left: int, carried: int = IPV6_IN, kind: int = 4) -> bytes:
    header = struct.pack("!BBBBBBH", carried, 2, kind, left, 0, 0, 0) + bytes(16)
    return packets.ipv6(43, header + packets.ipv6(17, packets.udp()))


def judged(drop: Drop, **told: object) -> tuple[str, Verdict]:
    cause, verdict = diagnose(drop, ToldHost(**told))
    return (cause.id if cause is not None else "unknown"), verdict


def at(died: Died, place: str, packet: bytes) -> Drop:
    return died(place, packet, protocol=0x86DD)


@pytest.mark.parametrize(
    ("setting", "name"), [(Setting(0, 0), "all"), (Setting(1, 0), "all"), (Setting(0, 1), "eth0")]
)
def test_segment_routing_is_not_accepted(died: Died, setting: Setting, name: str) -> None:
    cause, verdict = judged(at(died, "ipv6_rthdr_rcv", routed(1)), seg6_enabled=setting)
    assert (cause, verdict.confidence) == ("routing.source-route", "certain")
    sysctl = f"net.ipv6.conf.{name}.seg6_enabled"
    assert verdict.culprit == Sysctl(f"{sysctl} = 0", sysctl, 0)


def test_another_routing_header_is_told_as_before(died: Died) -> None:
    for packet, setting in ((routed(1, kind=2), Setting(0, 0)), (routed(1), Setting(1, 1))):
        cause, verdict = judged(at(died, "ipv6_rthdr_rcv", packet), seg6_enabled=setting)
        assert (cause, verdict.confidence) == ("routing.source-route", "likely")


@pytest.mark.parametrize(
    ("place", "packet", "words"),
    [
        ("input_action_end_core", packets.ipv6(17, packets.udp()), "it has no segment routing header"),
        ("input_action_end_x", routed(0), "with no segments left, so there is no next one"),
        ("input_action_end_dt6", routed(2), "with 2 segments left, and the action takes only"),
        ("input_action_end_dt6", routed(0, IPV4_IN), "it carries protocol 4"),
    ],
)
def test_what_an_action_does_not_take(died: Died, place: str, packet: bytes, words: str) -> None:
    cause, verdict = judged(at(died, place, packet))
    assert (cause, verdict.confidence) == ("routing.srv6-action", "certain")
    assert words in verdict.evidence[0].text


@pytest.mark.parametrize(("place", "left"), [("input_action_end", 1), ("input_action_end_dt6", 0)])
def test_what_the_packet_does_not_show(died: Died, place: str, left: int) -> None:
    cause, verdict = judged(at(died, place, routed(left)))
    assert (cause, verdict.confidence) == ("routing.srv6-action", "likely")


def test_no_vrf(died: Died) -> None:
    cause, verdict = judged(died("end_dt_vrf_core", packets.ipv4(17, packets.udp())))
    assert (cause, verdict.confidence) == ("routing.srv6-no-vrf", "certain")


def test_without_its_header_it_may_be_what_was_carried(died: Died) -> None:
    packet = packets.ipv6(17, packets.udp())
    cause, verdict = judged(at(died, "input_action_end_dt6", packet))
    assert (cause, verdict.confidence) == ("routing.srv6-action", "likely")
    assert judged(died("input_action_end_dt4", packets.ipv4(17, packets.udp())))[0] == "unknown"
    assert judged(at(died, "input_action_end_dx2", routed(0, 143)))[0] == "unknown"
