"""A packet's bytes as offset, hex and ASCII; each header begins a line of its own, in its own column."""

from collections.abc import Iterator, Sequence

from dropwatch.model.header import Header
from dropwatch.render.layout import Layout

_INDENT = "  "
_WIDE = 74  # columns that sixteen bytes a line need


def hexdump(data: bytes, headers: Sequence[Header], layout: Layout) -> Iterator[str]:
    """Lines of sixteen bytes, or of eight where the terminal is narrow. `headers` cover the data from its start on."""
    columns = 16 if layout.width >= _WIDE else 8
    parts = [
        (header.name, header.offset, header.offset + header.length) for header in headers if header.length
    ]
    for name, start, end in parts or [("", 0, len(data))]:
        if name:
            yield layout.paint(f"{_INDENT}{name}", "cyan")
        for at in range(start - start % columns, end, columns):
            yield _line(data, max(at, start), min(at + columns, end), at, columns)


def _line(data: bytes, first: int, end: int, row: int, columns: int) -> str:
    """The bytes from `first` on in the columns that they have in a row beginning at `row`."""
    cells = [f"{data[at]:02x}" if first <= at < end else "  " for at in range(row, row + columns)]
    half = columns // 2
    ascii_text = "".join(_shown(data[at]) if first <= at < end else " " for at in range(row, row + columns))
    left, right = " ".join(cells[:half]), " ".join(cells[half:])
    return f"{_INDENT}{first:04x}  {left}  {right}  {ascii_text}".rstrip()


def _shown(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F else "."
