"""MPLS: what an interface accepts, labels without a route, and what is not sent on."""

import struct
from collections.abc import Callable
from dataclasses import replace

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


@pytest.mark.parametrize(
    ("labels", "link", "confidence"),
    [
        (0, "frame", "certain"),
        (0, "", "certain"),
        (50, "frame", "certain"),
        (50, "", "likely"),
        (50, "0", "likely"),
    ],
)
def test_a_label_that_can_have_no_route(died: Died, labels: int, link: str, confidence: str) -> None:
    """Without the header before it, it may be the second label. With an expression in the filter that is of zeros."""
    drop = labelled(died)
    if link != "frame":
        drop = replace(drop, event=replace(drop.event, link=bytes(14) if link else b""))
    cause, verdict = judged(drop, Mpls("eth0", 1, labels, False), last_change=0)
    assert (cause, verdict.confidence) == ("routing.mpls-no-route", confidence)
    assert verdict.evidence[0].text == f"the packet has label 100, and net.mpls.platform_labels is {labels}"
    assert verdict.culprit is not None


@pytest.mark.parametrize(("changed", "confidence"), [(0, "certain"), (CHANGED, "likely"), (None, "likely")])
def test_a_label_without_a_route(died: Died, changed: int | None, confidence: str) -> None:
    cause, verdict = judged(labelled(died), Mpls("eth0", 1, 1000, False), last_change=changed)
    assert (cause, verdict.confidence, verdict.culprit) == ("routing.mpls-no-route", confidence, None)


@pytest.mark.parametrize(
    ("ttl", "cause", "confidence"),
    [
        (0, "routing.mpls-ttl-expired", "certain"),
        (1, "routing.mpls-ttl-expired", "certain"),
        (2, "routing.mpls-too-big", "likely"),
    ],
)
@pytest.mark.parametrize("behind", [INNER, LABELLED])
def test_the_label_that_has_been_taken_off(
    died: Died, behind: bytes, ttl: int, cause: str, confidence: str
) -> None:
    """Behind it may be another one, which has nothing to do with it."""
    link = bytes.fromhex(f"{STATION}{OTHER}8847") + struct.pack("!I", 101 << 12 | ttl)
    drop = died("mpls_forward", behind, link=link, protocol=0x8847)
    found, verdict = judged(drop, Mpls("eth0", 1, 1000, False), last_change=0)
    assert (found, verdict.confidence) == (cause, confidence)
    assert verdict.evidence[0].text.startswith("label 101 has been taken off")


def test_what_is_not_told(died: Died) -> None:
    assert judged(labelled(died), Mpls("eth0", 1, 1000, True))[0] == "unknown"
    assert judged(labelled(died), None)[0] == "unknown"
    assert judged(labelled(died, b""), Mpls("eth0", 0, 0, False))[0] == "unknown"
    assert judged(labelled(died, to=OTHER), Mpls("eth0", 1, 0, False))[0] == "unknown"


@pytest.mark.parametrize("inner", [INNER, packets.ipv6(17, packets.udp())])
def test_without_its_label_it_had_a_route(died: Died, inner: bytes) -> None:
    cause, verdict = judged(labelled(died, inner), Mpls("eth0", 1, 0, False))
    assert (cause, verdict.confidence) == ("routing.mpls-not-sent", "likely")
