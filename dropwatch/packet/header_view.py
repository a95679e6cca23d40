"""The part of a packet that one header's decoder looks at, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from dropwatch.model.header import Header


@dataclass(frozen=True, slots=True)
class View:
    """`at` is where the header begins, `end` the first byte that the headers before it do not give to it.

    `end` never lies behind the bytes that are there. Reading behind it is the caller's mistake.
    """

    data: bytes
    at: int
    end: int
    depth: int = 0
    quoted: bool = False

    @property
    def room(self) -> int:
        """Bytes from the start of the header on."""
        return max(self.end - self.at, 0)

    def number(self, offset: int, size: int) -> int:
        """`size` bytes in network order, `offset` bytes into the header."""
        return int.from_bytes(self.bytes(offset, size), "big")

    def bytes(self, offset: int, size: int) -> bytes:
        return self.data[self.at + offset : min(self.at + offset + size, self.end)]

    def header(
        self, name: str, length: int, *fields: tuple[str, str | int], error: str | None = None
    ) -> Header:
        """The header with these fields; one that goes on behind what is there has an error."""
        if error is None and length > self.room:
            error = _missing(self.room, length)
        return Header(name, self.at, min(length, self.room), fields, self.depth, self.quoted, error=error)

    def behind(self, length: int) -> "View":
        """What follows a header of this length in the same packet."""
        return replace(self, at=min(self.at + length, self.end))

    def until(self, length: int) -> "View":
        """The same, with only this many bytes from the start of the header on."""
        return replace(self, end=min(self.end, self.at + length))

    def inside(self, length: int, *, quoted: bool = False) -> "View":
        """Another packet, carried or quoted, that begins after this many bytes."""
        inner = self.behind(length)
        return replace(inner, depth=self.depth + 1, quoted=self.quoted or quoted)


class Step(NamedTuple):
    """A header that was read, and what follows: `kind` is a name of the table of decoders, None for data.

    `rest` are the bytes that follow, `data_name` is what they are called where they are no header.
    """

    header: Header
    rest: View
    kind: str | None = None
    data_name: str = "data"


Decoder = Callable[[View], Step]


def cut(view: View, name: str, needed: int) -> Step:
    """A header of which not every byte is there: it is not read."""
    return Step(view.header(name, needed), view.behind(view.room))


def _missing(there: int, needed: int) -> str:
    return f"only {there} of its {needed} bytes are in the record"


def mac(octets: bytes) -> str:
    """`02:42:ac:11:00:02`."""
    return octets.hex(":")
