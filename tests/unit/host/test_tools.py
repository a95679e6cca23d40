"""Running tools of the system."""

import time
from pathlib import Path

import pytest

from dropwatch.host.tools import ToolFailed, find, run


def tool(name: str) -> str:
    path = find(name)
    assert path is not None
    return path


def test_the_answer_is_what_it_writes() -> None:
    assert run([tool("echo"), "a  b", "ü"], 10) == "a  b ü\n"


def test_only_the_fixed_directories_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_text("#!/bin/sh\n")
    (tmp_path / "mine").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find("mine") is None
    assert find("no-such-tool-anywhere") is None
    assert tool("sh").startswith("/")


def test_nothing_of_the_caller_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_X", "evil")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    words = run([tool("env")], 10).splitlines()
    assert "LC_ALL=C" in words
    assert not [word for word in words if word.startswith("LD_PRELOAD_X")]
    assert run([tool("sh"), "-c", "pwd; cat"], 10) == "/\n"


def test_its_complaint_is_told() -> None:
    with pytest.raises(ToolFailed, match=r"`sh -c .*` failed: no such table$") as caught:
        run([tool("sh"), "-c", "echo; echo no such table >&2; exit 3"], 10)
    assert caught.value.status == 3
    with pytest.raises(ToolFailed, match="exit status 4"):
        run([tool("sh"), "-c", "exit 4"], 10)


def test_what_cannot_be_run_is_no_missing_namespace() -> None:
    with pytest.raises(ToolFailed, match="cannot be run") as caught:
        run(["/nowhere/nft", "list", "tables"], 10)
    assert not isinstance(caught.value, FileNotFoundError)


def test_it_may_not_take_for_ever() -> None:
    before = time.monotonic()
    with pytest.raises(ToolFailed, match="in time"):
        run([tool("sleep"), "60"], 0.2)
    with pytest.raises(ToolFailed, match="in time"):
        run([tool("sh"), "-c", "exec >&- 2>&-; exec sleep 60"], 0.2)
    assert time.monotonic() - before < 30


def test_it_may_not_answer_without_end() -> None:
    with pytest.raises(ToolFailed, match="MiB"):
        run([tool("cat"), "/dev/zero"], 60)


def test_no_descriptor_stays_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    run([tool("true")], 10)
    with pytest.raises(ToolFailed):
        run([tool("false")], 10)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
