"""The container: what is cut or altered gives all that came before, and an error; a hostile one costs nothing."""

import gzip
import json
import shutil
import struct
import subprocess
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.recording import members
from dropwatch.recording.members import LOOKED_AT, Damaged, Item, is_recording, opening, pack, read_items

OPENING = opening("0.2.0")
ITEMS: list[Item] = [
    {"item": "start", "a": 1},
    {"item": "event", "b": ["é\u202e", 1.5, None]},
    {"item": "end"},
]
HEADER_EXTRA, HEADER_NAME, HEADER_COMMENT = 4, 8, 16  # FLG of RFC 1952

Read = Callable[[bytes], tuple[list[Item], WhydropError | None]]


def member(text: bytes, flags: int = 0, header: bytes = b"") -> bytes:
    """As another writer of gzip would make it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(text) + packer.flush()
    start = b"\x1f\x8b\x08" + bytes((flags, 0, 0, 0, 0, 0, 3)) + header
    return start + packed + struct.pack("<II", zlib.crc32(text), len(text) & 0xFFFFFFFF)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """What can be read of these bytes, and the error that ends it."""

    def run(data: bytes) -> tuple[list[Item], WhydropError | None]:
        path = tmp_path / "x.whydrop"
        path.write_bytes(data)
        found = []
        try:
            for item in read_items(path):
                found.append(item)
        except WhydropError as error:
            return found, error
        return found, None

    return run


def recording() -> tuple[bytes, list[int]]:
    """Three members of one item, and where each ends."""
    data, ends = OPENING, []
    for item in ITEMS:
        data += b"".join(pack([item]))
        ends.append(len(data))
    return data, ends


def test_there_and_back(read: Read) -> None:
    data, _ = recording()
    assert read(data) == (ITEMS, None)
    assert read(OPENING + b"".join(pack(ITEMS))) == (ITEMS, None)


def test_every_reader_of_gzip_and_json_can_read_it() -> None:
    data, _ = recording()
    first, *lines = map(json.loads, gzip.decompress(data).splitlines())
    assert first == {"format": "whydrop recording", "version": 2, "program": "0.2.0"}
    assert lines == ITEMS


def test_zcat_and_jq_read_it_however_it_ended(tmp_path: Path) -> None:
    """The name ends in no .gz, and whoever wrote it was killed in the middle."""
    assert shutil.which("zcat")
    assert shutil.which("jq"), "make setup installs it"
    data, ends = recording()
    path = tmp_path / "x.whydrop"
    for length, kinds in ((len(data), '"start"\n"event"\n"end"\n'), (ends[1] + 5, '"start"\n"event"\n')):
        path.write_bytes(data[:length])
        command = f"zcat {path} | jq 'select(.item).item'"
        told = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        assert told.stdout == kinds
        assert ("unexpected end of file" in told.stderr) == (length < len(data))


def test_what_others_have_packed_anew_can_be_read(read: Read) -> None:
    """One member for all of it, as `zcat x | jq -c . | gzip` makes, with the name of a file in its header."""
    text = gzip.decompress(recording()[0])
    assert read(gzip.compress(text)) == (ITEMS, None)
    assert read(member(text, HEADER_NAME | HEADER_COMMENT, b"x.whydrop\0of today\0")) == (ITEMS, None)


def test_a_header_may_be_long_but_not_the_first(read: Read) -> None:
    text = gzip.decompress(b"".join(pack(ITEMS)))
    extra, name = b"\xff\xff" + bytes(0xFFFF), b"x" * (1 << 20) + b"\0"
    assert read(OPENING + member(text, HEADER_EXTRA | HEADER_NAME, extra + name)) == (ITEMS, None)
    found, error = read(member(gzip.decompress(OPENING) + text, HEADER_EXTRA, extra))
    assert (found, type(error)) == ([], WrongUsage)


def test_cut_anywhere_it_gives_the_whole_members_before(read: Read) -> None:
    data, ends = recording()
    for length in range(len(OPENING), len(data)):
        found, error = read(data[:length])
        whole = sum(end <= length for end in ends)
        assert found == ITEMS[:whole]
        assert (error is None) == (length in (len(OPENING), *ends))
        assert error is None or "the writing was interrupted" in error.message


def test_altered_anywhere_it_gives_the_members_before(read: Read) -> None:
    """What says nothing (time, system) may be altered: then all is there."""
    data, ends = recording()
    harmless = {end + at for end in (len(OPENING), *ends) for at in range(4, 10)}
    for at in range(len(OPENING), len(data)):
        found, error = read(data[:at] + bytes((data[at] ^ 0x42,)) + data[at + 1 :])
        if at in harmless:
            assert (found, error) == (ITEMS, None)
        else:
            assert found == ITEMS[: sum(end <= at for end in ends)]
            assert isinstance(error, Damaged)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (member(b""), "in the middle of a line"),
        (member(b'{"item":"a"}'), "in the middle of a line"),
        (member(b"[1]\n"), "something else than an item"),
        (member(b'{"a":"item"}\n'), "something else than an item"),
        (member(b'{"item":["a"]}\n'), "something else than an item"),
        (member(b"\n"), "no JSON"),
        (member(b'{"item":"a","b":NaN}\n'), "no JSON"),
        (member(b'{"item":"a","b":-Infinity}\n'), "no JSON"),
        (member(b'{"item":"a","b":' + b"[" * 40_000 + b"\n"), "no JSON"),
        (member(b'{"item":"a","b":' + b'{"c":' * 40_000 + b"\n"), "no JSON"),
        (member(b'{"item":"a","b":' + b"9" * 5000 + b"}\n"), "no JSON"),
        (member('{"item":"a"}'.encode("utf-16-be") + b"\n"), "no JSON"),
        (member(b'{"item":"\xff"}\n'), "no JSON"),
        (member(b'{"item":"a"}\n', flags=0xE0), "cannot be unpacked"),
        (member(b'{"item":"a"}\n')[:-8] + bytes(8), "cannot be unpacked"),
        (b"no gzip", "cannot be unpacked"),
        (bytes(512), "cannot be unpacked"),
        (b"\x1f\x8b\x08\x08" + bytes(6) + b"a name without an end", "interrupted"),
    ],
)
def test_hostile_members(more: bytes, why: str, read: Read) -> None:
    found, error = read(OPENING + b"".join(pack([{"item": "a"}])) + more)
    assert found == [{"item": "a"}]
    assert isinstance(error, Damaged)
    assert why in error.message
    assert "after line 2:" in error.message


def test_lines_before_a_bad_one_are_read(read: Read) -> None:
    found, error = read(OPENING + member(b'{"item":"a"}\n{"item":"b"}\n{"item":\n{"item":"c"}\n'))
    assert found == [{"item": "a"}, {"item": "b"}]
    assert isinstance(error, Damaged)


def test_what_unpacks_to_too_much_is_not_unpacked(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen million bytes in sixteen thousand: little more than the bound is ever held."""
    monkeypatch.setattr(members, "_MOST_UNPACKED", 1 << 16)
    bomb = OPENING + member(b'{"item":"' + b"x" * (1 << 24) + b'"}\n')
    tracemalloc.start()
    found, error = read(bomb)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found, error is not None and "out of bounds" in error.message) == ([], True)
    assert most < 1 << 20


@pytest.mark.parametrize(
    "text",
    [
        b'{"item":"a"}\n' * 3_000_000,
        b'{"item":"a","b":[' + b"{}," * 10_000_000 + b"0]}\n",
        b'{"item":"' + b"x" * (1 << 24) + b'"}\n',
    ],
)
def test_a_file_unpacks_to_no_more_than_an_honest_one_of_its_size(text: bytes, read: Read) -> None:
    data = OPENING + member(text)
    found, error = read(data)
    assert len(found) <= 64 * len(data)
    assert isinstance(error, Damaged)
    assert "out of bounds" in error.message


def test_many_members_have_one_bound(read: Read) -> None:
    found, error = read(OPENING + member(b'{"item":"a"}\n' * 10_000) * 100)
    assert 10_000 <= len(found) < 200_000  # of a million
    assert isinstance(error, Damaged)


def test_a_line_has_no_more_values_than_memory_can_hold(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_MOST_PARTS", 1000)
    fits, too_many = ({"item": "a", "b": [0] * count} for count in (900, 1100))
    assert read(OPENING + b"".join(pack([fits, too_many]))) == ([fits], None)
    found, error = read(OPENING + member(json.dumps(too_many).encode() + b"\n"))
    assert found == []
    assert isinstance(error, Damaged)


def test_what_we_write_can_be_read_however_much_it_repeats(read: Read) -> None:
    items: list[Item] = [{"item": "a", "x": "x" * 100}] * 50_000
    assert read(OPENING + b"".join(pack(items))) == (items, None)


@pytest.mark.parametrize(
    ("data", "kind", "why"),
    [
        (b"", WrongUsage, "no recording"),
        (b"root:x:0:0", WrongUsage, "no recording"),
        (member(b"root:x:0:0\n" * 99), WrongUsage, "no recording"),
        (
            member(b'{"format":"whydrop recording","version":"x","program":"y"}\n'),
            WrongUsage,
            "no recording",
        ),
        (member(b"[" * 100_000 + b"\n"), WrongUsage, "no recording"),
        (member(b"root:x:0:0")[:-10], WrongUsage, "no recording"),
        (OPENING[:1], Damaged, "ends in its first line"),
        (OPENING[:30], Damaged, "ends in its first line"),
        (OPENING[:-9], Damaged, "interrupted"),
        (b"\x0a\x0d\x0d\x0a" + bytes(20), WrongUsage, "is a capture"),
    ],
)
def test_other_files(data: bytes, kind: type[WhydropError], why: str, read: Read) -> None:
    found, error = read(data)
    assert (found, type(error)) == ([], kind)
    assert error is not None
    assert why in error.message


def test_other_versions_say_which_whydrop_reads_them(read: Read) -> None:
    _, old = read(b"whydrop recording 1\nxxx")
    newer_line = b'{"format":"whydrop recording","version":3,"program":"0.9.1"}\n'
    _, newer = read(member(newer_line) + b"what nobody knows yet")
    assert isinstance(old, WrongUsage)
    assert old.message.endswith("was made by whydrop 0.1: this one reads recordings of format 2")
    assert old.hint.startswith("whydrop 0.1 reads it")
    assert isinstance(newer, WrongUsage)
    assert newer.message.endswith("was made by whydrop 0.9.1: this one reads recordings of format 2")
    assert newer.hint.startswith("whydrop 0.9.1 reads it")


@pytest.mark.parametrize(
    ("start", "answer"),
    [
        (OPENING, True),
        (b"whydrop recording 1\n", True),
        (OPENING[:30], False),
        (member(b"x\n"), False),
    ],
)
def test_what_is_ours(start: bytes, answer: bool) -> None:
    assert is_recording(start[:LOOKED_AT]) == answer


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="there is no file"):
        list(read_items(tmp_path / "none"))
    with pytest.raises(WrongUsage, match="is a directory"):
        list(read_items(tmp_path))


def test_what_is_too_much_for_one_member_becomes_several(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_MOST_UNPACKED", 100)
    items: list[Item] = [{"item": "a", "x": "x" * size} for size in (40, 40, 200, 1)]
    packed = list(pack(items))
    assert len(packed) == 2
    assert read(OPENING + b"".join(packed)) == ([items[0], items[1], items[3]], None)
