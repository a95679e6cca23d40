"""The netlink client against answers that go wrong, and against the kernel of this machine."""

import errno
import os
import random
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from dropwatch.host import netlink
from dropwatch.host.links import links
from tests.unit.host.netlink_socket import (
    DUMP_INTR,
    ERROR,
    MULTI,
    Kernel,
    Piece,
    done,
    message,
    refused,
    together,
)

ASK, ANSWER, OTHER = 18, 16, 17


def ask() -> list[bytes]:
    return netlink.dump(netlink.ROUTE, ASK, b"what", ANSWER, bytes)


def ask_one() -> bytes:
    return netlink.get(netlink.ROUTE, ASK, b"what", ANSWER, bytes)


def test_several_messages_in_a_piece_and_several_pieces(kernel: Kernel) -> None:
    kernel.answers(
        [
            together(message(ANSWER, b"one"), message(OTHER, b"left out"), message(ANSWER, b"two")),
            message(ANSWER),
            together(message(ANSWER, b"last"), done()),
            message(ANSWER, b"after the end"),
        ]
    )
    assert ask() == [b"one", b"two", b"", b"last"]
    (connection,) = kernel.sockets
    assert connection.requests == [(ASK, 0x301, b"what")]
    assert connection.closed
    assert {option for _, option, _ in connection.options} == {10, 11, 12}


def test_one_answer_ends_a_question_that_is_no_dump(kernel: Kernel) -> None:
    kernel.answers([message(OTHER, b"no"), message(ANSWER, b"yes", flags=0)])
    assert ask_one() == b"yes"
    assert kernel.sockets[0].requests == [(ASK, 0x1, b"what")]


def test_an_acknowledgement_is_no_answer(kernel: Kernel) -> None:
    kernel.answers([refused(0)])
    with pytest.raises(OSError, match="no answer"):
        ask_one()


def test_an_interrupted_dump_is_begun_again_on_another_socket(kernel: Kernel) -> None:
    interrupted = [
        message(ANSWER, b"old"),
        message(ANSWER, b"older", flags=MULTI | DUMP_INTR),
        done(),
    ]
    kernel.answers(interrupted, [message(ANSWER, b"new"), done()])
    assert ask() == [b"new"]
    assert [connection.closed for connection in kernel.sockets] == [True, True]


@pytest.mark.parametrize(
    "first",
    [
        message(3, struct.pack("=i", 0), flags=MULTI | DUMP_INTR),
        Piece(error=OSError(errno.ENOBUFS, "No buffer space available")),
        done(-errno.EINTR),
    ],
)
def test_what_else_is_begun_again(kernel: Kernel, first: Piece) -> None:
    kernel.answers([message(ANSWER, b"old"), first], [message(ANSWER, b"new"), done()])
    assert ask() == [b"new"]


def test_a_dump_that_never_comes_to_rest_is_an_error(kernel: Kernel) -> None:
    kernel.answers([message(ANSWER, flags=MULTI | DUMP_INTR)])
    with pytest.raises(OSError, match="kept changing while it was read") as caught:
        ask()
    assert caught.value.errno == errno.EAGAIN
    assert len(kernel.sockets) == 3


def test_other_senders_and_other_questions_are_passed_over(kernel: Kernel) -> None:
    forged = message(ANSWER, b"forged")
    kernel.answers(
        [
            Piece(forged.data, port=4711),
            Piece(forged.data, flags=socket.MSG_TRUNC, port=4711),
            together(message(ANSWER, b"late", sequence=1 << 31), message(ANSWER, b"mine")),
            message(3, struct.pack("=i", -errno.EPERM), sequence=1 << 31),
            done(),
        ]
    )
    assert ask() == [b"mine"]


def test_errors_have_the_words_of_the_kernel(kernel: Kernel) -> None:
    kernel.answers([refused(errno.EINVAL, "Invalid values in header\x1b for link dump")])
    with pytest.raises(
        netlink.Refused, match=r"Invalid argument: Invalid values in header\\x1b for link dump"
    ) as caught:
        ask()
    assert caught.value.errno == errno.EINVAL


def test_the_request_may_be_repeated_before_the_words(kernel: Kernel) -> None:
    repeated = struct.pack("=IHHII", 21, ASK, 1, 1, 0) + b"what?" + bytes(3)
    body = struct.pack("=i", -errno.EBUSY) + repeated + netlink.attribute(1, b"somebody else asks\0")
    kernel.answers([message(ERROR, body, flags=0x200)])
    with pytest.raises(netlink.Refused, match=r"busy: somebody else asks$"):
        ask()


def test_a_dump_may_end_with_an_error(kernel: Kernel) -> None:
    kernel.answers([message(ANSWER), done(-errno.ENOMEM, netlink.attribute(1, b"no room\0"))])
    with pytest.raises(netlink.Refused, match="Cannot allocate memory: no room"):
        ask()


def test_what_the_kernel_does_not_have_is_not_a_namespace_that_is_gone(kernel: Kernel) -> None:
    kernel.answers([refused(errno.ENOENT)])
    with pytest.raises(netlink.Refused, match=r"^.Errno 2. No such file or directory$") as caught:
        ask()
    assert not isinstance(caught.value, FileNotFoundError)


def test_an_end_without_a_number_is_no_error(kernel: Kernel) -> None:
    kernel.answers([message(3)])
    assert ask() == []


def test_a_larger_piece_is_asked_for_with_a_larger_buffer(kernel: Kernel) -> None:
    large = Piece(bytes(64), flags=socket.MSG_TRUNC)
    kernel.answers([large], [large], [message(ANSWER, b"x"), done()])
    assert ask() == [b"x"]
    sizes = [len(connection.buffer) for connection in kernel.sockets]
    assert sizes == sorted(set(sizes))


def test_no_buffer_is_large_enough_for_everything(kernel: Kernel) -> None:
    kernel.answers([Piece(bytes(64), flags=socket.MSG_TRUNC)])
    with pytest.raises(OSError, match="larger than it can be"):
        ask()
    assert max(len(connection.buffer) for connection in kernel.sockets) <= 1 << 22


class Clock:
    """Each look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_a_kernel_that_is_silent_is_not_waited_for_any_longer(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", Clock())
    kernel.answers([message(ANSWER)])
    with pytest.raises(OSError, match="did not answer in time") as caught:
        ask()
    assert caught.value.errno == errno.ETIMEDOUT
    assert all(0 < seconds <= 5 for seconds in kernel.sockets[0].timeouts)


def test_an_answer_that_never_ends_is_given_up(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", Clock())
    kernel.answers([message(ANSWER)] * 1000)
    with pytest.raises(OSError, match="did not answer in time"):
        ask()


def test_an_answer_has_a_size(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "_MOST_BYTES", 8 << 20)
    kernel.answers([message(ANSWER, bytes(1 << 16))] * 200)
    with pytest.raises(OSError, match="longer than 8 MiB"):
        ask()


def test_strangers_do_not_keep_it_waiting(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", Clock())
    kernel.answers([Piece(message(ANSWER).data, port=4711)] * 1000)
    with pytest.raises(OSError, match="did not answer"):
        ask()


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("=IHHII", 3, ANSWER, 2, 1, 0),
        struct.pack("=IHHII", 0, ANSWER, 2, 1, 0),
        struct.pack("=IHHII", 400, ANSWER, 2, 1, 0) + bytes(200),
    ],
)
def test_an_answer_that_is_cut_short(kernel: Kernel, data: bytes) -> None:
    kernel.answers([Piece(data)])
    with pytest.raises(OSError, match="cut short"):
        ask()
    assert kernel.sockets[0].closed


def test_what_cannot_be_read_is_an_oserror(kernel: Kernel) -> None:
    kernel.answers([message(ANSWER, b"123"), done()])
    for read in (
        lambda body: struct.unpack("=I", body),
        lambda body: int(bytes(body[:0])),
        lambda body: body[9],
    ):
        with pytest.raises(OSError, match="cannot be read") as caught:
            netlink.dump(netlink.ROUTE, ASK, b"", ANSWER, read)
        assert caught.value.errno == errno.EBADMSG


def test_nothing_of_the_answer_stays_in_memory(kernel: Kernel) -> None:
    kernel.answers([message(ANSWER, b"secret" * 40), message(ANSWER, b"short", flags=MULTI | DUMP_INTR)])
    with pytest.raises(OSError, match="kept changing"):
        ask()
    assert b"secret" in kernel.sockets[0].most_seen
    assert not any(any(connection.buffer) for connection in kernel.sockets)

    kernel.answers([message(ANSWER, b"secret"), done()])
    kept = netlink.dump(netlink.ROUTE, ASK, b"", ANSWER, lambda body: (body, bytes(body)))
    assert [(bytes(body), seen) for body, seen in kept] == [(bytes(6), b"secret")]


def test_attributes_there_and_back() -> None:
    inside = netlink.attribute(1, b"name\0") + netlink.attribute(2, b"")
    raw = (
        netlink.attribute(3 | 0x8000, inside) + netlink.attribute(4, b"\x01") + netlink.attribute(4, b"\x02")
    )
    found = netlink.attributes(raw)
    assert found == {3: inside, 4: b"\x02"}
    assert netlink.attributes(memoryview(found[3])) == {1: b"name\0", 2: b""}
    assert netlink.text(netlink.attributes(found[3])[1]) == "name"
    assert [kind for kind, _ in netlink.walk(raw)] == [3, 4, 4]


@pytest.mark.parametrize("length", [0, 3, 9, 0xFFFF])
def test_an_attribute_that_does_not_fit_is_the_end(length: int) -> None:
    whole = netlink.attribute(1, b"abcd")
    assert netlink.attributes(whole + struct.pack("=HH", length, 2) + b"wxyz") == {1: b"abcd"}


def test_no_bytes_are_too_hostile_for_attributes() -> None:
    dice = random.Random(13)
    for _ in range(2000):
        raw = bytearray(dice.randbytes(dice.randrange(64)))
        for place in range(0, len(raw) - 1, 4):
            if dice.random() < 0.7:
                raw[place : place + 2] = struct.pack("=H", dice.randrange(12))
        found = list(netlink.spans(bytes(raw)))
        assert all(0 <= start <= end <= len(raw) for _, start, end in found)
        assert len(found) <= len(raw) // 4


def link_names() -> dict[int, str]:
    return dict(links(lambda index, found: (index, netlink.text(found[3]))))


def test_the_devices_of_this_machine() -> None:
    assert link_names() == dict(socket.if_nameindex())


def test_this_kernel_says_why_it_refuses() -> None:
    with pytest.raises(netlink.Refused, match=r"Invalid argument: .*header"):
        netlink.dump(netlink.ROUTE, 18, struct.pack("=BxHiII", 0, 0, 0, 0, 7), 16, bytes)


@pytest.fixture
def impostor() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.ROUTE) as found:
        found.bind((0, 0))
        yield found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may send to another's netlink socket")
def test_only_the_kernel_is_believed(impostor: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process answers first: over a real socket its port tells."""
    opened = netlink._open

    def watched(protocol: int) -> socket.socket:
        connection = opened(protocol)
        connection.bind((0, 0))
        port, _ = connection.getsockname()
        forged = struct.pack("=IHHII", 36, 16, 2, 77, 0) + bytes(20)
        for _ in range(3):
            impostor.sendto(forged, (port, 0))
        return connection

    monkeypatch.setattr(netlink, "_open", watched)
    monkeypatch.setattr(netlink, "_sequences", iter([77]))
    began = time.monotonic()
    assert link_names() == dict(socket.if_nameindex())
    assert time.monotonic() - began < 5
