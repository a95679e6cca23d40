"""A netlink socket for tests: answers each request with the pieces that it was told."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from dropwatch.host import netlink

if TYPE_CHECKING:
    from typing_extensions import Self


ERROR, DONE = 2, 3
MULTI, DUMP_INTR, CAPPED, ACK_TLVS = 0x2, 0x10, 0x100, 0x200


@dataclass(frozen=True, slots=True)
class Piece:
    """What one recvmsg gives: bytes, or messages made for the sequence number of the request."""

    data: bytes | Callable[[int], bytes] = b""
    flags: int = 0
    port: int = 0
    error: OSError | None = None


Pieces = Sequence[Piece]


def message(kind: int, body: bytes = b"", flags: int = MULTI, sequence: int | None = None) -> Piece:
    """One message in a piece of its own; of the request's sequence number if none is given."""

    def made(asked: int) -> bytes:
        number = asked if sequence is None else sequence
        return struct.pack("=IHHII", 16 + len(body), kind, flags, number, 0) + body

    return Piece(made)


def done(error: int = 0, attributes: bytes = b"") -> Piece:
    flags = MULTI | (ACK_TLVS if attributes else 0)
    return message(DONE, struct.pack("=i", error) + attributes, flags)


def refused(error: int, words: str = "") -> Piece:
    """An error as kernels send it that cap what they repeat of the request."""
    body = struct.pack("=i", -error) + struct.pack("=IHHII", 16, 18, 1, 1, 0)
    if words:
        body += netlink.attribute(1, words.encode() + b"\0")
    return message(ERROR, body, CAPPED | (ACK_TLVS if words else 0))


def together(*pieces: Piece) -> Piece:
    """Several messages in one piece."""

    def made(asked: int) -> bytes:
        parts = [piece.data if isinstance(piece.data, bytes) else piece.data(asked) for piece in pieces]
        return b"".join(part + bytes(-len(part) % 4) for part in parts)

    return Piece(made)


class FakeSocket:
    """One question's socket; `requests` are the type and the body of what was asked, `buffer` where answers lay."""

    def __init__(self, answers: Callable[[int], Pieces]) -> None:
        self._answers = answers
        self._waiting: list[Piece] = []
        self._sequence = 0
        self.requests: list[tuple[int, int, bytes]] = []
        self.options: list[tuple[int, int, int]] = []
        self.timeouts: list[float] = []
        self.buffer = bytearray()
        self.most_seen = b""
        self.closed = False

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.options.append((level, option, value))

    def settimeout(self, seconds: float) -> None:
        self.timeouts.append(seconds)

    def sendto(self, data: bytes, address: tuple[int, int]) -> None:
        length, request, flags, self._sequence, _ = struct.unpack_from("=IHHII", data)
        assert (length, address) == (len(data), (0, 0))
        self.requests.append((request, flags, data[16:]))
        self._waiting = list(self._answers(request))

    def recvmsg_into(self, buffers: list[bytearray]) -> tuple[int, list[object], int, tuple[int, int]]:
        (self.buffer,) = buffers
        if not self._waiting:
            raise TimeoutError("timed out")
        piece = self._waiting.pop(0)
        if piece.error is not None:
            raise piece.error
        data = piece.data if isinstance(piece.data, bytes) else piece.data(self._sequence)
        self.buffer[: len(data)] = data
        self.most_seen = max(self.most_seen, data, key=len)
        return len(data), [], piece.flags, (piece.port, 0)


class Kernel:
    """Gives each question its socket: the tries one after the other, the last of them for all that follow."""

    def __init__(self) -> None:
        self.sockets: list[FakeSocket] = []
        self._tries: list[Callable[[int], Pieces]] = []

    def answers(self, *tries: Callable[[int], Pieces] | Pieces) -> None:
        def always(pieces: Pieces) -> Callable[[int], Pieces]:
            return lambda request: pieces

        self._tries = [each if callable(each) else always(each) for each in tries]

    def open(self, protocol: int) -> FakeSocket:
        number = min(len(self.sockets), len(self._tries) - 1)
        self.sockets.append(FakeSocket(self._tries[number]))
        return self.sockets[-1]
