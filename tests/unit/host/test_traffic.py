"""What has arrived, as this host's own kernel counts it."""

import os
import socket
from collections.abc import Iterator

import pytest

from dropwatch.host.netns.netns import own_inode
from dropwatch.host.traffic import Ports, begin, since
from dropwatch.model.drop import Netns

HERE = Netns(own_inode(), None)
LOOPBACK = "127.0.0.1"


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server


def test_segments_are_counted_by_process_and_connection(server: socket.socket) -> None:
    port = server.getsockname()[1]
    ports = Ports(("tcp", "udp"), (port,))
    with socket.create_connection((LOOPBACK, port)) as client, server.accept()[0] as accepted:
        client.sendall(b"before")
        assert accepted.recv(16) == b"before"
        before = begin(HERE, ports)
        for n in range(5):
            client.sendall(b"x")
            assert accepted.recv(16) == b"x", n
        client.sendall(b"not read")
        accepted.recv(1, socket.MSG_PEEK)
        seen = since(before, ports)
    (listening,) = [each for each in seen.endpoints if each.proto == "tcp"]
    assert listening.process is not None
    assert listening.process.pid == os.getpid()
    assert (listening.port, listening.sockets, listening.connections) == (port, 1, 1)
    assert listening.arrived is not None
    assert 6 <= listening.arrived <= 12, "what was sent, and some acknowledgements perhaps"
    assert listening.waiting > 0
    assert seen.unclaimed == (("udp", port),)
    assert seen.rises["IpInReceives"] >= 6


def test_a_datagram_waits_until_somebody_reads_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((LOOPBACK, 0))
        address = receiver.getsockname()
        ports = Ports(("udp",), (address[1],))
        before = begin(HERE, ports)
        assert since(before, ports).endpoints[0].waiting == 0
        receiver.sendto(b"hello", address)
        receiver.recv(1, socket.MSG_PEEK)
        (endpoint,) = since(before, ports).endpoints
    assert endpoint.waiting >= len(b"hello")
    assert endpoint.arrived is None, "nobody counts them"
    assert endpoint.process is not None
    assert endpoint.process.pid == os.getpid()


def test_without_ports_nobody_is_asked_for_sockets() -> None:
    seen = since(begin(HERE, Ports()), Ports())
    assert (seen.endpoints, seen.unclaimed) == ((), ())


def test_a_namespace_that_is_gone_cannot_be_asked() -> None:
    with pytest.raises(FileNotFoundError):
        begin(Netns(1, None), Ports())
