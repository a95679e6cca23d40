"""Where a route leads: what is asked, and how the answers are read."""

import errno
import socket
import struct
from ipaddress import ip_address

import pytest

from dropwatch.host.netns.netns import own_inode
from dropwatch.host.route import Route, question, read_route, route_of


def message(kind, body):
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value


def route(kind, *attributes):
    return message(24, struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 0, 0, kind, 0) + b"".join(attributes))


OIF = attribute(4, struct.pack("=i", 3))


def test_the_question() -> None:
    asked = question(ip_address("10.9.1.1"), 0x10)
    length, kind, flags, _, _ = struct.unpack_from("=IHHII", asked)
    assert (length, kind, flags) == (len(asked), 26, 1)
    assert asked[16:18] == bytes((socket.AF_INET, 32))
    assert attribute(1, bytes((10, 9, 1, 1))) in asked
    assert asked.endswith(attribute(16, struct.pack("=I", 0x10)))
    assert question(ip_address("fd00::1"), 0)[16:18] == bytes((socket.AF_INET6, 128))


def test_a_route_through_a_gateway() -> None:
    answer = route(1, OIF, attribute(5, bytes((10, 9, 0, 254))))
    assert route_of(answer, {3: "vb"}.get) == Route("vb", "10.9.0.254")


def test_an_address_of_this_host() -> None:
    assert route_of(route(2, OIF), {3: "lo"}.get) == Route("lo", local=True)


def test_no_route() -> None:
    answer = message(2, struct.pack("=i", -errno.ENETUNREACH))
    assert route_of(answer, {}.get) == Route(None, refusal="the network is unreachable")


@pytest.mark.parametrize(
    "answer", [b"", message(24, b""), message(3, bytes(12)), route(1, attribute(5, b"123"))]
)
def test_what_cannot_be_read(answer) -> None:
    with pytest.raises(OSError, match="cannot be read"):
        route_of(answer, {}.get)


def test_an_error_that_is_not_about_routes() -> None:
    with pytest.raises(PermissionError):
        route_of(message(2, struct.pack("=i", -errno.EPERM)), {}.get)


def test_this_host_has_a_way_to_itself() -> None:
    assert read_route(own_inode(), ip_address("127.0.0.1")) == Route("lo", local=True)


def test_a_namespace_that_is_gone() -> None:
    with pytest.raises(FileNotFoundError):
        read_route(1, ip_address("127.0.0.1"))
