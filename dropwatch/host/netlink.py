"""Asks the kernel over netlink (linux/netlink.h): a socket for each question, answers checked, errors in its words.

Everything is asked in the network namespace that the thread is in (netns/enter.py).
"""

import errno
import itertools
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple, TypeVar

from dropwatch.names.foreign import printable

ROUTE, XFRM, NETFILTER, GENERIC = 0, 6, 12, 16
"""NETLINK_*: Python's socket module does not know them all."""

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_ERROR = struct.Struct("=i")
_TYPE_MASK = 0x3FFF  # NLA_TYPE_MASK: without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_REQUEST, _DUMP = 0x1, 0x300  # NLM_F_*
_INTERRUPTED, _CAPPED, _WITH_ATTRIBUTES = (
    0x10,
    0x100,
    0x200,
)  # NLM_F_DUMP_INTR, _CAPPED, _ACK_TLVS, of answers
_IS_ERROR, _IS_DONE = 2, 3  # NLMSG_*
_ERROR_TEXT = 1  # NLMSGERR_ATTR_MSG
_SOL_NETLINK = 270  # linux/socket.h
_OPTIONS = (10, 11, 12)  # NETLINK_CAP_ACK, _EXT_ACK, _GET_STRICT_CHK: an older kernel answers without them
_TIMEOUT_S = 5.0  # for a piece
_LONGEST_S = 20.0
_MOST_BYTES = 256 << 20  # of all pieces of an answer: anybody may fill a namespace of his own
_TRIES = 3
_BUFFER_BYTES = (
    1 << 17
)  # the kernel fills pieces of at most 32 KiB, but for a message that is larger by itself
_LARGEST_BYTES = 1 << 22

_sequences = itertools.count(1)

Found = TypeVar("Found")
Read = Callable[[memoryview], Found]


class Refused(OSError):
    """The kernel answered with an error. Never a FileNotFoundError, which says that the namespace is gone."""


class _Again(Exception):
    """The answer is not whole: what is dumped changed meanwhile, or a piece was lost."""


class _Truncated(_Again):
    """A piece was larger than the buffer."""


class _Message(NamedTuple):
    type: int
    flags: int
    sequence: int
    body: memoryview


def dump(protocol: int, request: int, body: bytes, answer: int, read: Read[Found]) -> list[Found]:
    """What `read` makes of the body of each message of type `answer`, all from one undisturbed dump.

    A body is good only until `read` returns; it may be written to, as to wipe a key. Raises Refused for an error of the
    kernel, OSError where it does not answer, where the answer kept changing, and where `read` cannot read it.
    """
    return _asked(protocol, request, _REQUEST | _DUMP, body, answer, read)


def get(protocol: int, request: int, body: bytes, answer: int, read: Read[Found]) -> Found:
    """The same for a request that has one answer."""
    found = _asked(protocol, request, _REQUEST, body, answer, read)
    if not found:
        raise OSError(errno.EBADMSG, "the kernel has no answer")
    return found[0]


def attributes(data: memoryview | bytes) -> dict[int, bytes]:
    """Type and value of each attribute; of equal ones the last. Ends where one does not fit in what is there."""
    return dict(walk(data))


def walk(data: memoryview | bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in their order, as in a list whose elements have one type."""
    for kind, start, end in spans(data):
        yield kind, bytes(data[start:end])


def spans(data: memoryview | bytes) -> Iterator[tuple[int, int, int]]:
    """Type of each attribute, and where its value begins and ends."""
    start = 0
    while start + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if not _ATTRIBUTE.size <= length <= len(data) - start:
            return
        yield kind & _TYPE_MASK, start + _ATTRIBUTE.size, start + length
        start += _aligned(length)


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute of a request."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(_aligned(length) - length)


def text(value: bytes) -> str:
    """A string up to its end; bytes that are no UTF-8 can be encoded again (`surrogateescape`)."""
    return value.partition(b"\0")[0].decode(errors="surrogateescape")


def number(value: bytes | memoryview | None) -> int:
    """Of an attribute in the byte order of this machine, whatever its size; 0 where there is none."""
    return int.from_bytes(value or b"", sys.byteorder)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _asked(
    protocol: int, request: int, flags: int, body: bytes, answer: int, read: Read[Found]
) -> list[Found]:
    """Anew on another socket when the answer is not whole: on the old one the rest of it would still come."""
    size, tries = _BUFFER_BYTES, _TRIES
    while tries:
        try:
            with _open(protocol) as connection:
                return _Question(connection, request, flags, bytearray(size)).answers(body, answer, read)
        except _Truncated:
            size *= 4
            if size > _LARGEST_BYTES:
                raise OSError(errno.EMSGSIZE, "an answer of the kernel is larger than it can be") from None
        except _Again:
            tries -= 1
    raise OSError(errno.EAGAIN, "the answer kept changing while it was read")


def _open(protocol: int) -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)


class _Question:
    """One request, and the answer to it piece by piece."""

    def __init__(self, connection: socket.socket, request: int, flags: int, buffer: bytearray) -> None:
        self._connection, self._buffer = connection, buffer
        self._request, self._flags = request, flags
        self._sequence = next(_sequences) & 0xFFFFFFFF
        now = time.monotonic()
        self._deadline, self._last = now + _TIMEOUT_S, now + _LONGEST_S
        self._bytes_left = _MOST_BYTES

    def answers(self, body: bytes, answer: int, read: Read[Found]) -> list[Found]:
        for option in _OPTIONS:
            with suppress(OSError):
                self._connection.setsockopt(_SOL_NETLINK, option, 1)
        header = _HEADER.pack(_HEADER.size + len(body), self._request, self._flags, self._sequence, 0)
        self._connection.sendto(header + body, (0, 0))
        bodies: list[bytearray] = []
        try:
            self._collect(answer, bodies)
            return [read(memoryview(each)) for each in bodies]
        except (struct.error, ValueError, LookupError) as error:
            raise OSError(errno.EBADMSG, "an answer of the kernel cannot be read") from error
        finally:
            for each in (self._buffer, *bodies):  # they may have held keys
                each[:] = bytes(len(each))

    def _collect(self, answer: int, bodies: list[bytearray]) -> None:
        """The whole answer; it is read only then, because a dump that takes longer is more likely interrupted."""
        is_dump = self._flags & _DUMP
        while True:
            for message in self._received():
                if message.flags & _INTERRUPTED:
                    raise _Again
                if message.type == answer:
                    bodies.append(bytearray(message.body))
                if message.type in {_IS_ERROR, _IS_DONE}:
                    _check(message)
                if message.type in {_IS_ERROR, _IS_DONE} or (bodies and not is_dump):
                    return

    def _received(self) -> Iterator[_Message]:
        """The messages of the next piece that are the kernel's, and belong to this question."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise OSError(errno.ETIMEDOUT, "the kernel did not answer in time")
        self._connection.settimeout(left)
        try:
            size, _, flags, (port, _) = self._connection.recvmsg_into([self._buffer])
        except TimeoutError:
            return
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise _Again from None
            raise
        if port:  # any process may write to this socket
            return
        if flags & socket.MSG_TRUNC:
            raise _Truncated
        self._deadline = min(time.monotonic() + _TIMEOUT_S, self._last)
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise OSError(errno.EFBIG, f"the kernel's answer is longer than {_MOST_BYTES >> 20} MiB")
        for message in _messages(memoryview(self._buffer)[:size]):
            if message.sequence == self._sequence:
                yield message


def _messages(piece: memoryview) -> Iterator[_Message]:
    start = 0
    while start + _HEADER.size <= len(piece):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(piece, start)
        if not _HEADER.size <= length <= len(piece) - start:
            raise OSError(errno.EBADMSG, "an answer of the kernel is cut short")
        yield _Message(kind, flags, sequence, piece[start + _HEADER.size : start + length])
        start += _aligned(length)


def _check(message: _Message) -> None:
    """Raises what the kernel reports; 0 is no error, and old kernels end a dump without saying so."""
    body, flags = message.body, message.flags
    number = -_ERROR.unpack_from(body)[0] if len(body) >= _ERROR.size else 0
    if number == errno.EINTR:
        raise _Again
    if not number:
        return
    words = os.strerror(number)
    if flags & _WITH_ATTRIBUTES:
        start = _ERROR.size
        if message.type == _IS_ERROR:  # the request's header comes first, and unless it is capped the request
            start += _HEADER.size if flags & _CAPPED else _aligned(_HEADER.unpack_from(body, start)[0])
        reason = text(attributes(body[start:]).get(_ERROR_TEXT, b""))
        words += f": {printable(reason)}" if reason else ""
    raise Refused(number, words)
