"""What the kernel only counts, by sorts: the room that one namespace has for them."""

import struct
from collections.abc import Iterator

import pytest

from dropwatch.probe import rows as rows_module
from dropwatch.probe.rows import KernelRows


class Maps:
    """Of the kernel: a row is its namespace alone."""

    def __init__(self, rows: list[bytes], owners: dict[bytes, int]) -> None:
        self.rows, self.owners = rows, owners

    def elements(self, table: str) -> Iterator[tuple[bytes, None]]:
        return ((row, None) for row in list(self.rows))

    def items(self, table: str) -> Iterator[tuple[bytes, int]]:
        return iter(self.owners.items())

    def delete(self, table: str, row: bytes) -> None:
        self.rows.remove(row)

    def put(self, table: str, netns: bytes, value: bytes) -> None:
        (self.owners[netns],) = struct.unpack("=I", value)


def test_who_found_no_room_has_it_when_others_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """A packet whose sort found no room counts for its namespace as well, and that one may have no sort of its own."""
    monkeypatch.setattr(rows_module, "netns_of", lambda row: struct.unpack("=I", row)[0])
    others, ours = struct.pack("=I", 7), struct.pack("=I", 8)
    maps = Maps([others, others, ours], {others: 2, ours: 4096})
    tracer = KernelRows()
    tracer._loader = maps  # type: ignore[assignment]
    tracer.forget([])
    assert maps.owners[ours] == 4096
    tracer.forget([others])
    assert maps.owners == {others: 1, ours: 1}
