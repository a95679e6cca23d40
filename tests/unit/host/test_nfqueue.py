"""Who listens to which packet queue."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dropwatch.host import nfqueue
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.nfqueue import read_queues

HEAD = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"


Write = Callable[..., None]


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setattr(nfqueue, "_QUEUES", tmp_path / "queues")
    monkeypatch.setattr(nfqueue, "_SOCKETS", tmp_path / "sockets")

    def write(queues: str, sockets: str = "") -> None:
        (tmp_path / "queues").write_text(queues)
        (tmp_path / "sockets").write_text(HEAD + sockets)

    return write


def test_none_where_the_module_is_not_loaded(tables: Write) -> None:
    assert read_queues(own_inode()) == ()


def test_a_queue_and_its_process(tables: Write) -> None:
    with socket.socket() as held:
        inode = os.fstat(held.fileno()).st_ino
        tables(
            "    5    812   1024 2 65531     7     2    3007  1\n    6    813      0 2 65531     0     0       0  1\n",
            f"0000000000000000 0   812   00000000 0 0 0 2 0 1\n0000000000000000 12  812   00000000 0 0 0 2 0 {inode}\n",
        )
        heard, unknown = read_queues(own_inode())
    assert (heard.number, heard.portid, heard.waiting) == (5, 812, 1024)
    assert (heard.dropped_full, heard.dropped_unsent) == (7, 2)
    assert heard.process is not None
    assert heard.process.pid == os.getpid()
    assert (unknown.number, unknown.process) == (6, None)


def test_a_namespace_that_is_gone(tables: Write) -> None:
    with pytest.raises(FileNotFoundError):
        read_queues(1)
