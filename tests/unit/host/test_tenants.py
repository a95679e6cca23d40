"""Whose processes are in a namespace."""

import os
from pathlib import Path

import pytest

from dropwatch.host import tenants
from dropwatch.host.cgroups import Workload
from dropwatch.host.host import Host
from dropwatch.host.netns import files
from dropwatch.host.netns.files import NamespaceFiles
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.tenants import Tenants
from tests.unit.host.clock import Clock

ID, NEXT = "3f" * 32, "7c" * 32
HERE = f"/proc/{os.getpid()}/ns/net"


class Groups:
    """In which cgroup each process is: as long as nobody says otherwise, in that of a container."""

    def __init__(self) -> None:
        self.path = f"/system.slice/docker-{ID}.scope"
        self.asked: list[int] = []

    def __call__(self, pid: int) -> str:
        self.asked.append(pid)
        return self.path


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Groups:
    made = Groups()
    monkeypatch.setattr(tenants, "read_path_of", made)
    monkeypatch.setattr(files, "_files_of_processes", lambda: iter([HERE]))
    return made


def test_the_container_of_a_process_in_it(groups: Groups) -> None:
    found = Tenants()
    for _ in range(3):
        assert found.find(own_inode(), 5) == Workload(f"docker-{ID}.scope", ID)
    assert groups.asked == [os.getpid()]


def test_one_that_has_got_its_number_since(groups: Groups) -> None:
    found = Tenants()
    assert found.find(own_inode(), 5) == Workload(f"docker-{ID}.scope", ID)
    groups.path = f"/system.slice/docker-{NEXT}.scope"
    assert found.find(own_inode(), 6) == Workload(f"docker-{NEXT}.scope", NEXT)


def test_a_process_that_is_being_put_into_a_container(groups: Groups) -> None:
    clock = Clock(100)
    found = Tenants(clock)
    there, groups.path = groups.path, "/system.slice/containerd.service"
    for _ in range(2):
        assert found.find(own_inode(), None) == Workload("containerd.service")
    groups.path = there
    clock.now += 1
    assert found.find(own_inode(), None) == Workload(f"docker-{ID}.scope", ID)
    assert len(groups.asked) == 2


def test_nobody_is_in_it(groups: Groups) -> None:
    assert Tenants().find(1, None) is None
    assert not groups.asked


def test_a_name_is_not_a_process(groups: Groups, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As runtimes of Kubernetes name each namespace."""
    (tmp_path / "cni-0f3c1a2b").symlink_to(HERE)
    monkeypatch.setattr(files, "NAMES_DIR", tmp_path)
    assert NamespaceFiles().find(own_inode()) == tmp_path / "cni-0f3c1a2b"
    assert Tenants().find(own_inode(), None) == Workload(f"docker-{ID}.scope", ID)


def test_memory_is_bounded(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenants, "_MOST", 3)
    monkeypatch.setattr(NamespaceFiles, "find", lambda self, inode: Path(HERE))
    found = Tenants()
    for inode in range(10):
        assert found.find(inode, None) == Workload(f"docker-{ID}.scope", ID)
    assert len(found._known) == 3


def test_the_host_asks_it(groups: Groups) -> None:
    host = Host()
    assert host.container_of_namespace(own_inode()) == Workload(f"docker-{ID}.scope", ID)
    assert host.blind_spots == ()
