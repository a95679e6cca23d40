"""How full conntrack's table is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dropwatch.host import conntrack
from dropwatch.host.conntrack import read_table
from dropwatch.host.netns.netns import own_inode

Write = Callable[..., None]


@pytest.fixture
def sysctls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setattr(conntrack, "_SYSCTLS", tmp_path)

    def write(**values: int) -> None:
        for name, value in values.items():
            (tmp_path / name).write_text(f"{value}\n")

    return write


def test_count_and_limit(sysctls: Write) -> None:
    sysctls(nf_conntrack_count=7, nf_conntrack_max=8)
    table = read_table(own_inode())
    assert table is not None
    assert (table.count, table.max, table.own_max) == (7, 8, 8)
    assert table.read_at_ns > 0


def test_where_conntrack_is_not_loaded(sysctls: Write) -> None:
    assert read_table(own_inode()) is None


def test_a_namespace_that_is_gone(sysctls: Write) -> None:
    with pytest.raises(FileNotFoundError):
        read_table(1)
