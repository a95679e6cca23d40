"""A packet that waited for a neighbour: what threw away the question, or the answer, is told with it."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.host.route import Route
from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Drop, Event, Finding, Fix, MatchResult, Packet
from dropwatch.run.solicitations import ANSWER_LOST, UNRESOLVED, Solicitations, gateway
from tests.unit.told_host import ToldHost

RULE = NftRule("arp operation reply drop", "arp", "t", "in", 4)
ACCEPT = Fix("delete the rule", "nft delete rule arp t in handle 4")
SECOND = 1_000_000_000
HOP = ip_address("10.0.0.9")


def made(
    make_drop: Callable[..., Drop],
    make_event: Callable[..., Event],
    cause: str,
    at_s: int,
    *,
    is_question: bool = False,
    **packet: object,
) -> Finding:
    ends = {"saddr": HOP, "daddr": ip_address("10.0.0.1"), "sport": None, "dport": None} | packet
    saddr, daddr = (ip_address(str(ends[end])).packed for end in ("saddr", "daddr"))
    arp = bytes.fromhex(f"000108000604000{1 if is_question else 2}") + bytes(6) + saddr + bytes(6) + daddr
    event = make_event(monotonic_ns=at_s * SECOND, protocol=0x0806, packet=arp)
    whole = Packet(4, length=28, mark=0, **{"proto": "arp", **ends})  # type: ignore[arg-type]
    drop = replace(make_drop(event=event), packet=whole)
    culprit = RULE if cause.startswith("netfilter.") else None
    return Finding(drop, MatchResult("direct"), cause, "title", "certain", culprit, (), (ACCEPT,))


def test_the_rule_that_kept_the_answer_is_told(
    make_drop: Callable[..., Drop], make_event: Callable[..., Event]
) -> None:
    known = Solicitations()
    known.take(made(make_drop, make_event, "netfilter.nft-rule", 10))
    waited = made(make_drop, make_event, UNRESOLVED, 13, proto="udp", saddr=ip_address("10.0.0.1"), daddr=HOP)
    assert known.is_any(waited.drop.event.netns)
    found = known.explained(waited, [HOP])
    (led,) = found.led_by
    assert (found.confidence, led.culprit, led.confidence) == ("likely", RULE, "certain")
    assert led.text == "waited for 10.0.0.9: its reply was dropped by `arp operation reply drop`"
    assert (found.cause_id, found.title) == (
        ANSWER_LOST,
        "the reply of the next hop 10.0.0.9 was dropped here",
    )
    assert found.fix == (ACCEPT,)


@pytest.mark.parametrize(
    ("changes", "ifindex", "expected"),
    [
        ({"daddr": ip_address("10.0.0.7")}, 2, ANSWER_LOST),
        ({"daddr": ip_address("10.0.0.7")}, 3, UNRESOLVED),
        ({}, 3, ANSWER_LOST),
        ({"is_question": True}, 2, UNRESOLVED),
    ],
)
def test_an_answer_to_another_host_or_a_question_is_none(
    make_drop: Callable[..., Drop],
    make_event: Callable[..., Event],
    changes: dict[str, Any],
    ifindex: int,
    expected: str,
) -> None:
    """A bridge of this host hands it on."""
    known = Solicitations()
    lost = made(make_drop, make_event, "netfilter.nft-rule", 10, **changes)
    known.take(replace(lost, drop=replace(lost.drop, event=replace(lost.drop.event, ifindex=ifindex))))
    waited = made(make_drop, make_event, UNRESOLVED, 13, proto="udp", saddr=ip_address("10.0.0.1"), daddr=HOP)
    found = known.explained(waited, [HOP])
    assert (found.cause_id, found.confidence) == (expected, "likely")
    assert ("its reply was" in found.led_by[0].text) == (expected == ANSWER_LOST)


def test_others_have_nothing_to_do_with_it(
    make_drop: Callable[..., Drop], make_event: Callable[..., Event]
) -> None:
    known = Solicitations()
    waited = made(make_drop, make_event, UNRESOLVED, 13, proto="udp", daddr=HOP)
    known.take(made(make_drop, make_event, "benign.neighbour-probe", 10))
    known.take(made(make_drop, make_event, "netfilter.nft-rule", 10, proto="udp"))
    assert not known.is_any(waited.drop.event.netns)
    known.take(made(make_drop, make_event, "netfilter.nft-rule", 10, saddr=ip_address("10.0.0.8")))
    assert known.explained(waited, [HOP]) is waited
    known.take(made(make_drop, make_event, "netfilter.nft-rule", 14))
    assert known.explained(waited, [HOP]) is waited
    later = made(make_drop, make_event, UNRESOLVED, 100, proto="udp", daddr=HOP)
    assert known.explained(later, [HOP]) is later


def test_a_flood_of_made_up_neighbours_is_bounded(
    make_drop: Callable[..., Drop], make_event: Callable[..., Event]
) -> None:
    known = Solicitations()
    for number in range(3000):
        address = ip_address(0x0A000000 + number)
        known.take(made(make_drop, make_event, "netfilter.nft-rule", 10, saddr=address))
    assert len(known._kept) <= 1024


def test_the_gateway_of_today(make_drop: Callable[..., Drop]) -> None:
    assert gateway(ToldHost(route_back=Route("eth0", "10.0.0.254")), make_drop()) == ip_address("10.0.0.254")
    assert gateway(ToldHost(route_back=Route("eth0")), make_drop()) is None
    assert gateway(ToldHost(), make_drop()) is None
