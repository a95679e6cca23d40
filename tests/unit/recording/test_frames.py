"""The container: what is cut or altered gives all that came before, and an error; a hostile one costs nothing."""

import struct
import zlib

import pytest

from dropwatch.errors import WrongUsage
from dropwatch.recording import frames
from dropwatch.recording.frames import MAGIC, Damaged, pack, read_items

ITEMS = [["start", {"a": 1}], ["event", "é\u202e", [1.5, None]], ["end", {}]]


def raw_frame(text, length=None, check=None, packed=None):
    packed = zlib.compress(text) if packed is None else packed
    length = len(text) if length is None else length
    return struct.pack("<III", len(packed), length, zlib.crc32(packed) if check is None else check) + packed


@pytest.fixture
def read(tmp_path):
    """What can be read of these bytes, and the error that ends it."""

    def run(data):
        path = tmp_path / "x.whydrop"
        path.write_bytes(data)
        found = []
        try:
            for item in read_items(path):
                found.append(item)
        except (Damaged, WrongUsage) as error:
            return found, error
        return found, None

    return run


def recording():
    """Three frames of one item, and where each ends."""
    data, ends = MAGIC, []
    for item in ITEMS:
        data += b"".join(pack([item]))
        ends.append(len(data))
    return data, ends


def test_there_and_back(read) -> None:
    data, _ = recording()
    assert read(data) == (ITEMS, None)
    assert read(MAGIC + b"".join(pack(ITEMS))) == (ITEMS, None)


def test_cut_anywhere_it_gives_the_whole_frames_before(read) -> None:
    data, ends = recording()
    for length in range(len(MAGIC), len(data)):
        found, error = read(data[:length])
        whole = sum(end <= length for end in ends)
        assert found == ITEMS[:whole]
        assert (error is None) == (length in (len(MAGIC), *ends))
        assert error is None or "the writing was interrupted" in error.message


def test_altered_anywhere_it_gives_the_frames_before(read) -> None:
    data, ends = recording()
    for at in range(len(MAGIC), len(data)):
        found, error = read(data[:at] + bytes((data[at] ^ 0x41,)) + data[at + 1 :])
        assert found == ITEMS[: sum(end <= at for end in ends)]
        assert isinstance(error, Damaged)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (struct.pack("<III", 0xFFFFFFFF, 1, 0), "out of bounds"),
        (struct.pack("<III", 1, 0xFFFFFFFF, 0), "out of bounds"),
        (raw_frame(b"[]", length=1), "cannot be unpacked"),
        (raw_frame(b"[]", length=3), "cannot be unpacked"),
        (raw_frame(b"[[1]]"), "something else than items"),
        (raw_frame(b'{"start": 1}'), "something else than items"),
        (raw_frame(b"[[]]"), "something else than items"),
        (raw_frame(b'[["a", NaN]]'), "cannot be unpacked"),
        (raw_frame(b"[" * 200000), "cannot be unpacked"),
        (raw_frame(b'[["a", ' + b"9" * 5000 + b"]]"), "cannot be unpacked"),
        (raw_frame(b"[]", packed=b"no zlib"), "cannot be unpacked"),
        (raw_frame(b"[]", packed=zlib.compress(b"[]") + b"more"), "cannot be unpacked"),
    ],
)
def test_hostile_frames(frame, why, read) -> None:
    found, error = read(MAGIC + b"".join(pack([["a"]])) + frame)
    assert found == [["a"]]
    assert why in error.message


def test_what_unpacks_to_more_than_it_says_is_not_unpacked(read) -> None:
    bomb = zlib.compress(b"[" + b" " * (1 << 25) + b"]", 9)
    found, error = read(MAGIC + raw_frame(b"", length=100, packed=bomb))
    assert (found, "cannot be unpacked" in error.message) == ([], True)


@pytest.mark.parametrize(
    ("data", "kind", "why"),
    [
        (b"", WrongUsage, "no recording"),
        (b"root:x:0:0", WrongUsage, "no recording"),
        (b"whydrop recording 2\nxxx", WrongUsage, "newer whydrop"),
        (b"whydrop recor", Damaged, "first line"),
        (b"\x0a\x0d\x0d\x0a" + bytes(20), WrongUsage, "is a capture"),
    ],
)
def test_other_files(data, kind, why, read) -> None:
    found, error = read(data)
    assert (found, type(error)) == ([], kind)
    assert why in error.message


def test_a_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(WrongUsage, match="there is no file"):
        list(read_items(tmp_path / "none"))
    with pytest.raises(WrongUsage, match="is a directory"):
        list(read_items(tmp_path))


def test_what_is_too_much_for_one_frame_becomes_several(read, monkeypatch) -> None:
    monkeypatch.setattr(frames, "_MOST_UNPACKED", 100)
    items = [["a", "x" * 40], ["b", "y" * 40], ["c", "z" * 200], ["d"]]
    packed = pack(items)
    assert len(packed) > 1
    assert read(MAGIC + b"".join(packed)) == ([items[0], items[1], items[3]], None)
