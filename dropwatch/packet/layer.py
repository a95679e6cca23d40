"""One header of a packet, where it is, and what its reader says of it."""

from collections.abc import Callable
from typing import Literal, NamedTuple

Span = tuple[int, int]  # first byte, and the one behind the last
Problem = Literal["cut", "length", "version"]


class Layer(NamedTuple):
    """A header in the bytes of a record. Everything in them may be a lie, but no layer points outside of them.

    `at` is its first byte, `end` the one behind its last that is there, `limit` the first byte that does not belong to
    what it carries: lengths in the headers before it and in itself say so, or the record ends. `needed` is the length
    that it should have. `family` is that of the IP header before it (4, 6, or 0). `depth` is 0 for the packet itself
    and one more inside each tunnel and each quote of an ICMP error; `quoted` is True from such a quote on.

    With a `problem` nothing is read behind it: the record ends inside of it (`cut`), its length is less than a header
    of its kind has (`length`), or it should be IP and is not (`version`). IP of the other version is read on, but its
    problem is `version` as well.
    """

    kind: str
    data: bytes
    at: int
    end: int
    limit: int
    needed: int
    family: int
    depth: int
    quoted: bool
    problem: Problem | None

    @property
    def room(self) -> int:
        """Bytes from its start to the limit."""
        return self.limit - self.at

    def bytes(self, offset: int, size: int) -> bytes:
        """`size` bytes of it, fewer at the end of what is there."""
        return self.data[self.at + offset : min(self.at + offset + size, self.limit)]

    def number(self, offset: int, size: int) -> int:
        """`size` bytes in network order."""
        at = self.at + offset
        return int.from_bytes(self.data[at : min(at + size, self.limit)], "big")


class Place(NamedTuple):
    """Where a header begins: what its reader looks at. The names are those of Layer.

    `whole` is where the lengths of the headers before it say that the packet ends, be it behind the record's end.
    `spi` is that for which the kernel searched an SA: a UDP packet that begins with it is ESP, whatever its ports are.
    """

    data: bytes
    at: int
    limit: int
    whole: int
    family: int = 0
    depth: int = 0
    quoted: bool = False
    spi: int | None = None

    @property
    def room(self) -> int:
        return self.limit - self.at

    def bytes(self, offset: int, size: int) -> bytes:
        return self.data[self.at + offset : min(self.at + offset + size, self.limit)]

    def number(self, offset: int, size: int) -> int:
        at = self.at + offset
        return int.from_bytes(self.data[at : min(at + size, self.limit)], "big")


class Found(NamedTuple):
    """What a reader says: the header's length, and the kind of header that follows (None: data).

    `total` are all bytes from the header's start on that belong to it and what it carries, None where it does not say.
    `opens` is set where what follows is another packet. `kind` is set where it is not what was announced.
    """

    length: int
    following: str | None = None
    total: int | None = None
    opens: Literal["tunnel", "quote"] | None = None
    problem: Problem | None = None
    kind: str | None = None


Reader = Callable[[Place], Found]


class Kind(NamedTuple):
    """How a kind of header is read, and the bytes without which it is not."""

    least: int
    read: Reader
