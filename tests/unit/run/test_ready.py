"""The ready file: there when it is true, and never somebody else's file."""

import os
from pathlib import Path

import pytest

from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.run import ready


def test_it_holds_the_process_id(tmp_path: Path) -> None:
    path = tmp_path / "ready"
    ready.clear(path)
    ready.create(path)
    assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("content", ["", "4711\n", "4711"])
def test_one_that_an_earlier_run_left_is_taken_away_first(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ready"
    path.write_text(content)
    ready.refuse_bad_path(path)
    assert path.exists()
    ready.clear(path)
    assert not path.exists()


def test_nobody_elses_file_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "important"
    path.write_text("root:x:0:0\n")
    for action in (ready.refuse_bad_path, ready.clear):
        with pytest.raises(WrongUsage, match="holds something else"):
            action(path)
    with pytest.raises(WhydropError, match="File exists"):
        ready.create(path)
    assert path.read_text() == "root:x:0:0\n"


@pytest.mark.parametrize("there", ["file", "nothing"])
def test_no_link_is_followed(tmp_path: Path, there: str) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    if there == "file":
        target.write_text("")
    link.symlink_to(target)
    for action in (ready.refuse_bad_path, ready.clear):
        with pytest.raises(WrongUsage, match="not a plain file"):
            action(link)
    with pytest.raises(WhydropError, match="File exists"):
        ready.create(link)
    assert target.exists() is (there == "file")


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_only_a_plain_file_is_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ready"
    path.mkdir() if kind == "directory" else os.mkfifo(path)
    with pytest.raises(WrongUsage, match="not a plain file"):
        ready.clear(path)


def test_a_directory_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="there is no directory"):
        ready.refuse_bad_path(tmp_path / "missing" / "ready")
    with pytest.raises(WhydropError, match="No such file or directory"):
        ready.create(tmp_path / "missing" / "ready")


def test_a_file_where_a_directory_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WrongUsage, match="there is no directory"):
        ready.refuse_bad_path(tmp_path / "file" / "ready")
