"""A Python program on a real kernel: it sees what dies in a namespace of its own, and its tests fail with that."""

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from scenarios import traffic
from scenarios.floods import no_ports
from scenarios.namespaces import Lab

from dropwatch.testing.pytest_plugin import no_drops

NoDrops = Callable[..., AbstractContextManager[None]]
__all__ = ["no_drops"]  # a fixture, also where the installed package is older than the entry point
CLOSED, OPEN = 5823, 5824


@pytest.mark.once
def test_a_test_of_a_network_fails_with_its_drops(lab: Lab, no_drops: NoDrops) -> None:
    """And with nothing else: what a socket has taken is no drop. The fixture is made of `dropwatch.live`, so that one
    start of the probes, which takes long here, shows both.
    """
    before = no_ports(lab.b)
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((lab.b.v4, OPEN))
        with pytest.raises(pytest.fail.Exception) as failed, no_drops(netns=lab.b.name, dport=[CLOSED, OPEN]):
            traffic.datagrams(lab.a, lab.b.v4, [OPEN] * 3 + [CLOSED] * 5)
        assert [receiver.recv(100) for _ in range(3)] == [b"datagram"] * 3
    assert no_ports(lab.b) - before == 5
    for word in (
        "packets were dropped:",
        "[socket.udp-no-listener]",
        "try",
        f"{lab.b.v4}",
        "5 dropped packets matched",
    ):
        assert word in str(failed.value), failed.value
