"""The file of --write: for its owner only, never through a link, never over something else."""

import errno
import gzip
import os
import stat
from pathlib import Path

import pytest

from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.recording.members import opening
from dropwatch.recording.new_file import NewFile, WholeFile, is_page, refuse_bad_path

OPENING = opening("0.2.0")


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        file = NewFile(tmp_path / "x.whydrop")
    finally:
        os.umask(old)
    file.write(b"ab")
    file.write(b"cd")
    file.close()
    file.close()
    assert stat.S_IMODE((tmp_path / "x.whydrop").stat().st_mode) == 0o600
    assert (tmp_path / "x.whydrop").read_bytes() == b"abcd"


def test_a_full_disk_is_told_and_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = NewFile(tmp_path / "x.whydrop")
    file.write(b"ab")
    assert file.failure is None
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        file.write(b"cd")
    file.write(b"ef")  # there would be room again, but a hole would be before it
    assert file.failure is not None
    assert file.failure.message.endswith("cannot be written: No space left on device")
    assert (tmp_path / "x.whydrop").read_bytes() == b"ab"
    with pytest.raises(WhydropError, match="No space left on device"):
        file.close()
    file.close()


@pytest.mark.parametrize(
    ("name", "content", "replaced"),
    [
        ("x.whydrop", b"", True),
        ("x.whydrop", OPENING + b"...", True),
        ("x.whydrop", b"whydrop recording 1\n", True),
        ("x.whydrop", gzip.compress(b"my diary\n", mtime=0), False),
        ("x.whydrop", b"my diary", False),
        ("x.whydrop", b"\x0a\x0d\x0d\x0a ... whydrop 0.1", False),
        ("x.pcapng", b"\x0a\x0d\x0d\x0a ... whydrop 0.1", True),
        ("x.pcapng", b"\x0a\x0d\x0d\x0a ... dumpcap", False),
        ("x.pcapng", OPENING, False),
    ],
)
def test_what_may_be_replaced(name: str, content: bytes, replaced: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    path.chmod(0o644)
    if not replaced:
        with pytest.raises(WrongUsage, match="holds something else"):
            NewFile(path)
        assert path.read_bytes() == content
        return
    NewFile(path).close()
    assert path.read_bytes() == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_link_is_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(OPENING)
    for link_to in (target, tmp_path / "nothing"):
        link = tmp_path / "link.whydrop"
        link.symlink_to(link_to)
        with pytest.raises(WrongUsage, match="not a plain file"):
            NewFile(link)
        link.unlink()
    assert target.read_bytes() == OPENING
    assert not (tmp_path / "nothing").exists()


def test_a_dash_is_no_file() -> None:
    with pytest.raises(WrongUsage, match="--write -: standard output has the findings"):
        refuse_bad_path(Path("-"))


@pytest.mark.parametrize(
    ("name", "why"),
    [("no/x", "no directory"), (".", "not a plain file"), ("x.pcap", "no place for comments")],
)
def test_where_it_cannot_be(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=why):
        refuse_bad_path(tmp_path / name)


PAGE = b'<!doctype html>\n<html lang="en">\n<meta name="generator" content="whydrop 0.2.0">\n'


def test_a_page_is_there_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.html"
    path.write_bytes(PAGE)
    file = WholeFile(path)
    assert [path.name for path in tmp_path.iterdir()] == ["x.html"], "nothing of it before it is written"
    assert path.read_bytes() == PAGE

    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(WhydropError, match=r"x\.html: cannot be written: No space left on device"):
            file.write(b"new")
    assert path.read_bytes() == PAGE
    file.write(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["x.html"]
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_that_somebody_puts_there_meanwhile_is_not_followed(tmp_path: Path) -> None:
    path, theirs = tmp_path / "x.html", tmp_path / "theirs"
    theirs.write_bytes(b"theirs")
    file = WholeFile(path)
    path.symlink_to(theirs)
    file.write(b"new")
    assert not path.is_symlink()
    assert theirs.read_bytes() == b"theirs"


def test_where_no_page_can_be_is_told_before_the_run(tmp_path: Path) -> None:
    other = tmp_path / "x.html"
    other.write_bytes(b"<!doctype html>\n<p>my diary")
    with pytest.raises(WrongUsage, match=r"--output .*x\.html: is there already and holds something else"):
        WholeFile(other, "--output")
    other.unlink()
    other.symlink_to(tmp_path / "nowhere")
    with pytest.raises(WrongUsage, match="is not a plain file"):
        WholeFile(other)
    with pytest.raises(WhydropError, match="cannot be created"):
        WholeFile(Path("/proc/x.html"))


@pytest.mark.parametrize(
    ("name", "page"), [("a.html", True), ("a.HTM", True), ("a.pcapng", False), ("html", False)]
)
def test_a_page_is_asked_for_by_its_name(name: str, page: bool) -> None:
    assert is_page(Path(name)) == page
