"""MPLS: what an interface accepts, labels without a route, and what is not sent on."""

import struct
from collections.abc import Callable

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.link import Link
from dropwatch.host.routers.mpls import Mpls
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Verdict
from tests.unit.packet import packets
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
INNER = packets.ipv4(17, packets.udp())
LABELLED = struct.pack("!I", 100 << 12 | 0x140) + INNER
STATION, OTHER = "020000000005", "020000000006"
LINK = Link("eth0", 1500, "UP", True, True, mac="02:00:00:00:00:05")
CHANGED = 1 << 62  # after every drop


def judged(drop: Drop, known: Mpls | None, **told: object) -> tuple[str, Verdict]:
    cause, verdict = diagnose(drop, ToldHost(mpls=known, link=LINK, **told))
    return (cause.id if cause is not None else "unknown"), verdict


def labelled(died: Died, packet: bytes = LABELLED, *, to: str = STATION) -> Drop:
    link = bytes.fromhex(to + OTHER + "8847")
    return died("mpls_forward", packet, link=link, protocol=0x8847)


@pytest.mark.parametrize(("changed", "confidence"), [(0, "certain"), (CHANGED, "likely"), (None, "likely")])
def test_an_interface_that_does_not_accept_it(died: Died, changed: int | None, confidence: str) -> None:
    cause, verdict = judged(labelled(died), Mpls("eth0.7", 0, 1000, False), last_change=changed)
    assert (cause, verdict.confidence) == ("routing.mpls-input-off", confidence)
    name = "net.mpls.conf.eth0/7.input"
    assert verdict.culprit == Sysctl(f"{name} = 0", name, 0)


@pytest.mark.parametrize(("labels", "confidence"), [(0, "certain"), (50, "likely")])
def test_a_label_that_can_have_no_route(died: Died, labels: int, confidence: str) -> None:
    cause, verdict = judged(labelled(died), Mpls("eth0", 1, labels, False))
    assert (cause, verdict.confidence) == ("routing.mpls-no-route", confidence)
    assert verdict.evidence[0].text == f"the packet has label 100, and net.mpls.platform_labels is {labels}"
    assert verdict.culprit is not None


def test_a_label_without_a_route(died: Died) -> None:
    cause, verdict = judged(labelled(died), Mpls("eth0", 1, 1000, False))
    assert (cause, verdict.confidence, verdict.culprit) == ("routing.mpls-no-route", "likely", None)


def test_what_is_not_told(died: Died) -> None:
    assert judged(labelled(died), Mpls("eth0", 1, 1000, True))[0] == "unknown"
    assert judged(labelled(died), None)[0] == "unknown"
    assert judged(labelled(died, b""), Mpls("eth0", 0, 0, False))[0] == "unknown"
    assert judged(labelled(died, to=OTHER), Mpls("eth0", 1, 0, False))[0] == "unknown"


@pytest.mark.parametrize("inner", [INNER, packets.ipv6(17, packets.udp())])
def test_without_its_label_it_had_a_route(died: Died, inner: bytes) -> None:
    cause, verdict = judged(labelled(died, inner), Mpls("eth0", 1, 0, False))
    assert (cause, verdict.confidence) == ("routing.mpls-not-sent", "likely")
