"""A filter that no packet can match is told, one that some packet can match is not."""

from ipaddress import ip_network

import pytest

from dropwatch.errors import WrongUsage
from dropwatch.model.filter import Filter, Network
from dropwatch.run.wanted.contradictions import refuse_impossible


def nets(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


V4, V6 = frozenset({4}), frozenset({6})


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Filter(families=V4, saddr=nets("::1")), "-4 is IPv4, --saddr ::1 is IPv6"),
        (Filter(families=V6, host=nets("10.9.0.1")), "-6 is IPv6, --host 10.9.0.1 is IPv4"),
        (
            Filter(saddr=nets("10.9.0.1"), daddr=nets("fd00::1")),
            "--saddr 10.9.0.1 is IPv4, --daddr fd00::1 is",
        ),
        (Filter(families=V6, protos=frozenset({1})), "-6 is IPv6, --proto icmp is IPv4"),
        (Filter(protos=frozenset({58}), saddr=nets("10.9.0.1")), "--proto icmp6 is IPv6"),
        (Filter(protos=frozenset({1}), dport=((53, 53),)), "--proto icmp has no ports for --dport 53"),
        (
            Filter(protos=frozenset({1, 47}), port=((1, 9),)),
            "--proto icmp --proto gre has no ports for --port 1-9",
        ),
        (Filter(protos=frozenset({50}), dport=((5000, 5000),)), "--proto esp has no ports"),
        (Filter(host=nets("10.0.0.1"), saddr=nets("10.0.0.2"), daddr=nets("10.0.0.3")), "--host is neither"),
        (Filter(port=((1, 1),), sport=((2, 2),), dport=((3, 3),)), "--port is neither"),
        (
            Filter(causes=frozenset({"a"}), not_causes=frozenset({"a", "b"})),
            "--cause a and --cause '!a' exclude",
        ),
        (
            Filter(reasons=frozenset({"X"}), not_reasons=frozenset({"X"})),
            "--reason X and --reason '!X' exclude",
        ),
    ],
)
def test_impossible(wanted: Filter, message: str) -> None:
    with pytest.raises(WrongUsage) as error:
        refuse_impossible(wanted)
    assert message in error.value.message
    assert error.value.hint


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(families=frozenset({4, 6}), saddr=nets("::1")),
        Filter(families=V4, saddr=nets("::1", "10.9.0.1")),
        Filter(protos=frozenset({1, 58}), families=V6),
        Filter(protos=frozenset({1, 17}), dport=((53, 53),)),
        Filter(protos=frozenset({17}), families=V6, dport=((53, 53),)),
        Filter(host=nets("10.0.0.0/24"), saddr=nets("10.0.0.2"), daddr=nets("10.1.0.3")),
        Filter(host=nets("10.0.0.1"), saddr=nets("10.0.0.2")),
        Filter(port=((1, 5),), sport=((5, 9),), dport=((30, 31),)),
        Filter(port=((1, 5),), sport=((9, 9),)),
        Filter(causes=frozenset({"a", "b"}), not_causes=frozenset({"a"})),
    ],
)
def test_possible(wanted: Filter) -> None:
    refuse_impossible(wanted)


def test_a_port_of_an_ipsec_packet_is_asked_for_without_its_protocol() -> None:
    with pytest.raises(WrongUsage) as error:
        refuse_impossible(Filter(protos=frozenset({50}), dport=((5000, 5000),)))
    assert "--dport 5000 alone also finds the ESP" in error.value.hint
