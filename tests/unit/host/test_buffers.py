"""The limit of receive buffers is that of the host, as sysctl shows it."""

from pathlib import Path

import pytest

from dropwatch.host import buffers
from dropwatch.host.host import Host


def test_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "_RMEM_MAX", tmp_path / "rmem_max")
    (tmp_path / "rmem_max").write_text("4194304\n")
    monkeypatch.setattr("dropwatch.host.question.owner", lambda inode: None)
    assert Host().rmem_max(4026531840, 1) == 4194304


def test_where_it_is_not_shown_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "_RMEM_MAX", tmp_path / "rmem_max")
    host = Host()
    assert host.rmem_max(4026531840, 1) is None
    assert host.blind_spots == ()
