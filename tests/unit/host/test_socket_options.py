"""What is set on another's socket: here on our own."""

import ctypes
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from dropwatch.host.socket_options import SocketOptions, read_options

ACCEPT = struct.pack("=HBBI", 6, 0, 0, 65535)


@pytest.fixture
def one() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        yield made


def read(one: socket.socket, version: int = 4) -> SocketOptions | None:
    return read_options(os.getpid(), os.fstat(one.fileno()).st_ino, version)


def test_nothing_is_set(one: socket.socket) -> None:
    assert read(one) == SocketOptions()


def test_a_filter_and_a_least_ttl(one: socket.socket) -> None:
    code = ctypes.create_string_buffer(ACCEPT * 3)
    one.setsockopt(socket.SOL_SOCKET, 26, struct.pack("@HP", 3, ctypes.addressof(code)))
    one.setsockopt(socket.SOL_IP, 21, 200)
    assert read(one) == SocketOptions(3, extended=False, min_ttl=200)


def test_the_hops_of_ipv6() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        six.setsockopt(socket.IPPROTO_IPV6, 73, 254)
        assert read(six, 6) == SocketOptions(min_ttl=254)


def test_a_socket_that_the_process_has_no_more(one: socket.socket) -> None:
    assert read_options(os.getpid(), 1, 4) is None
    assert read_options(0x7FFFFFFF, os.fstat(one.fileno()).st_ino, 4) is None
