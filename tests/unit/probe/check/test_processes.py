"""A container without the host's processes is noticed: by what /proc shows of the kernel's own threads."""

from pathlib import Path

import pytest

from dropwatch.model.fact import Fact
from dropwatch.probe.check.processes import processes

KTHREADD = "Name:\tkthreadd\nState:\tS (sleeping)\nPPid:\t0\n"
PAUSE = "Name:\tkthreadd\nState:\tS (sleeping)\nPPid:\t0\nVmSize:\t  1028 kB\n"
DEAD = "Name:\tkthreadd\nState:\tZ (zombie)\nPPid:\t0\n"


def of(tmp_path: Path, status: str | None, own: str = "17", uid: int = 0) -> Fact:
    (tmp_path / "self").symlink_to(own)
    if status is not None:
        (tmp_path / "2").mkdir()
        (tmp_path / "2/status").write_text(status)
    return processes(tmp_path, 17, uid)


def test_the_host_has_threads_of_the_kernel(tmp_path: Path) -> None:
    assert of(tmp_path, KTHREADD) == Fact("processes", True, f"{tmp_path} shows those of the whole host")


@pytest.mark.parametrize("status", [PAUSE, DEAD, None, ""])
def test_a_container_does_not_whatever_its_second_process_is_called(
    tmp_path: Path, status: str | None
) -> None:
    fact = of(tmp_path, status)
    assert fact.works is False
    assert "container" in fact.text
    assert "who holds a socket" in fact.text
    assert fact.todo
    assert "--pid=host" in fact.todo


def test_a_proc_of_other_processes_is_told_apart(tmp_path: Path) -> None:
    fact = of(tmp_path, KTHREADD, own="4711")
    assert fact.works is False
    assert "not of the processes that whydrop is among" in fact.text


def test_who_may_not_see_it_does_not_know(tmp_path: Path) -> None:
    assert of(tmp_path, None, uid=1000).works is None


def test_none_of_it_keeps_whydrop_from_running() -> None:
    assert not processes().vital
