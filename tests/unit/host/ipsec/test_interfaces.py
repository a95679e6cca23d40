"""What the kernel answers about xfrm interfaces, read from bytes."""

import errno
import struct
from ipaddress import ip_address

import pytest

from dropwatch.host import netlink
from dropwatch.host.ipsec.interfaces import IpsecInterface, read_interfaces
from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from tests.unit.host.netlink_socket import Kernel, Piece, done, message, refused

NESTED = 0x8000


def link(index: int, kind: bytes = b"xfrm\0", data: bytes = b"", nested: int = 0) -> Piece:
    info = attribute(1, kind) + attribute(2 | nested, data)
    body = struct.pack("=BxHiII", 0, 1, index, 0, 0) + attribute(3, b"name\0") + attribute(18 | nested, info)
    return message(16, body)


def if_id(number: int) -> bytes:
    return attribute(1, struct.pack("=I", 2)) + attribute(2, struct.pack("=I", number))


def read(kernel: Kernel, *pieces: Piece) -> dict[int, IpsecInterface]:
    kernel.answers([*pieces, done()])
    return read_interfaces(own_inode())


def test_if_ids_by_index(kernel: Kernel) -> None:
    found = read(kernel, link(7, data=if_id(42)), link(9, data=if_id(0xFFFFFFFE), nested=NESTED))
    assert found == {7: IpsecInterface("xfrm", 42), 9: IpsecInterface("xfrm", 0xFFFFFFFE)}


def test_other_kinds_are_left_out(kernel: Kernel) -> None:
    without_kind = message(16, struct.pack("=BxHiII", 0, 1, 1, 0, 0))
    assert read(kernel, link(3, kind=b"veth\0"), link(4, kind=b"xfrmx\0"), without_kind) == {}


def test_one_that_takes_its_if_id_from_packets(kernel: Kernel) -> None:
    assert read(kernel, link(7, data=attribute(3, b""))) == {7: IpsecInterface("xfrm", None)}


def test_vti_with_keys_and_end_points(kernel: Kernel) -> None:
    data = attribute(2, bytes((0, 0, 0, 42))) + attribute(3, bytes((0, 0, 1, 0)))
    data += attribute(4, bytes((10, 9, 0, 2))) + attribute(5, bytes(4))
    expected = IpsecInterface("vti", 0, 42, 256, ip_address("10.9.0.2"), None)
    assert read(kernel, link(7, kind=b"vti\0", data=data)) == {7: expected}


def test_errors_of_the_kernel(kernel: Kernel) -> None:
    with pytest.raises(netlink.Refused, match="Operation not permitted"):
        read(kernel, refused(errno.EPERM))


@pytest.mark.parametrize(
    "answer",
    [
        message(16, bytes(4)),
        link(7, data=attribute(2, b"12")),
        link(7, kind=b"vti\0", data=attribute(4, b"123")),
    ],
)
def test_what_cannot_be_read_is_an_error(kernel: Kernel, answer: Piece) -> None:
    with pytest.raises(OSError, match="cannot be read"):
        read(kernel, answer)


def test_this_machine_answers() -> None:
    assert all(found.kind in ("xfrm", "vti", "vti6") for found in read_interfaces(own_inode()).values())
