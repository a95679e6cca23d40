"""The container of a recording: a line that names the format, then frames that can be read one by one.

A frame is its own compressed piece: length, length once unpacked, CRC-32 (of the packed bytes), all of 32 bits and
little-endian, and zlib data that unpacks to a JSON array of items. A crash in the middle of a frame leaves all frames
before it. Every size has a bound, so that a hostile file costs no more memory than an honest one.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from dropwatch.errors import WhydropError, WrongUsage

VERSION = 1
NAME = b"whydrop recording "
MAGIC = NAME + b"%d\n" % VERSION
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_HEADER = struct.Struct("<III")
_MOST_PACKED = 1 << 24
_MOST_UNPACKED = 1 << 25

Item = list[Any]


class Damaged(WhydropError):
    """The recording cannot be read any further. What came before has been."""


def pack(items: list[Item]) -> list[bytes]:
    """Frames of these items, in their order: usually one."""
    text = json.dumps(items, separators=(",", ":"), allow_nan=False).encode()
    packed = zlib.compress(text, 6)
    if len(text) <= _MOST_UNPACKED and len(packed) <= _MOST_PACKED:
        return [_HEADER.pack(len(packed), len(text), zlib.crc32(packed)) + packed]
    if len(items) == 1:
        return []  # a single answer of more than 32 MB: the replay says that it has none
    middle = len(items) // 2
    return pack(items[:middle]) + pack(items[middle:])


def read_items(path: Path) -> Iterator[Item]:
    """Each item of a recording, its first word a string that says what it is.

    Raises WrongUsage when the file is no recording, Damaged when it is cut or altered, after all items before.
    """
    try:
        with path.open("rb") as file:
            _check_format(file, path)
            number = 0
            while (frame := _frame(file, path, number)) is not None:
                yield from frame
                number += 1
    except IsADirectoryError as error:
        raise WrongUsage(f"{path} is a directory", "name a file that --write made") from error
    except FileNotFoundError as error:
        raise WrongUsage(f"there is no file {path}", "name a file that --write made") from error
    except PermissionError as error:
        raise WrongUsage(
            f"{path} may not be read: {error.strerror}",
            f"a recording belongs to who made it, often root: sudo chown $USER {path}",
        ) from error
    except OSError as error:
        raise WhydropError(f"{path} cannot be read: {error.strerror}", "try again with a copy") from error


def _check_format(file: BinaryIO, path: Path) -> None:
    start = file.read(len(MAGIC))
    if start == MAGIC:
        return
    if start.startswith(_PCAPNG):
        raise WrongUsage(
            f"{path} is a capture, not a recording", "open it in Wireshark: it has the findings as comments"
        )
    if start.startswith(NAME) and start[len(NAME) :].strip().isdigit():
        raise WrongUsage(
            f"{path} was made by a newer whydrop: this one reads recordings of format {VERSION}",
            "use that one",
        )
    if start and MAGIC.startswith(start):
        raise Damaged(f"{path} ends in its first line", "nothing of it can be shown")
    raise WrongUsage(f"{path} is no recording of whydrop", "name a file that --write made")


def _frame(file: BinaryIO, path: Path, number: int) -> list[Item] | None:
    """The items of the next frame, None at the end."""
    head = file.read(_HEADER.size)
    if not head:
        return None
    if len(head) < _HEADER.size:
        raise _damaged(path, number, "it ends in the middle of a frame: the writing was interrupted")
    packed_length, length, check = _HEADER.unpack(head)
    if packed_length > _MOST_PACKED or length > _MOST_UNPACKED:
        raise _damaged(path, number, "a length is out of bounds")
    packed = file.read(packed_length)
    if len(packed) < packed_length:
        raise _damaged(path, number, "it ends in the middle of a frame: the writing was interrupted")
    if zlib.crc32(packed) != check:
        raise _damaged(path, number, "a checksum is wrong")
    return _items(packed, length, path, number)


def _items(packed: bytes, length: int, path: Path, number: int) -> list[Item]:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(packed, length + 1)
        if len(text) != length or not unpacker.eof or unpacker.unused_data:
            raise ValueError("another length")
        items = json.loads(text, parse_constant=_refuse)
    except (ValueError, zlib.error, RecursionError) as error:
        raise _damaged(path, number, "a frame cannot be unpacked") from error
    if not isinstance(items, list) or not all(_is_item(item) for item in items):
        raise _damaged(path, number, "a frame holds something else than items")
    return items


def _is_item(item: object) -> bool:
    return isinstance(item, list) and bool(item) and isinstance(item[0], str)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _damaged(path: Path, number: int, why: str) -> Damaged:
    return Damaged(f"{path} is damaged after {number} frames: {why}", "what could be read before is shown")
