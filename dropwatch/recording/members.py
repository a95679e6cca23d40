"""The container of a recording: gzip members one after another, each of whole lines of JSON.

`zcat` unpacks them all, `jq` reads the lines. The first line names the format, each later one is an item: an object
whose `item` says what it is. A crash in the middle of a member leaves all members before it. What a member unpacks to
has a bound, what all of them do has one by the size of the file, and so has what a line is made of: a hostile file
costs no more memory than an honest one.
"""

import json
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any

from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.recording.held import opened

VERSION = 2
_FORMAT = "whydrop recording"
_FORMAT_1 = b"whydrop recording "  # what files of whydrop 0.1 begin with, which are no gzip
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_GZIP = b"\x1f\x8b"
_GZIP_BITS = 16 + zlib.MAX_WBITS  # zlib's word for a gzip header and trailer, which has the CRC-32
_LEVEL, _NOT_AT_ALL = 6, 0
_MOST_UNPACKED = 1 << 25
_UNPACKED_AT_ONCE, _RATIO = (
    1 << 18,
    64,
)  # all members together: so many bytes, and so many for each packed one
_MOST_PARTS = 1 << 20  # of a line: each of its values takes some hundred bytes when it is read
_CHUNK = 1 << 14
LOOKED_AT = 512  # packed bytes that hold the first line

Item = dict[str, Any]


class Damaged(WhydropError):
    """The recording cannot be read any further. What came before has been."""


class _Broken(Exception):
    """The same, before it is known of which file and where: only why."""


def opening(program: str) -> bytes:
    """The first member: only the line that names the format and the version of the program."""
    return _packed(_line({"format": _FORMAT, "version": VERSION, "program": program}))


def pack(items: Iterable[Item]) -> Iterator[bytes]:
    """Members of these items, in their order: usually one. One of more than 32 MB or a million values is left out: the
    replay says so."""
    text = bytearray()
    for item in items:
        line = _line(item)
        if len(line) > _MOST_UNPACKED or _parts(line) > _MOST_PARTS:
            continue
        if len(text) + len(line) > _MOST_UNPACKED:
            yield _packed(text)
            text.clear()
        text += line
    if text:
        yield _packed(text)


def is_recording(start: bytes) -> bool:
    """By the first bytes of a file (LOOKED_AT): a recording of any version."""
    return start.startswith(_FORMAT_1) or _named_format(start) is not None


def read_items(path: Path) -> Iterator[Item]:
    """Each item of a recording.

    Raises WrongUsage when the file is no recording of this format, Damaged when it is cut or altered, after all items
    before.
    """
    try:
        with opened(path) as file:
            start = file.read(LOOKED_AT)
            _check_format(start, path)
            yield from _items(file, start, path)
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


def _line(item: Item) -> bytes:
    """All of it in ASCII: what `zcat` shows is no command to a terminal."""
    return json.dumps(item, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _packed(text: bytes | bytearray) -> bytes:
    """Less tightly where a reader would not believe how much it unpacks to."""
    packed = gzipped(text, _LEVEL)
    return packed if len(text) <= _RATIO * len(packed) else gzipped(text, _NOT_AT_ALL)


def gzipped(text: bytes | bytearray, level: int) -> bytes:
    """One member, without a time in its header."""
    packer = zlib.compressobj(level, wbits=_GZIP_BITS)
    return packer.compress(text) + packer.flush()


def _check_format(start: bytes, path: Path) -> None:
    found = _named_format(start)
    if found is not None:
        if found["version"] == VERSION:
            return
        raise WrongUsage(
            f"{path} was made by whydrop {found['program']}: this one reads recordings of format {VERSION}",
            f"whydrop {found['program']} reads it, and later ones may",
        )
    if start.startswith(_FORMAT_1):
        raise WrongUsage(
            f"{path} was made by whydrop 0.1: this one reads recordings of format {VERSION}",
            "whydrop 0.1 reads it; or record again",
        )
    if start.startswith(_PCAPNG):
        raise WrongUsage(
            f"{path} is a capture, not a recording", "open it in Wireshark: it has the findings as comments"
        )
    if start and _is_cut(start):
        raise Damaged(f"{path} ends in its first line", "nothing of it can be shown")
    raise WrongUsage(f"{path} is no recording of whydrop", "name a file that --write made")


def _named_format(start: bytes) -> Item | None:
    """The first line, where it is whole and that of a recording."""
    line, newline, _ = _unpacked(start).partition(b"\n")
    try:
        found = json.loads(line.decode()) if newline else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        return None
    is_whole = isinstance(found.get("version"), int) and isinstance(found.get("program"), str)
    return found if is_whole else None


def _is_cut(start: bytes) -> bool:
    named = _line({"format": _FORMAT})[:-2]
    text = _unpacked(start)
    return (
        len(start) < LOOKED_AT
        and (start.startswith(_GZIP) or _GZIP.startswith(start))
        and b"\n" not in text
        and named.startswith(text[: len(named)])
    )


def _unpacked(start: bytes) -> bytes:
    """What the first bytes of a file unpack to, as far as it goes."""
    try:
        return zlib.decompressobj(_GZIP_BITS).decompress(start, LOOKED_AT)
    except zlib.error:
        return b""


def _items(file: BufferedReader, start: bytes, path: Path) -> Iterator[Item]:
    number = 1
    try:
        for line in islice(_lines(file, start), 1, None):  # the first one names the format
            yield _item(line)
            number += 1
    except _Broken as error:
        raise Damaged(
            f"{path} is damaged after line {number}: {error}", "what could be read before is shown"
        ) from error


def _lines(file: BufferedReader, start: bytes) -> Iterator[bytes]:
    for text in _members(file, start):
        if not text.endswith(b"\n"):
            raise _Broken("a member ends in the middle of a line")
        yield from text[:-1].split(b"\n")


def _members(file: BufferedReader, packed: bytes) -> Iterator[bytes]:
    """What each member unpacks to, once its checksum is right. `packed` has been read of the file already.

    Other writers of gzip put names and comments into the header: they are passed over and never held.
    """
    left = _UNPACKED_AT_ONCE + _RATIO * len(packed)
    while packed or (packed := file.read1(_CHUNK)):
        unpacker, text = zlib.decompressobj(_GZIP_BITS), bytearray()
        while not unpacker.eof:
            if not packed:
                packed = file.read1(_CHUNK)
                left += _RATIO * len(packed)
            if not packed:
                raise _Broken("it ends in the middle of a member: the writing was interrupted")
            room = min(_MOST_UNPACKED - len(text), left)
            try:
                piece = unpacker.decompress(packed, room + 1)
            except zlib.error as error:
                raise _Broken("a member cannot be unpacked") from error
            if len(piece) > room:
                raise _Broken("a member is out of bounds")
            text += piece
            left -= len(piece)
            packed = unpacker.unconsumed_tail
        packed = unpacker.unused_data
        yield bytes(text)


def _parts(line: bytes) -> int:
    """How many values it can hold."""
    return sum(map(line.count, (b"[", b"{", b",")))


def _item(line: bytes) -> Item:
    if _parts(line) > _MOST_PARTS:
        raise _Broken("a line is out of bounds")
    try:
        found = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise _Broken("a line is no JSON") from error
    if not isinstance(found, dict) or not isinstance(found.get("item"), str):
        raise _Broken("a line holds something else than an item")
    return found


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")
