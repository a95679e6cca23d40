"""Where namespaces are, found by one walk for all."""

import os
from pathlib import Path

import pytest

from dropwatch.host.netns import files
from dropwatch.host.netns.files import NamespaceFiles
from dropwatch.host.netns.netns import own_inode
from tests.unit.host.clock import Clock

OTHER = 4026499999


class Walks:
    """Counts them; each takes some seconds of the clock, and finds what a test put there."""

    def __init__(self, clock: Clock, seconds: int = 0) -> None:
        self.clock, self.seconds, self.count = clock, seconds, 0
        self.found: dict[int, Path] = {own_inode(): Path(f"/proc/{os.getpid()}/ns/net")}

    def __call__(self) -> dict[int, Path]:
        self.count += 1
        self.clock.now += self.seconds
        return dict(self.found)


@pytest.fixture
def clock() -> Clock:
    return Clock(1000)


def walks(monkeypatch: pytest.MonkeyPatch, clock: Clock, seconds: int = 0) -> Walks:
    made = Walks(clock, seconds)
    monkeypatch.setattr(files, "_walk", made)
    return made


def test_the_own_namespace_is_found_in_proc() -> None:
    found = NamespaceFiles().find(own_inode())
    assert found is not None
    assert found.stat().st_ino == own_inode()


def test_one_walk_serves_all(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    walked = walks(monkeypatch, clock)
    known = NamespaceFiles(clock)
    assert [known.find(own_inode()) for _ in range(1000)] == [walked.found[own_inode()]] * 1000
    assert walked.count == 1


def test_what_is_not_there_is_looked_for_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    walked = walks(monkeypatch, clock)
    known = NamespaceFiles(clock)
    for _ in range(600):
        assert known.find(OTHER) is None
        clock.now += 1
    assert 20 < walked.count < 30
    walked.found[OTHER] = walked.found[own_inode()]
    monkeypatch.setattr(files, "is_namespace", lambda path, inode: True)
    clock.now += 31
    assert known.find(OTHER) is not None


def test_a_new_name_is_seen_at_once_and_without_a_walk(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path
) -> None:
    """The kernel gives the inode of a namespace that is gone to the next one; a link stands for `ip netns`' mount."""
    monkeypatch.setattr(files, "NAMES_DIR", tmp_path)
    walked = walks(monkeypatch, clock, seconds=20)
    walked.found.clear()
    known = NamespaceFiles(clock)
    assert known.find(own_inode()) is None
    with pytest.raises(OSError, match="too many"):
        known.find(OTHER)
    (tmp_path / "blue").symlink_to(f"/proc/{os.getpid()}/ns/net")
    assert known.find(own_inode()) == tmp_path / "blue"
    os.utime(tmp_path, (0, 0))
    (tmp_path / "blue").rename(tmp_path / "green")
    os.utime(tmp_path, (1, 1))
    assert known.find(own_inode()) == tmp_path / "green"
    assert walked.count == 1


def test_names_are_not_read_again_while_they_are_the_same(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path
) -> None:
    monkeypatch.setattr(files, "NAMES_DIR", tmp_path)
    walks(monkeypatch, clock)
    os.utime(tmp_path, (1, 1))
    reads: list[Path] = []

    def none(directory: Path) -> list[Path]:
        reads.append(directory)
        return []

    monkeypatch.setattr(files, "entries", none)
    known = NamespaceFiles(clock)
    for _ in range(10):
        assert known.find(OTHER) is None
    assert len(reads) == 1


def test_walking_has_a_share_of_the_time(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    walked = walks(monkeypatch, clock, seconds=2)
    known = NamespaceFiles(clock)
    refused = 0
    for inode in range(10_000):
        clock.now += 1
        try:
            known.find(inode)
        except OSError:
            refused += 1
    assert walked.count + refused == 10_000
    assert walked.count * walked.seconds < 0.15 * (clock.now - 1000)


def test_no_more_is_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    walks(monkeypatch, clock)
    known = NamespaceFiles(clock)
    for inode in range(10_000):
        known.find(inode)
    assert len(known._missing) == 4096


def test_names_are_the_hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a container that sees the host's processes, or in a service with mounts of its own."""
    monkeypatch.setattr(files, "_PROC", tmp_path)
    own, host = Path("/run/netns"), tmp_path / "1/root/run/netns"
    assert files.of_host(Path("/run")) / "netns" == own
    for process in ("1", "self"):
        (tmp_path / process / "ns").mkdir(parents=True)
        (tmp_path / process / "ns/mnt").touch()
    assert files.of_host(Path("/run")) / "netns" == own, "it may not look into the other one"
    host.parent.mkdir(parents=True)
    assert files.of_host(Path("/run")) / "netns" == host
    (tmp_path / "self/ns/mnt").unlink()
    (tmp_path / "self/ns/mnt").hardlink_to(tmp_path / "1/ns/mnt")
    assert files.of_host(Path("/run")) / "netns" == own
