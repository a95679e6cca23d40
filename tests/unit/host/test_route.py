"""Where a route leads: what is asked, and how the answers are read."""

import errno
import socket
import struct
from ipaddress import ip_address

import pytest

from dropwatch.host import netlink
from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.route import Route, question, read_route, read_route_of_send, refusal, route_of
from tests.unit.host.netlink_socket import Kernel, message, refused

OIF = attribute(4, struct.pack("=i", 1))


def route(kind: int, *attributes: bytes) -> bytes:
    return struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 0, 0, kind, 0) + b"".join(attributes)


def ask() -> Route:
    return read_route(own_inode(), ip_address("10.9.1.1"))


def test_the_question() -> None:
    asked = question(ip_address("10.9.1.1"), 0x10)
    assert asked[:2] == bytes((socket.AF_INET, 32))
    assert asked[12:] == attribute(1, bytes((10, 9, 1, 1))) + attribute(16, struct.pack("=I", 0x10))
    assert question(ip_address("fd00::1"), 0)[:2] == bytes((socket.AF_INET6, 128))


def test_the_question_about_a_packet_that_came_in() -> None:
    asked = question(ip_address("10.9.1.1"), 0, ip_address("10.9.0.1"), 3)
    assert asked[1:3] == bytes((32, 32))
    came = attribute(2, bytes((10, 9, 0, 1))) + attribute(3, struct.pack("=I", 3))
    assert asked[12:] == attribute(1, bytes((10, 9, 1, 1))) + came


def test_a_route_through_a_gateway() -> None:
    answer = route(1, OIF, attribute(5, bytes((10, 9, 0, 254))))
    assert route_of(answer, {1: "vb"}.get) == Route("vb", "10.9.0.254", table=254)


def test_an_address_of_this_host() -> None:
    assert route_of(route(2, OIF), {1: "lo"}.get) == Route("lo", local=True, table=254)


def test_the_answer_of_the_kernel(kernel: Kernel) -> None:
    kernel.answers([message(24, route(2, OIF), flags=0)])
    assert ask() == Route("lo", local=True, table=254)
    assert kernel.sockets[0].requests == [(26, 0x1, question(ip_address("10.9.1.1"), 0))]


def test_no_route(kernel: Kernel) -> None:
    kernel.answers([refused(errno.ENETUNREACH)])
    assert ask() == Route(None, refusal="the network is unreachable")


@pytest.mark.parametrize(
    "answer", [b"", route(1, OIF)[:8], route(1, attribute(5, b"123")), route(1, attribute(4, b""))]
)
def test_what_cannot_be_read(kernel: Kernel, answer: bytes) -> None:
    kernel.answers([message(24, answer, flags=0)])
    with pytest.raises(OSError, match="cannot be read"):
        ask()


def test_an_error_that_is_not_about_routes(kernel: Kernel) -> None:
    kernel.answers([refused(errno.EPERM)])
    with pytest.raises(netlink.Refused, match="Operation not permitted"):
        ask()


def test_a_group_has_no_route_to_tell(kernel: Kernel) -> None:
    kernel.answers([refused(errno.EMSGSIZE)])
    with pytest.raises(OSError, match="no route for a multicast group"):
        ask()


def test_this_host_has_a_way_to_itself() -> None:
    found = read_route(own_inode(), ip_address("127.0.0.1"), mark=7)
    assert (found.device, found.local) == ("lo", True)


def test_a_namespace_that_is_gone() -> None:
    with pytest.raises(FileNotFoundError):
        read_route(1, ip_address("127.0.0.1"))


def test_a_route_of_a_table_with_an_mtu_that_an_error_told() -> None:
    metrics = attribute(8, attribute(2, struct.pack("=I", 600)))
    cached = attribute(12, struct.pack("=IIiIIIII", 0, 0, 51200, 0, 0, 0, 0, 0))
    answer = route(1, OIF, attribute(15, struct.pack("=I", 1077)), metrics, cached)
    assert route_of(answer, {1: "vb"}.get) == Route("vb", table=1077, mtu=600, expires=512)


def test_a_route_of_ipv6_that_refuses() -> None:
    assert route_of(route(8, OIF), {1: "lo"}.get) == Route(
        None, refusal="the route is of type prohibit", table=254
    )


def test_the_route_of_a_send() -> None:
    """To a loopback address this kernel has one."""
    found = read_route_of_send(own_inode(), ip_address("127.0.0.1"), None, 0, 0, 0)
    assert found.local


def test_what_an_errno_says_of_routes() -> None:
    assert refusal(errno.EINVAL) == "the route is of type blackhole"
    assert refusal(errno.EPERM) is None
