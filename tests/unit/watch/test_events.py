"""What becomes an event, how often, and what it says."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Evidence, Finding, Fix, Process
from dropwatch.watch.events import Notice, Rate, facts, story
from dropwatch.watch.otlp_attributes import attributes
from dropwatch.watch.sorts import MANY_FLOWS, ONE_FLOW
from tests.unit.watch.clocks import NOON, Clocks

Find = Callable[..., Finding]
RULE = NftRule(text="udp dport 53 drop", family="ip", table="filter", chain="input", handle=7, number=1)
HOSTILE = "x\nCAUSE=made.up\n\x1b[31m\udcff\u202e"


@pytest.fixture
def rate(clocks: Clocks) -> Rate:
    return Rate(1, clock=lambda: clocks.since_boot, wall=lambda: clocks.wall)


def counts(notices: list[Notice]) -> list[tuple[str, int]]:
    return [(one.finding.cause_id, one.packets) for one in notices]


def test_the_first_is_told_at_once_and_the_others_once_a_minute(
    rate: Rate, clocks: Clocks, find: Find
) -> None:
    assert rate.add(find(count=3)) == Notice(find(count=3), 3, ONE_FLOW, NOON)
    for second in range(59):
        clocks.step(1)
        assert rate.add(find(count=2, time=NOON + second)) is None
        assert rate.due() == []
    clocks.step(1)
    (told,) = rate.due()
    assert (told.packets, told.finding.drop.time, told.made) == (118, NOON + 58, NOON + 60)
    assert rate.add(find()) is None
    clocks.step(60)
    assert counts(rate.due()) == [("ipsec.auth-failed", 1)]


def test_a_sort_that_is_silent_for_a_minute_is_new_again(rate: Rate, clocks: Clocks, find: Find) -> None:
    assert rate.add(find()) is not None
    clocks.step(60)
    assert rate.due() == []
    assert rate.add(find()) is not None


def test_a_storm_of_one_sort_hides_no_other(rate: Rate, find: Find) -> None:
    told = []
    for number in range(10_000):
        told.append(rate.add(find(cause_id="storm")))
        if number in (1000, 5000, 9999):
            told.append(rate.add(find(cause_id=f"single-{number}")))
    assert counts([one for one in told if one is not None]) == [
        ("storm", 1),
        ("single-1000", 1),
        ("single-5000", 1),
        ("single-9999", 1),
    ]
    assert counts(rate.due(everything=True)) == [("storm", 9999)]


def test_addresses_that_an_attacker_chooses_are_few_events(rate: Rate, clocks: Clocks, find: Find) -> None:
    told = [rate.add(find(saddr=IPv4Address(number))) for number in range(20_000)]
    notices = [one for one in told if one is not None]
    assert len(notices) == 65
    assert notices[-1].level == MANY_FLOWS
    clocks.step(60)
    (rest,) = rate.due()
    assert sum(one.packets for one in (*notices, rest)) == 20_000
    assert facts(rest)["counted"] == "flows"
    assert f"{20_000 - 65} packets of many flows" in story(rest)


def test_each_packet_is_in_one_event(rate: Rate, clocks: Clocks, find: Find) -> None:
    told, sent = [], 0
    for number in range(3000):
        clocks.step(0.3)
        told += [rate.add(find(cause_id=f"c{number % 7}", count=number % 5 + 1)), *rate.due()]
        sent += number % 5 + 1
    told += rate.due(everything=True)
    assert sum(one.packets for one in told if one is not None) == sent


def test_the_story_is_one_line_that_claims_no_more_than_is_known(find: Find) -> None:
    seen = (Evidence("probe", "verdict drop", role="proof"),)
    finding = find(confidence="likely", culprit=RULE, evidence=seen)
    assert story(Notice(finding, 12, ONE_FLOW, NOON)) == (
        "udp 10.9.0.1 > 10.9.0.2:5000: Probably authentication failed; "
        "by nft ip filter input: udp dport 53 drop # handle 7; verdict drop; 12 packets"
    )
    assert story(Notice(find(confidence="unknown"), 1, ONE_FLOW, NOON)) == (
        "udp 10.9.0.1 > 10.9.0.2:5000: Cause unknown: authentication failed"
    )


def test_names_that_others_chose_stay_on_their_line_and_short(find: Find) -> None:
    name = HOSTILE * 1000
    finding = find(
        title=name,
        culprit=replace(RULE, text=name),
        owner=Process(7, name, name, name, name),
        evidence=tuple(Evidence(name, name) for _ in range(100)),
        fix=(Fix(name, name),),
    )
    notice = Notice(replace(finding, drop=replace(finding.drop, reason=name)), 1, ONE_FLOW, NOON)
    texts: list[Any] = [story(notice)]
    for value in facts(notice).values():
        texts += value if isinstance(value, list) else [str(value)]
    assert len(texts) < 60
    for text in texts:
        assert text.isprintable()
        assert len(text) <= 1000


def test_what_is_not_known_is_left_out(find: Find) -> None:
    finding = find()
    bare = replace(
        finding.drop, iface=None, netns=None, packet=replace(finding.drop.packet, family=None, sport=None)
    )
    known = facts(Notice(replace(finding, drop=bare), 1, ONE_FLOW, NOON))
    assert not {
        "interface",
        "netns",
        "netns_inode",
        "family",
        "sport",
        "object",
        "pid",
        "fix",
        "evidence",
    } & set(known)
    assert known["saddr"] == "10.9.0.1"


def test_attributes_have_the_names_of_the_conventions_and_each_its_own(find: Find) -> None:
    seen = (Evidence("packet", "spi 1"),)
    finding = find(
        culprit=RULE,
        owner=Process(7, "dig", "a.service", "c", "p", "n", "s", "cart"),
        evidence=seen,
        fix=(Fix("a", "b"),),
    )
    known = facts(Notice(finding, 5, ONE_FLOW, NOON))
    named = attributes(known)
    assert len(named) == len(known)
    assert {name for name in named if not name.startswith("whydrop.")} == {
        "network.type",
        "network.transport",
        "network.interface.name",
        "source.address",
        "source.port",
        "destination.address",
        "destination.port",
        "process.pid",
        "k8s.pod.name",
        "k8s.namespace.name",
        "k8s.container.name",
    }
    assert (named["network.type"], named["destination.port"], named["whydrop.count"]) == ("ipv4", 5000, 5)
    assert named["whydrop.evidence"] == ["packet: spi 1"]
    assert (named["whydrop.object.kind"], named["whydrop.object.relation"]) == ("nft-rule", "by")


def test_a_container_that_is_in_no_pod_has_the_name_of_its_runtime(find: Find) -> None:
    owner = Process(7, "nginx", None, "3f" * 32, container_name="shop-web-1")
    named = attributes(facts(Notice(find(owner=owner), 1, ONE_FLOW, NOON)))
    assert named["container.name"] == "shop-web-1"
    assert "k8s.container.name" not in named
