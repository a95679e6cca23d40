"""A question for a neighbour is found by the packet that waits for its answer, and by nothing else."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from dropwatch.match.flow import FlowMatcher
from dropwatch.model.drop import Drop, Event, MatchResult, Packet
from dropwatch.model.filter import Filter
from dropwatch.model.past import Ends, PastNote, Waiting

ENDS = {
    4: Ends(ip_address("10.9.0.1"), ip_address("10.9.0.77"), 40000, 5000),
    6: Ends(ip_address("fd09::1"), ip_address("fd09::77")),
}


def found(wanted: Filter, drop: Drop) -> MatchResult | None:
    return FlowMatcher(wanted, lambda drop, wanted: None, lambda netns, index: None).match(drop)


@pytest.fixture
def question(
    make_drop: Callable[..., Drop], make_event: Callable[..., Event], make_packet: Callable[..., Packet]
) -> Callable[[Waiting], Drop]:
    """An ARP packet, or what the parser makes of one: it has no addresses."""

    def build(waiting: Waiting) -> Drop:
        packet = make_packet(family=None, proto="arp", saddr=None, daddr=None, sport=None, dport=None)
        return make_drop(packet, make_event(past=PastNote(waiting=waiting), protocol=0x0806))

    return build


def test_by_the_packet_that_waits(question: Callable[[Waiting], Drop]) -> None:
    drop = question(Waiting("udp", ENDS[4]))
    why = "an ARP request, whose reply udp 10.9.0.1 port 40000 > 10.9.0.77 port 5000 waits for"
    assert found(Filter(dport=((5000, 5000),)), drop) == MatchResult("waiting", why)
    assert found(Filter(dport=((5001, 5001),)), drop) is None


def test_what_waits_may_have_no_ports(question: Callable[[Waiting], Drop]) -> None:
    drop = question(Waiting("icmp6", ENDS[6]))
    told = found(Filter(families=frozenset({6})), drop)
    assert told == MatchResult(
        "waiting", "a neighbour solicitation, whose reply icmp6 fd09::1 > fd09::77 waits for"
    )
