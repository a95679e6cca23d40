"""Multicast routing: no route, the wrong interface, no output, and an interface that takes no part."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.routers.multicast import Entry, MulticastRoutes
from dropwatch.model.drop import Drop, Verdict
from dropwatch.model.forwarding import Route
from tests.unit.packet import packets
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
GROUP = "239.1.2.3"
INTERFACES = ((0, "d0"), (1, "eth0"), (2, "d1"))
WHOLE = packets.ipv4(17, packets.udp(), dst=GROUP)
PACKET = WHOLE[:8] + b"\x08" + WHOLE[9:]  # its TTL
SOURCE, ANY = ip_address("10.9.0.1"), ip_address("0.0.0.0")


def judged(drop: Drop, *entries: Entry, known: bool = True) -> tuple[str, Verdict]:
    told = MulticastRoutes(INTERFACES, entries) if known else None
    cause, verdict = diagnose(drop, ToldHost(multicast_routes=told))
    return (cause.id if cause is not None else "unknown"), verdict


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (("ipmr_cache_unresolved",), "could not wait"),
        (("ipmr_destroy_unres", "ipmr_expire_process"), "did not set one in time"),
        (("ip6mr_destroy_unres", "mroute_clean_tables"), "ended, or flushed"),
    ],
)
def test_no_route_yet(died: Died, way: tuple[str, ...], words: str) -> None:
    cause, verdict = judged(died(way[0], PACKET, *way[1:]))
    assert (cause, verdict.confidence) == ("routing.multicast-unresolved", "certain")
    assert words in verdict.evidence[0].text


@pytest.mark.parametrize("origin", [SOURCE, ANY])
def test_through_the_wrong_interface(died: Died, origin: object) -> None:
    entry = Entry(ip_address(str(origin)), 0, ((1, 1),))
    cause, verdict = judged(died("ip_mr_input", PACKET), entry)
    assert (cause, verdict.confidence) == ("routing.multicast-wrong-interface", "likely")
    assert verdict.culprit == Route(f"({origin},{GROUP}) Iif: d0 Oifs: eth0", "multicast", GROUP)


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (((1, 1),), "has no outgoing interface"),
        (((0, 8), (2, 16)), "its TTL is 8, and d0 takes more than 8, d1 takes more than 16"),
    ],
)
def test_nowhere_to_send_it_to(died: Died, outputs: tuple[tuple[int, int], ...], words: str) -> None:
    cause, verdict = judged(died("ip_mr_forward", PACKET), Entry(SOURCE, 1, outputs), Entry(ANY, 0))
    assert (cause, verdict.confidence) == ("routing.multicast-no-output", "likely")
    assert words in verdict.evidence[0].text


def test_an_interface_that_takes_no_part(died: Died) -> None:
    told = MulticastRoutes(((0, "d0"),), ())
    cause, verdict = diagnose(died("ip_mr_input", PACKET), ToldHost(multicast_routes=told))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("routing.multicast-not-routed-here", "likely")
    assert verdict.evidence[0].text == "d0 takes part in multicast routing; it came in through eth0"


def test_what_is_not_told(died: Died) -> None:
    drop = died("ip_mr_input", PACKET)
    assert judged(drop)[0] == "unknown"
    assert judged(drop, known=False)[0] == "unknown"
    assert judged(drop, Entry(SOURCE, 1, ((0, 7),)))[0] == "unknown"
