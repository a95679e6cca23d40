"""In what a drop differs from a filter."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest

from dropwatch.match.near import comparable, difference, is_compared
from dropwatch.model.drop import Frame, Interface, Netns, Packet
from dropwatch.model.expression import UNKNOWN, All, Expression, Fact
from dropwatch.model.filter import Filter
from dropwatch.model.near import NearDrop

ONE_OF_EACH = Filter(
    families=frozenset({4}),
    protos=frozenset({17}),
    saddr=(IPv4Network("10.9.0.1"),),
    daddr=(IPv4Network("10.9.0.2"),),
    host=(IPv4Network("10.9.0.0/24"),),
    sport=((40000, 40000),),
    dport=((5000, 5010),),
    port=((5000, 5000),),
    ifaces=("vb",),
    netns=(9,),
    marks=((0, 0xFF),),
)
ALL = tuple(kind for kind in ONE_OF_EACH.__slots__ if getattr(ONE_OF_EACH, kind))
NOWHERE = Frame(None, 0, None, 0)


@pytest.fixture
def near(make_packet: Callable[..., Packet]) -> Callable[..., NearDrop]:
    def build(**fields: Any) -> NearDrop:
        return NearDrop(1, make_packet(**fields), Netns(9, "b"), Interface(2, "vb"), NOWHERE)

    return build


def test_what_cannot_be_compared_with_a_flow_is_left_out() -> None:
    asked = replace(ONE_OF_EACH, causes=frozenset({"unknown"}), not_reasons=frozenset({"NO_SOCKET"}))
    assert comparable(asked) == ONE_OF_EACH


def test_what_fits_misses_nothing(near: Callable[..., NearDrop]) -> None:
    found = difference(near(), ONE_OF_EACH)
    assert (found.missed, sorted(found.fitting), found.distance) == ((), sorted(ALL), 0)


@pytest.mark.parametrize("kind", ALL)
def test_each_kind_can_be_missed_alone(kind: str, near: Callable[..., NearDrop]) -> None:
    others: dict[str, Any] = {
        "families": frozenset({6}),
        "protos": frozenset({6}),
        "saddr": (IPv4Network("10.9.0.7"),),
        "daddr": (IPv6Network("fe80::/10"),),
        "host": (IPv4Network("10.8.0.0/24"),),
        "sport": ((1, 2),),
        "dport": ((5001, 5002),),
        "port": ((9, 9),),
        "ifaces": ("va",),
        "netns": (8,),
        "marks": ((1, 1),),
    }
    wanted = replace(ONE_OF_EACH, **{kind: others[kind]})
    found = difference(near(), wanted)
    assert found.missed == (kind,)
    assert kind not in found.fitting


def test_ports_are_near_by_number_and_addresses_by_their_first_bits(near: Callable[..., NearDrop]) -> None:
    def distance(**wanted: Any) -> int:
        return difference(near(), Filter(**wanted)).distance

    assert distance(dport=((5001, 5009),)) == 1
    assert distance(dport=((1, 53), (4000, 4990))) == 10
    assert distance(saddr=(IPv4Network("10.9.0.3"),)) < distance(saddr=(IPv4Network("10.10.0.1"),))
    assert distance(saddr=(IPv6Network("fe80::1"),)) > distance(saddr=(IPv4Network("250.0.0.1"),))


def test_an_answer_goes_the_other_way(near: Callable[..., NearDrop]) -> None:
    answer = near(sport=5000, dport=40000)
    found = difference(answer, Filter(dport=((5000, 5000),)))
    assert (found.missed, found.backwards, found.distance) == (("dport",), frozenset({"dport"}), 0)
    found = difference(near(), Filter(saddr=(IPv4Network("10.9.0.2"),)))
    assert found.backwards == {"saddr"}


def test_what_has_one_end_right_is_no_answer(near: Callable[..., NearDrop]) -> None:
    wanted = Filter(saddr=(IPv4Network("10.9.0.2"),), dport=((5000, 5000),))
    assert difference(near(), wanted).backwards == frozenset(), "to the right port"
    assert difference(near(dport=53), wanted).backwards == frozenset(), "of no right port"
    assert difference(near(sport=5000, dport=40000), wanted).backwards == {"saddr", "dport"}


def test_what_has_no_ports_is_far_from_each(near: Callable[..., NearDrop]) -> None:
    ping = near(proto="icmp", sport=None, dport=None)
    assert difference(ping, Filter(dport=((5000, 5000),))).distance > 1 << 32


def test_of_an_expression_what_is_joined_by_and() -> None:
    udp, port = Fact(protos=frozenset({17})), Fact(ports=(5000, 5000))
    source = Fact(family=4, network=IPv4Network("10.9.0.1"), side="src")
    asked = Filter(expression=Expression("", (), All((All((udp, port)), source))))
    assert is_compared(asked)
    assert comparable(asked) == Filter(
        families=frozenset({4}),
        protos=frozenset({17}),
        saddr=(IPv4Network("10.9.0.1"),),
        port=((5000, 5000),),
    )
    beside = replace(asked, port=((53, 53),))
    assert comparable(beside).port == ((53, 53),), "an option is what was meant"


def test_of_an_expression_of_which_a_flow_shows_nothing() -> None:
    asked = Filter(expression=Expression("len > 60", (), UNKNOWN), netns=(9,))
    assert (comparable(asked), is_compared(asked)) == (Filter(netns=(9,)), False)
