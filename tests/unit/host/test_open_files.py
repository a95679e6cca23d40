"""What a process has open."""

import os
from pathlib import Path

import pytest

from dropwatch.host.open_files import open_files


def test_an_open_file(tmp_path: Path) -> None:
    with (tmp_path / "kept").open("w") as kept:
        assert (str(kept.fileno()), str(tmp_path / "kept")) in open_files(Path("/proc/self"))


def test_of_a_process_that_has_ended() -> None:
    assert not list(open_files(Path("/proc/0")))


def test_a_file_closed_meanwhile_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    read_link = os.readlink

    def readlink(entry: "os.DirEntry[str]") -> str:
        if entry.path == f"/proc/{os.getpid()}/fd/{closed}":
            os.close(closed)
        return read_link(entry)

    closed = os.dup(0)
    kept, other = os.pipe()
    inode = os.fstat(kept).st_ino
    monkeypatch.setattr(os, "readlink", readlink)
    try:
        assert closed < kept  # the kernel lists them in their order
        targets = dict(open_files(Path(f"/proc/{os.getpid()}")))
    finally:
        os.close(kept)
        os.close(other)
    assert targets[str(kept)] == f"pipe:[{inode}]"
    assert str(closed) not in targets
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(closed)
