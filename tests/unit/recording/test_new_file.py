"""The file of --write: for its owner only, never through a link, never over something else."""

import errno
import gzip
import os
import stat
from pathlib import Path

import pytest

from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.recording.members import opening
from dropwatch.recording.new_file import NewFile, refuse_bad_path

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


@pytest.mark.parametrize(
    ("name", "why"),
    [("no/x", "no directory"), (".", "not a plain file"), ("x.pcap", "no place for comments")],
)
def test_where_it_cannot_be(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=why):
        refuse_bad_path(tmp_path / name)
