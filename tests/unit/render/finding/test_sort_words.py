"""A sort in words: its flow without the clients' ports, where its rule is, what settles it."""

from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.model.culprits import ChainPolicy, IptablesRule, NftRule, Queue, XfrmPolicy
from dropwatch.model.drop import Drop, Finding, Packet
from dropwatch.model.forwarding import Route
from dropwatch.model.report import Folded
from dropwatch.render.finding.sort_words import flow, kind, within

Find = Callable[..., Finding]


def test_the_ports_of_many_clients_are_not_shown(
    make_finding: Find, make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    answer = make_finding(make_drop(make_packet(sport=53, dport=40000)))
    assert flow(Folded(answer, 1, 0.0, 0.0)) == "udp 10.9.0.1:53 > 10.9.0.2:40000"
    assert flow(Folded(answer, 2, 0.0, 0.0, one_flow=False)) == "udp 10.9.0.1:53 > 10.9.0.2"
    esp = make_finding(make_drop(make_packet(proto="esp", sport=None, dport=None, spi=7)))
    assert flow(Folded(esp, 2, 0.0, 0.0, one_flow=False)) == "esp 10.9.0.1 > 10.9.0.2 spi 0x00000007"


@pytest.mark.parametrize(
    ("culprit", "words"),
    [
        (IptablesRule("-j DROP", "ip", "filter", "INPUT", 3), "ip filter INPUT, number 3"),
        (ChainPolicy("policy drop", "inet", "filter", "input"), "inet filter input"),
        (Queue("queue 5", 5), ""),
        (Route("prohibit 10.77.0.9/32 table main", "prohibit", "10.77.0.9/32", 254), ""),
    ],
)
def test_where_a_rule_is(culprit: Any, words: str) -> None:
    assert within(culprit) == words


def test_what_an_object_is_called() -> None:
    assert kind(NftRule("x", "inet", "t")) == "nftables rule in inet t"
    assert kind(Queue("queue 5", 5)) == "queue"
    policy = XfrmPolicy("dir in", "in", "allow", relation="nearest")
    assert kind(policy) == "nearest IPsec policy", "it did not do it"
