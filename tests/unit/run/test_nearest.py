"""Drops that nearly fit, gathered."""

from collections.abc import Callable
from typing import Any

from dropwatch.enrich.answers import Answers
from dropwatch.model.drop import Drop, Event, Finding, Frame, Interface, Netns, Packet
from dropwatch.model.filter import Filter
from dropwatch.run.nearest import Nearest
from dropwatch.wire.near import RawNear

WANTED = Filter(dport=((5001, 5001),))


def test_equal_ones_are_one_wherever_they_come_from(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> None:
    nearest = Nearest()
    for sport in (40000, 40001, 40002):
        nearest.refused(make_drop(packet=make_packet(sport=sport)))
    nearest.refused(make_drop(packet=make_packet(dport=53)))
    nearest.refused(make_drop(event=make_event(location=77)))
    first, second, third = nearest.found(WANTED).drops
    assert (first.packets, first.packet.sport, first.cause_id) == (3, 40000, None)
    assert first.difference.missed == ("dport",)
    assert (second.packets, third.packets) == (1, 1)


def test_what_has_another_cause_is_told_with_its_count(make_finding: Callable[..., Finding]) -> None:
    nearest = Nearest()
    nearest.other_cause(make_finding(count=5))
    nearest.other_cause(make_finding(cause_id="unknown"))
    found = nearest.found(Filter(dport=((5000, 5000),))).drops
    assert [(near.packets, near.cause_id, near.difference.missed) for near in found] == [
        (5, "ipsec.auth-failed", ()),
        (1, "unknown", ()),
    ]


def test_the_kernels_get_names_and_are_added_up(
    make_answers: Callable[..., Answers], make_packet: Callable[..., Packet]
) -> None:
    def raw(**fields: Any) -> RawNear:
        usual = RawNear(2, 0x40, make_packet(), 9, 2, "vb")
        return usual._replace(**fields)

    answers = make_answers(
        frame=lambda address: Frame("udp_rcv", 1, None, address),
        netns={9: "b"}.get,
        interface=lambda inode, index: f"v{index}",
    )
    nearest = Nearest()
    nearest.kept([raw(), raw(packets=3), raw(ifindex=5, ifname=""), raw(netns=0, ifindex=0)], 11, answers)
    found = nearest.found(WANTED)
    assert found.passed_over == 11
    assert [(near.packets, near.netns, near.iface) for near in found.drops] == [
        (5, Netns(9, "b"), Interface(2, "vb")),
        (2, Netns(9, "b"), Interface(5, "v5")),
        (2, None, None),
    ]
    assert {near.where.function for near in found.drops} == {"udp_rcv"}


def test_of_very_many_the_rest_is_counted(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    nearest = Nearest()
    for port in range(1000):
        nearest.refused(make_drop(packet=make_packet(dport=port)))
    found = nearest.found(WANTED)
    assert (len(found.drops), found.passed_over) == (256, 744)
