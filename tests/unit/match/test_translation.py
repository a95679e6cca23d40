"""A filter finds a packet by the addresses that its conntrack entry has, and by no others."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest

from dropwatch.match.flow import FlowMatcher
from dropwatch.model.drop import Drop, Event, MatchResult, Packet
from dropwatch.model.filter import Filter
from dropwatch.model.past import Connection, Ends, PastNote

CAME = Ends(ip_address("10.9.0.1"), ip_address("10.96.0.10"), 40000, 53)
ANSWER = Ends(ip_address("10.9.0.2"), ip_address("10.9.0.1"), 5000, 40000)


def connection(*, is_reply: bool = False, state: str = "new") -> Connection:
    return Connection("udp", CAME, ANSWER, is_reply, state, destination_nat=True)


def found(wanted: Filter, drop: Drop) -> MatchResult | None:
    return FlowMatcher(wanted, lambda drop, wanted: None, lambda netns, index: None).match(drop)


@pytest.fixture
def sent_on(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> Drop:
    """10.9.0.1:40000 > 10.9.0.2:5000, which was for 10.96.0.10:53."""
    return make_drop(event=make_event(past=PastNote(connection())))


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(dport=((53, 53),)),
        Filter(host=(ip_network("10.96.0.0/16"),)),
        Filter(saddr=(ip_network("10.9.0.1"),), daddr=(ip_network("10.96.0.10"),), port=((53, 53),)),
    ],
)
def test_by_what_it_was_before(wanted: Filter, sent_on: Drop) -> None:
    assert found(wanted, sent_on) == MatchResult(
        "nat",
        "before its translation it was udp 10.9.0.1 port 40000 > 10.96.0.10 port 53 (its conntrack entry)",
    )


def test_by_what_ipvs_had(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> None:
    moved = Connection("udp", CAME, ANSWER, False, "untracked", by_ipvs=True)
    drop = make_drop(event=make_event(past=PastNote(moved)))
    assert found(Filter(dport=((53, 53),)), drop) == MatchResult(
        "nat", "before IPVS sent it to a real server it was udp 10.9.0.1 port 40000 > 10.96.0.10 port 53"
    )
    assert found(Filter(dport=((54, 54),)), drop) is None


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(dport=((54, 54),)),
        Filter(sport=((53, 53),)),
        Filter(saddr=(ip_network("10.96.0.10"),)),
        Filter(protos=frozenset({6}), dport=((53, 53),)),
        # no packet of it ever had both
        Filter(daddr=(ip_network("10.96.0.10"),), dport=((5000, 5000),)),
        Filter(dport=((53, 53),), netns=(1,)),
    ],
)
def test_nothing_beside(wanted: Filter, sent_on: Drop) -> None:
    assert found(wanted, sent_on) is None


def test_what_fits_by_itself_is_direct(sent_on: Drop) -> None:
    assert found(Filter(dport=((5000, 5000),)), sent_on) == MatchResult("direct")


def test_what_is_not_translated_has_no_other_addresses(
    make_drop: Callable[..., Drop], make_event: Callable[..., Event]
) -> None:
    own = Ends(ip_address("10.9.0.1"), ip_address("10.9.0.2"), 40000, 5000)
    back = Ends(own.daddr, own.saddr, own.dport, own.sport)
    drop = make_drop(event=make_event(past=PastNote(Connection("udp", own, back, False, "established"))))
    assert found(Filter(dport=((53, 53),)), drop) is None


def test_an_answer_by_whom_it_seems_to_come_from(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> None:
    packet = make_packet(saddr="10.9.0.2", daddr="10.9.0.1", sport=5000, dport=40000)
    event = make_event(past=PastNote(connection(is_reply=True, state="established")))
    result = found(Filter(sport=((53, 53),)), make_drop(packet, event))
    assert result is not None
    assert result.how == "nat"
    assert result.why is not None
    assert result.why.startswith("translated back, this answer is udp 10.96.0.10 port 53 > 10.9.0.1")


def test_an_error_by_the_translated_packet_that_it_is_about(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> None:
    error = make_packet(
        proto="icmp",
        saddr="10.9.0.2",
        daddr="10.9.0.1",
        sport=None,
        dport=None,
        icmp_type=3,
        icmp_code=3,
        quoted=make_packet(),
    )
    event = make_event(past=PastNote(connection(is_reply=True, state="related")))
    result = found(Filter(dport=((53, 53),)), make_drop(error, event))
    assert result is not None
    assert result.how == "icmp-quote"
    assert "10.96.0.10 port 53" in (result.why or "")
    assert found(Filter(sport=((53, 53),)), make_drop(error, event)) is None
