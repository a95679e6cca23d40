"""A pod is called what the directory of its logs is: right after another took its place, and a while after it went."""

from pathlib import Path

import pytest

from dropwatch.host import pods
from dropwatch.host.cgroups import placed
from dropwatch.host.host import Host
from dropwatch.host.pods import Pod, Pods
from dropwatch.model.drop import Process
from tests.unit.told_host import ToldHost

UID, NEXT = "0b5e8f3c-91d2-4c7b-8d4e-6a2f1c9b7e55", "5d1b7a20-0000-4c7b-8d4e-6a2f1c9b7e56"
STATIC = "0a" * 16  # of a file of the kubelet's
ID = "0123456789abcdef" * 4
SLICE = f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice"
PATHS = {  # of the socket of a pod's container, as each runtime makes it
    "containerd": f"{SLICE}/cri-containerd-{ID}.scope",
    "CRI-O": f"{SLICE}/crio-{ID}.scope",
    "docker": f"{SLICE}/docker-{ID}.scope",
    "cgroupfs": f"/kubepods/burstable/pod{UID}/{ID}",
    "containerd without systemd's driver": f"/system.slice/containerd.service/{SLICE[16:]}:cri-containerd:{ID}",
}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    there = tmp_path / "pods"
    there.mkdir()
    monkeypatch.setattr(pods, "_LOGS", there)
    return there


def test_the_name_is_that_of_the_directory(logs: Path) -> None:
    (logs / f"shop_cart-6f5d9b9c7-x2x4z_{UID}" / "cart").mkdir(parents=True)
    (logs / f"kube-system_etcd-node-1_{STATIC}").mkdir()
    (logs / "lost+found").mkdir()
    found = Pods()
    assert found.find(UID) == Pod("cart-6f5d9b9c7-x2x4z", "shop")
    assert found.find(STATIC) == Pod("etcd-node-1", "kube-system")
    assert found.find(NEXT) is None


def test_one_that_takes_the_place_of_another(logs: Path) -> None:
    """A new pod has another uid, and its directory before its first packet. Of the old one some still die."""
    clock = Clock()
    found = Pods(clock)
    old = logs / f"shop_cart-0_{UID}"
    old.mkdir()
    assert found.find(UID) == Pod("cart-0", "shop")
    old.rmdir()
    (logs / f"shop_cart-0-new_{NEXT}").mkdir()
    clock.now += 1.0
    assert found.find(NEXT) == Pod("cart-0-new", "shop")
    assert found.find(UID) == Pod("cart-0", "shop")


def test_who_is_not_there_is_looked_for_once_a_second(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, looked = Clock(), []
    monkeypatch.setattr(Pods, "_look", lambda self: looked.append(clock.now))
    found = Pods(clock)
    for now in (100.0, 100.2, 100.9, 101.0, 101.5, 102.0):
        clock.now = now
        assert found.find(UID) is None
    assert looked == [100.0, 101.0, 102.0]


def test_memory_is_bounded(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pods, "_MOST", 3)
    for number in range(10):
        (logs / f"n_p{number}_{number:032x}").mkdir()
    found = Pods()
    found.find(UID)
    assert len(found._known) == 3


def test_a_host_without_kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pods, "_LOGS", tmp_path / "missing")
    assert Pods().find(UID) is None
    host = Host()
    assert host.pod(UID) is None
    assert host.blind_spots == ()


def test_a_name_that_means_no_good(logs: Path) -> None:
    (logs / f"shop_\x1b[31mred\n_{UID}").mkdir()
    found = Pods().find(UID)
    assert found is not None
    assert found.name.isprintable()


@pytest.mark.parametrize("runtime", PATHS)
def test_whose_socket_it_is(runtime: str) -> None:
    host = ToldHost(pod=lambda uid: Pod("cart-0", "shop") if uid == UID else None)
    found = placed(Process(812, "cart"), PATHS[runtime], host)
    assert found is not None
    assert (found.container, found.pod, found.pod_name, found.pod_namespace) == (ID, UID, "cart-0", "shop")


def test_no_pod_is_not_asked_for() -> None:
    host = ToldHost()
    assert placed(Process(812, "nginx"), f"/docker/{ID}", host) == Process(812, "nginx", None, ID)
    assert host.asked.keys() == {"container"}
