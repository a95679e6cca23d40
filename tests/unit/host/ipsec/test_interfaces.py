"""What the kernel answers about xfrm interfaces, read from bytes."""

import struct
from ipaddress import ip_address

import pytest

from dropwatch.host.ipsec.interfaces import IpsecInterface, interfaces_of, question

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def link(index, kind=b"xfrm\0", data=b"", nested=0):
    info = attribute(1, kind) + attribute(2 | nested, data)
    body = struct.pack("=BxHiII", 0, 1, index, 0, 0) + attribute(3, b"name\0") + attribute(18 | nested, info)
    return struct.pack("=IHHII", 16 + len(body), 16, 2, 1, 0) + body


def if_id(number):
    return attribute(1, struct.pack("=I", 2)) + attribute(2, struct.pack("=I", number))


def test_if_ids_by_index() -> None:
    answer = link(7, data=if_id(42)) + link(9, data=if_id(0xFFFFFFFE), nested=0x8000)
    assert interfaces_of(answer) == (
        {7: IpsecInterface("xfrm", 42), 9: IpsecInterface("xfrm", 0xFFFFFFFE)},
        False,
    )
    assert interfaces_of(link(7, data=if_id(42)) + DONE) == ({7: IpsecInterface("xfrm", 42)}, True)


def test_other_kinds_are_left_out() -> None:
    assert interfaces_of(link(3, kind=b"veth\0") + link(4, kind=b"xfrmx\0")) == ({}, False)


def test_one_that_takes_its_if_id_from_packets() -> None:
    assert interfaces_of(link(7, data=attribute(3, b""))) == ({7: IpsecInterface("xfrm", None)}, False)


def test_vti_with_keys_and_end_points() -> None:
    data = attribute(2, bytes((0, 0, 0, 42))) + attribute(3, bytes((0, 0, 1, 0)))
    data += attribute(4, bytes((10, 9, 0, 2))) + attribute(5, bytes(4))
    expected = IpsecInterface("vti", 0, 42, 256, ip_address("10.9.0.2"), None)
    assert interfaces_of(link(7, kind=b"vti\0", data=data)) == ({7: expected}, False)


def test_errors_of_the_kernel() -> None:
    with pytest.raises(OSError, match="Operation not permitted"):
        interfaces_of(struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -1))


@pytest.mark.parametrize("answer", [b"\x10", struct.pack("=IHHII", 0, 16, 0, 1, 0), link(7)[:20]])
def test_what_cannot_be_read_is_an_error(answer) -> None:
    with pytest.raises(OSError, match="cannot be read"):
        interfaces_of(answer)


def test_the_question_is_whole() -> None:
    asked = question()
    assert struct.unpack_from("=I", asked)[0] == len(asked)
