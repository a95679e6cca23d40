"""What there was of a flow beside drops: asked twice, of a bounded number of namespaces."""

from collections.abc import Iterable
from typing import Any

import pytest

from dropwatch.host import traffic
from dropwatch.host.counters.counters import Counters
from dropwatch.host.traffic import Begin, Ports
from dropwatch.model.drop import Netns
from dropwatch.model.filter import Filter
from dropwatch.model.summary import Counter, Outside
from dropwatch.model.traffic import Traffic
from dropwatch.run.witness import Witness, ports_of

LOST = Outside(Counter("nic", "rx_missed_errors", 5, "eth0"), None, 2, 2)
SEEN_DYING = Outside(Counter("qdisc", "drops", 5, "eth0", overlap=True), None, 2, 2)


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Namespace 6 cannot be read, 7 is gone at the end."""

    def begin(netns: Netns, ports: Ports) -> Begin:
        if netns.inode == 6:
            raise PermissionError
        return Begin(netns, {}, {})

    def since(before: Begin, ports: Ports) -> Traffic:
        if before.netns.inode == 7:
            raise FileNotFoundError
        return Traffic(before.netns, {"IpInReceives": 1})

    monkeypatch.setattr(traffic, "begin", begin)
    monkeypatch.setattr(traffic, "since", since)
    monkeypatch.setattr(Counters, "_look", lambda self: {})
    monkeypatch.setattr(Counters, "risen", lambda self: (LOST, SEEN_DYING))


def witness(inodes: Iterable[int]) -> Witness:
    found = Witness(Filter(), inodes, {5: "b"}.get)
    found.start()
    return found


def test_each_namespace_is_asked_once_and_what_cannot_be_read_is_left_out() -> None:
    seen, lost = witness([5, 5, 6, 7, 8]).seen_and_lost()
    assert [each.netns for each in seen] == [Netns(5, "b"), Netns(8, None)]
    assert lost == (LOST,)


def test_of_very_many_the_first_are_asked() -> None:
    many = witness(range(100, 130))
    assert many.left_out == 14
    assert len(many.seen_and_lost()[0]) == 16


@pytest.mark.parametrize(
    ("wanted", "ports"),
    [
        ({"dport": ((22, 22),)}, Ports(("tcp", "udp"), (22,))),
        ({"port": ((22, 22),), "protos": frozenset({6, 17})}, Ports(("tcp", "udp"), (22,))),
        ({"dport": ((22, 22), (23, 23)), "protos": frozenset({6})}, Ports(("tcp",), (22, 23))),
        ({"dport": ((22, 30),)}, Ports()),
        ({"dport": ((22, 22), (30, 40))}, Ports()),
        ({"sport": ((22, 22),)}, Ports()),
        ({"dport": tuple((n, n) for n in range(1, 7))}, Ports()),
        ({"dport": ((22, 22),), "protos": frozenset({132})}, Ports((), (22,))),
        ({}, Ports()),
    ],
)
def test_single_ports_are_asked_for_where_something_may_listen(wanted: dict[str, Any], ports: Ports) -> None:
    assert ports_of(Filter(**wanted)) == ports
