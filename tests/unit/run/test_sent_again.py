"""Segments that are sent again, joined with what had died."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.model.drop import Drop, Event, Finding, Frame, Packet
from dropwatch.model.resent import Death, ResentCounts, ResentSegment
from dropwatch.run.sent_again import SentAgain, not_watched

A, B = ip_address("10.9.0.1"), ip_address("10.9.0.2")
DIED = 1_000_000_000


@pytest.fixture
def died(
    make_finding: Callable[..., Finding],
    make_drop: Callable[..., Drop],
    make_packet: Callable[..., Packet],
    make_event: Callable[..., Event],
) -> Callable[..., Finding]:
    """A segment from a to b, by its packet buffer and place."""

    def make(
        cause_id: str, *, skb: int = 1, location: int = 0x40, at: int = DIED, back: bool = False
    ) -> Finding:
        saddr, sport, daddr, dport = (B, 5000, A, 40000) if back else (A, 40000, B, 5000)
        packet = make_packet(proto="tcp", saddr=saddr, daddr=daddr, sport=sport, dport=dport)
        event = make_event(skb=skb, location=location, monotonic_ns=at)
        return make_finding(make_drop(packet=packet, event=event), cause_id=cause_id)

    return make


@pytest.fixture
def joined() -> SentAgain:
    return SentAgain(lambda address: Frame(f"f{address:x}", 0, None, address), {9: "b"}.get)


def segment(**fields: Any) -> ResentSegment:
    usual = ResentSegment(
        DIED + 200_000_000, A, 40000, B, 5000, 9, 1, 1, False, Death(DIED + 50, 1, 0x40), None
    )
    return replace(usual, **fields)


def test_the_finding_is_that_of_the_packet(joined: SentAgain, died: Callable[..., Finding]) -> None:
    joined.judged(died("netfilter.nft-rule"))
    joined.judged(died("queueing.qdisc-full", skb=2, at=DIED + 9))
    (lost,) = joined.take([segment(segments=3), segment(segments=2)])
    assert (lost.cause_id, lost.died, lost.function) == ("netfilter.nft-rule", "segment", "f40")
    assert (lost.death_ns, lost.resent_ns, lost.netns_name) == (DIED, DIED + 200_000_000, "b")
    found = joined.found(ResentCounts(sent=7, failed=1), ("x",))
    assert [one.segments for one in found.connections] == [5]
    assert (found.segments, found.lost_here, found.not_lost_here, found.failed) == (7, 5, 2, 1)


def test_the_copy_that_had_the_same_address_is_another_death(
    joined: SentAgain, died: Callable[..., Finding]
) -> None:
    joined.judged(died("netfilter.nft-rule"))
    joined.judged(died("netfilter.chain-policy", at=DIED + 300_000_000))
    (lost,) = joined.take([segment()])
    assert (lost.cause_id, lost.death_ns) == ("netfilter.nft-rule", DIED)


def test_an_address_that_was_used_again_says_nothing(joined: SentAgain, died: Callable[..., Finding]) -> None:
    joined.judged(died("netfilter.nft-rule", at=DIED - 10**9, back=True, location=0x50))
    (lost,) = joined.take([segment(segment=Death(DIED, 1, 0x50))])
    assert (lost.cause_id, lost.death_ns) == (None, DIED)


def test_what_was_only_counted_has_the_cause_of_the_like_of_it(
    joined: SentAgain, died: Callable[..., Finding]
) -> None:
    joined.judged(died("netfilter.nft-rule"))
    (lost,) = joined.take([segment(segment=Death(DIED + 1, 99, 0x40), sport=40001)])
    assert lost.cause_id == "netfilter.nft-rule"


def test_what_died_because_it_had_arrived_is_no_loss_but_its_ack_is(
    joined: SentAgain, died: Callable[..., Finding]
) -> None:
    joined.judged(died("tcp.old-data"))
    assert list(joined.take([segment()])) == []
    joined.judged(died("netfilter.nft-rule", skb=5, back=True, location=0x60))
    (lost,) = joined.take([segment(ack=Death(DIED, 5, 0x60))])
    assert (lost.died, lost.cause_id, lost.saddr) == ("ack", "netfilter.nft-rule", A)
    assert joined.found(ResentCounts(sent=2), ()).lost_here == 1


def test_the_recording_is_told_of_each(died: Callable[..., Finding]) -> None:
    told: list[ResentSegment] = []
    joined = SentAgain(lambda address: Frame(None, 0, None, address), lambda inode: None, told.append)
    list(joined.take([segment(), segment(netns=0)]))
    assert told == [segment(), segment(netns=0)]


def test_what_was_not_watched_is_named() -> None:
    def said(counts: ResentCounts, **known: Any) -> list[str]:
        usual = {"missed": 0, "dated": True, "refused_syns": True, "tcp_itself": True}
        return list(not_watched(counts, **usual | known))

    assert said(ResentCounts(sent=5, failed=1, joined=2)) == []
    assert said(ResentCounts(before=3)) == ["3 were first sent before whydrop watched"]
    assert "more segments died" in said(ResentCounts(crowded=2, untold=1))[0]
    assert said(ResentCounts(passed_over=4), missed=3) == ["7 deaths came too fast to be compared"]
    assert "2 connections" in said(ResentCounts(forgotten=2))[0]
    assert "8 packets died that may have carried" in said(ResentCounts(carriers=8))[0]
    assert "of 2 nobody knows" in said(ResentCounts(undated=2))[0]
    assert "may have been before" in said(ResentCounts(sent=1, undated=1), dated=False)[0]
    assert said(ResentCounts(), refused_syns=False) == ["SYNs that a listening socket refuses"]
    assert said(ResentCounts(), tcp_itself=False) == [
        "segments that TCP itself discards: this kernel tells nobody"
    ]
