"""Which sockets have a port: those of this host, what is asked of the kernel, and how its answers are read."""

import os
import socket
import struct
import time
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from dropwatch.host import sockets
from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.sockets import Device, PortSockets, SocketReader, socket_of
from tests.unit.host.netlink_socket import Kernel, done, message

PORT = 5999


def told(
    family: int = socket.AF_INET,
    address: str = "10.9.0.2",
    peer: str | None = None,
    ifindex: int = 0,
    cookie: int = 7,
    v6_only: bool = False,
) -> bytes:
    """struct inet_diag_msg of a socket whose inode is 4711."""
    own, other = (ip_address(each).packed.ljust(16, b"\0") if each else bytes(16) for each in (address, peer))
    body = struct.pack("=BBBB", family, 7, 0, 0) + struct.pack("!HH", PORT, 4000 if peer else 0) + own + other
    body += struct.pack("=IQ", ifindex, cookie) + struct.pack("=IIIII", 0, 0, 0, 0, 4711)
    return body + (attribute(11, bytes((v6_only,))) if family == socket.AF_INET6 else b"")


def read(reader: SocketReader, proto: str = "udp", port: int = PORT) -> PortSockets:
    return reader.read(own_inode(), proto, port, 1)


def test_an_answer() -> None:
    one = socket_of(told(peer="10.9.0.1", ifindex=5))
    assert (one.address, one.peer, one.peer_port) == (IPv4Address("10.9.0.2"), IPv4Address("10.9.0.1"), 4000)
    assert (one.bound_ifindex, one.inode, one.cookie, one.v6_only) == (5, 4711, 7, False)
    other = socket_of(told(socket.AF_INET6, "::", v6_only=True))
    assert (other.address, other.peer, other.v6_only) == (IPv6Address("::"), None, True)
    assert not socket_of(told(socket.AF_INET6, "::")).v6_only


@pytest.mark.parametrize(
    ("proto", "number", "states"), [("udp", 17, 0xFFFFFFFF), ("tcp", 6, 1 << 10), ("raw", 255, 0xFFFFFFFF)]
)
def test_the_question(kernel: Kernel, proto: str, number: int, states: int) -> None:
    kernel.answers([done()])
    assert read(SocketReader(), proto) == PortSockets()
    asked = [request for each in kernel.sockets for request in each.requests]
    assert [(kind, body[0]) for kind, _, body in asked] == [(20, socket.AF_INET), (20, socket.AF_INET6)]
    for _, _, body in asked:
        assert len(body) == 56  # struct inet_diag_req_v2
        assert (body[1], struct.unpack_from("=I", body, 4)[0]) == (number, states)
        assert struct.unpack_from("!H", body, 8)[0] == PORT
        assert not any(body[10:])


def test_what_cannot_be_read(kernel: Kernel) -> None:
    kernel.answers([message(20, told()[:40]), done()])
    with pytest.raises(OSError, match="cannot be read"):
        read(SocketReader())


def test_an_answer_is_bounded_and_those_for_everybody_come_first(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "links", lambda read: [])
    many = [message(20, told(peer="10.9.0.1", cookie=cookie)) for cookie in range(100)]
    kernel.answers([*many, message(20, told(cookie=1000)), done()], [done()])
    found = read(SocketReader())
    assert (found.count, len(found.sockets)) == (101, 64)
    assert [each.cookie for each in found.sockets[:3]] == [1000, 0, 1]


@pytest.mark.parametrize("order", [(8, 9), (9, 8)])
def test_sockets_of_one_group_have_one_order(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, order: tuple[int, int]
) -> None:
    monkeypatch.setattr(sockets, "links", lambda read: [])
    kernel.answers([*(message(20, told(cookie=cookie)) for cookie in order), done()], [done()])
    assert [each.cookie for each in read(SocketReader()).sockets] == [8, 9]


def test_a_vrf_and_what_belongs_to_it(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(name: str, master: int = 0, kind: str = "veth") -> dict[int, bytes]:
        about = attribute(1, kind.encode() + b"\0")
        return {3: name.encode() + b"\0", 18: about} | ({10: struct.pack("=I", master)} if master else {})

    there = {
        1: link("lo"),
        2: link("vb", 3),
        3: link("red", kind="vrf"),
        4: link("port", 5),
        5: link("br0", kind="bridge"),
    }
    monkeypatch.setattr(sockets, "links", lambda read: [read(*each) for each in there.items()])
    bound = [message(20, told(ifindex=index, cookie=index)) for index in (2, 3, 4)]
    kernel.answers([*bound, done()], [done()])
    assert read(SocketReader()).devices == {
        1: Device("lo"),
        2: Device("vb", 3),
        3: Device("red", 3),
        4: Device("port"),
    }


def test_sockets_of_this_host() -> None:
    reader = SocketReader()
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as only_v6,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connected,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener,
    ):
        only_v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        only_v6.bind(("::", 0))
        port = only_v6.getsockname()[1]
        connected.bind(("127.0.0.1", port))
        connected.connect(("127.0.0.2", 77))
        first, second = read(reader, port=port).sockets
        assert (first.address, first.v6_only) == (IPv6Address("::"), True)
        assert first.inode == os.fstat(only_v6.fileno()).st_ino
        assert (second.peer, second.peer_port) == (IPv4Address("127.0.0.2"), 77)
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert read(reader, "tcp", port) == PortSockets(), "it does not listen"
        listener.listen()
        (one,) = read(reader, "tcp", port).sockets
        assert one.address == IPv4Address("127.0.0.1")
    assert read(reader, port=port) == PortSockets()


def test_since_when_a_socket_is_as_it_is() -> None:
    reader = SocketReader()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        before = time.monotonic_ns()
        (first,) = read(reader, port=port).sockets
        between = time.monotonic_ns()
        (again,) = read(reader, port=port).sockets
        assert before < first.since_ns < between
        assert again == first
        one.connect(("127.0.0.2", 77))
        (changed,) = read(reader, port=port).sockets
        assert changed.cookie == first.cookie
        assert changed.since_ns > between
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        (new,) = read(reader, port=port).sockets
        assert new.cookie != first.cookie
        assert new.since_ns > changed.since_ns


def test_sockets_that_are_gone_are_remembered_once() -> None:
    reader = SocketReader()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        port = there.getsockname()[1]
        assert (read(reader, port=port).count, read(reader, port=port).gone) == (1, 0)
    assert [read(reader, port=port).gone for _ in range(2)] == [1, 0]


def test_sockets_of_a_namespace_that_had_the_number_are_not_its_own() -> None:
    reader, inode = SocketReader(), own_inode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        port = there.getsockname()[1]
        assert reader.read(inode, "udp", port, 0, 700).count == 1
    assert reader.read(inode, "udp", port, 0, 900).gone == 0
    assert reader.read(inode, "udp", port, 0, 700).gone == 1


def md5_key(family: int, address: str, prefix: int) -> bytes:
    """struct tcp_diag_md5sig, which tells the key itself as well."""
    return struct.pack("=BBH16s80s", family, prefix, 6, ip_address(address).packed, b"secret")


def test_whom_it_has_keys_for() -> None:
    keys = md5_key(socket.AF_INET, "10.9.0.0", 24) + md5_key(socket.AF_INET6, "::ffff:10.7.0.1", 128)
    one = socket_of(told() + attribute(18, keys + b"cut"))
    assert [(str(key.address), key.prefix) for key in one.keys] == [
        ("10.9.0.0", 24),
        (str(ip_address("::ffff:10.7.0.1")), 128),
    ]
    assert "secret" not in repr(one)
    network, mapped = one.keys
    assert network.is_for(ip_address("10.9.0.77"))
    assert not network.is_for(ip_address("10.9.1.1"))
    assert mapped.is_for(ip_address("10.7.0.1"))
    assert not mapped.is_for(ip_address("fd00::1"))
    assert socket_of(told()).keys == ()
