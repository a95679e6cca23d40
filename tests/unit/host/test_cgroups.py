"""A cgroup's path names the unit, the container and the pod; its number leads to the path."""

import errno
import os
from pathlib import Path

import pytest

from dropwatch.host import cgroups
from dropwatch.host.cgroups import Workload, placed, read_path, read_path_of, workload
from dropwatch.host.host import Host
from dropwatch.model.drop import Process
from tests.unit.told_host import ToldHost

ID = "0123456789abcdef" * 4
OTHER = "f" * 64
UID = "0b5e8f3c-91d2-4c7b-8d4e-6a2f1c9b7e55"
SLICE = f"kubepods-burstable-pod{UID.replace('-', '_')}.slice"
PATHS = {
    "/": Workload(),
    "/user.slice": Workload(),
    "/init.scope": Workload("init.scope"),
    "/system.slice/nginx.service": Workload("nginx.service"),
    "/system.slice/system-getty.slice/getty@tty1.service": Workload("getty@tty1.service"),
    "/user.slice/user-1000.slice/session-3.scope": Workload("session-3.scope"),
    "/user.slice/user-1000.slice/user@1000.service/app.slice/foot.service": Workload("foot.service"),
    "/system.slice/_cgroup.service": Workload("cgroup.service"),
    "/system.slice/.service": Workload(),
    f"/docker/{ID}": Workload(container=ID),
    f"/system.slice/docker-{ID}.scope": Workload(f"docker-{ID}.scope", ID),
    f"/system.slice/docker-{ID}.scope/system.slice/sshd.service": Workload("sshd.service", ID),
    f"/docker/{OTHER}/kubelet/kubepods/besteffort/pod{UID}/{ID}": Workload(None, ID, UID),
    f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/cri-containerd-{ID}.scope": Workload(
        f"cri-containerd-{ID}.scope", ID, UID
    ),
    f"/kubepods.slice/{SLICE}/crio-{ID}": Workload(None, ID, UID),
    f"/kubepods.slice/{SLICE}/crio-conmon-{ID}.scope": Workload(f"crio-conmon-{ID}.scope", None, UID),
    f"/system.slice/containerd.service/{SLICE}:cri-containerd:{ID}": Workload("containerd.service", ID, UID),
    f"/kubepods/besteffort/pod{'0a' * 16}/{ID}": Workload(None, ID, "0a" * 16),
    f"/machine.slice/libpod-{ID}.scope/container": Workload(f"libpod-{ID}.scope", ID),
    f"/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope": Workload(
        f"libpod-{ID}.scope", ID, OTHER
    ),
    f"/machine.slice/libpod-conmon-{ID}.scope": Workload(f"libpod-conmon-{ID}.scope"),
    "/lxc.payload.web/system.slice/cron.service": Workload("cron.service", "web"),
    "/machine.slice/systemd-nspawn@web.service/payload": Workload("systemd-nspawn@web.service", "web"),
    "/machine.slice/machine-qemu\\x2d1\\x2dweb.scope": Workload("machine-qemu\\x2d1\\x2dweb.scope"),
    f"/{ID}0": Workload(),
    f"/podcast-{UID}": Workload(),
}


@pytest.mark.parametrize("path", PATHS)
def test_what_a_path_names(path: str) -> None:
    assert workload(path) == PATHS[path]


def test_who_is_known_in_part() -> None:
    names = ToldHost()
    assert placed(None, None, names) is None
    assert placed(None, "/user.slice", names) is None
    assert placed(Process(812, "nginx"), None, names) == Process(812, "nginx")
    assert placed(Process(812, "nginx"), "/system.slice/web.service", names) == Process(
        812, "nginx", "web.service"
    )
    assert placed(None, f"/docker/{ID}", names) == Process(None, None, None, ID)


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where cgroups seem to be: below `cg`."""
    table = tmp_path / "mountinfo"
    there = tmp_path / "cg"
    there.mkdir()
    table.write_text(
        f"24 1 0:21 / /proc rw - proc proc rw\n33 1 0:28 / {there} rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
    )
    monkeypatch.setattr(cgroups, "_MOUNTS", table)
    return there


def test_the_path_of_a_number(mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (mounted / "a\n.service").mkdir()
    numbers: list[int] = []

    def opened(mount: int, number: int) -> int:
        numbers.append(number)
        return os.open(mounted / "a\n.service", os.O_RDONLY)

    monkeypatch.setattr(cgroups, "_opened", opened)
    before = set(Path("/proc/self/fd").iterdir())
    assert read_path(4711) == "/a\\x0a.service"
    assert numbers == [4711]
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_no_hierarchy_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_text("30 1 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n")
    monkeypatch.setattr(cgroups, "_MOUNTS", table)
    assert read_path(1) is None


def test_one_that_is_gone_is_asked_for_once(mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def opened(mount: int, number: int) -> int:
        asked.append(number)
        raise FileNotFoundError(errno.ESTALE, "gone")

    monkeypatch.setattr(cgroups, "_opened", opened)
    host = Host()
    assert [host.cgroup(4711), host.cgroup(4711)] == [None, None]
    assert asked == [4711]
    assert host.blind_spots == ()


def test_who_may_not_open_them_is_told_so(mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(mount: int, number: int) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(cgroups, "_opened", opened)
    host = Host()
    assert host.cgroup(4711) is None
    assert host.blind_spots == ("cgroup: Operation not permitted",)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/nginx.service\n", "/system.slice/nginx.service"),
        ("4:memory:/x\n1:name=systemd:/system.slice/a.service\n0::/\n", "/system.slice/a.service"),
        ("4:memory,cpu:/x\n", "/"),
        ("", "/"),
    ],
)
def test_the_cgroup_of_a_process_is_read(
    text: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "812").mkdir()
    (tmp_path / "812" / "cgroup").write_text(text)
    monkeypatch.setattr(cgroups, "_PROC", tmp_path)
    assert read_path_of(812) == path
    assert read_path_of(813) == ""


def test_this_process_has_one() -> None:
    assert read_path_of(os.getpid()).startswith("/")
