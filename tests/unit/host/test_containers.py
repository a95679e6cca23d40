"""A container is called what the files of its runtime say, as each runtime writes them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dropwatch.host import containers
from dropwatch.host.cgroups import Workload, placed, tenant
from dropwatch.host.containers import Container, Containers
from dropwatch.host.host import Host
from dropwatch.host.pods import Pod
from dropwatch.model.drop import Process
from tests.unit.host.clock import Clock
from tests.unit.told_host import ToldHost

ID, NEXT = "3f" * 32, "7c" * 32
UID = "0b5e8f3c-91d2-4c7b-8d4e-6a2f1c9b7e55"
IN_POD = f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope"
CART = Container("cart", "cart-0", "shop")
SANDBOX = Container(None, "cart-0", "shop")


def docker(which: str, name: str) -> dict[str, Any]:
    """Labels are an image's, too."""
    labels = {
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": "web",
        "io.kubernetes.container.name": "kube-apiserver",
        "io.kubernetes.pod.name": "kube-apiserver-node-1",
        "io.kubernetes.pod.namespace": "kube-system",
    }
    config = {"Hostname": which[:12], "Image": "nginx", "Labels": labels}
    state = {"Running": True, "Pid": 812, "StartedAt": "2026-11-20T20:15:01.123456789Z"}
    network = {
        "Bridge": "",
        "SandboxKey": "/var/run/docker/netns/1a2b3c4d5e6f",
        "Networks": {"shop_default": {}},
    }
    return {
        "StreamConfig": {}, "State": state, "ID": which, "Created": "2026-11-20T20:15:00.9Z", "Managed": False,
        "Path": "/docker-entrypoint.sh", "Args": ["nginx"], "Config": config, "Image": "sha256:" + "ab" * 32,
        "NetworkSettings": network, "LogPath": f"/var/lib/docker/containers/{which}/{which}-json.log",
        "Name": name, "Driver": "overlay2", "OS": "linux", "RestartCount": 0,
    }  # fmt: skip


def listed(which: str, *names: str) -> dict[str, Any]:
    return {
        "id": which, "names": list(names), "image": "cd" * 32, "layer": "ef" * 32,
        "metadata": '{"image-name":"docker.io/library/nginx:latest","name":"web","created-at":1763669700}',
        "created": "2026-11-20T20:15:00.912345678Z", "flags": {"MountLabel": "", "ProcessLabel": ""},
    }  # fmt: skip


def bundle(annotations: dict[str, str] | None) -> dict[str, Any]:
    spec: dict[str, Any] = {"ociVersion": "1.2.0", "process": {"args": ["nginx"]}, "root": {"path": "rootfs"}}
    return spec if annotations is None else spec | {"annotations": annotations}


def cri(**more: str) -> dict[str, str]:
    given = {"sandbox-id": NEXT, "sandbox-name": "cart-0", "sandbox-namespace": "shop", "sandbox-uid": UID}
    given |= {name.replace("_", "-"): value for name, value in more.items()}
    return {f"io.kubernetes.cri.{name}": value for name, value in given.items()}


class Files:
    """Those of all runtimes."""

    def __init__(self, root: Path) -> None:
        self.docker, self.storage, self.run, self.tasks = (
            root / name for name in ("docker", "storage", "run", "tasks")
        )

    @staticmethod
    def write(path: Path, value: Any) -> Path:
        """As the runtimes do: a new file takes the place of the old one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name("new")
        new.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return new.replace(path)

    def of_docker(self, name: str, which: str = ID) -> Path:
        return self.write(self.docker / which / "config.v2.json", docker(which, name))

    def of_list(
        self, *entries: dict[str, Any], name: str = "containers.json", driver: str = "overlay"
    ) -> Path:
        return self.write(self.storage / f"{driver}-containers" / name, list(entries))

    def of_containerd(self, annotations: dict[str, str] | None, namespace: str = "k8s.io") -> Path:
        return self.write(self.tasks / namespace / ID / "config.json", bundle(annotations))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    made = Files(tmp_path)
    monkeypatch.setattr(containers, "_DOCKER", made.docker)
    monkeypatch.setattr(containers, "_STORAGES", (made.storage, made.run))
    monkeypatch.setattr(containers, "_TASKS", (made.tasks,))
    return made


def test_docker(files: Files) -> None:
    files.of_docker("/shop-web-1")
    assert Containers().find(ID) == Container("shop-web-1")
    assert Containers().find(NEXT) is None


def test_docker_in_kubernetes(files: Files) -> None:
    files.of_docker(f"/k8s_cart_cart-0_shop_{UID}_2")
    files.of_docker(f"/k8s_POD_cart-0_shop_{UID}_0_5e1f9ab3", NEXT)
    found = Containers()
    assert (found.find(ID), found.find(NEXT)) == (CART, SANDBOX)


@pytest.mark.parametrize("driver", ["overlay", "vfs"])
def test_podman(files: Files, driver: str) -> None:
    """Of `podman run --rm` the list is another file."""
    files.of_list(listed(ID, "web"), driver=driver)
    files.of_list(listed(NEXT, "once"), name="volatile-containers.json", driver=driver)
    found = Containers()
    assert (found.find(ID), found.find(NEXT)) == (Container("web"), Container("once"))


def test_podman_whose_store_is_transient(files: Files) -> None:
    files.write(files.run / "overlay-containers" / "volatile-containers.json", [listed(ID, "web")])
    assert Containers().find(ID) == Container("web")


def test_cri_o(files: Files) -> None:
    sandbox = listed(NEXT, f"k8s_cart-0_shop_{UID}_0", f"k8s_POD_cart-0_shop_{UID}_0")
    files.of_list(listed(ID, f"k8s_cart_cart-0_shop_{UID}_0"), sandbox, {"id": "9a" * 32})
    found = Containers()
    assert (found.find(ID), found.find(NEXT), found.find("9a" * 32)) == (CART, SANDBOX, None)


@pytest.mark.parametrize(
    ("namespace", "annotations", "name"),
    [
        ("k8s.io", cri(container_type="container", container_name="cart", image_name="shop/cart:4"), CART),
        ("k8s.io", cri(container_type="sandbox"), SANDBOX),
        ("default", {"nerdctl/name": "web", "nerdctl/namespace": "default"}, Container("web")),
        ("moby", None, None),
    ],
)
def test_containerd(
    files: Files, namespace: str, annotations: dict[str, str] | None, name: Container | None
) -> None:
    files.of_containerd(annotations, namespace)
    assert Containers().find(ID) == name


def test_docker_has_the_name_of_what_its_containerd_runs(files: Files) -> None:
    files.of_containerd(None, "moby")
    files.of_docker("/web")
    assert Containers().find(ID) == Container("web")


def test_one_that_takes_the_place_of_another(files: Files) -> None:
    """It has another id. Of the one that is gone packets may still die."""
    old = files.of_docker("/web")
    found = Containers(Clock(100))
    assert found.find(ID) == Container("web")
    old.unlink()
    files.of_docker("/web", NEXT)
    files.of_docker("/web_old", ID)
    assert found.find(NEXT) == Container("web")
    assert found.find(ID) == Container("web"), "it was renamed less than a second ago"


def test_one_that_is_renamed_and_goes(files: Files) -> None:
    clock = Clock(100)
    found = Containers(clock)
    files.of_list(listed(ID, "web"))
    assert found.find(ID) == Container("web")
    files.of_list(listed(ID, "old"), listed(NEXT, "web"))
    assert (found.find(ID), found.find(NEXT)) == (Container("web"), Container("web"))
    clock.now += 1
    assert found.find(ID) == Container("old")
    files.of_list(listed(NEXT, "web"))
    clock.now += 1
    assert (found.find(ID), found.find(NEXT)) == (Container("old"), Container("web"))


def test_one_that_comes_late_is_looked_for_once_a_second(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, looked = Clock(100), list[float]()
    look = Containers._look

    def noted(self: Containers, which: str) -> Container | None:
        looked.append(clock.now)
        return look(self, which)

    monkeypatch.setattr(Containers, "_look", noted)
    found = Containers(clock)
    for _ in range(3):
        assert found.find(ID) is None
    files.of_docker("/web")
    clock.now += 1
    for _ in range(3):
        assert found.find(ID) == Container("web")
    assert looked == [100, 101]


def test_a_file_that_is_the_same_is_not_read_again(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, read = Clock(100), list[Path]()
    one = containers._read

    def noted(path: Path) -> Any:
        read.append(path)
        return one(path)

    monkeypatch.setattr(containers, "_read", noted)
    path = files.of_list(listed(ID, "web"), listed(NEXT, "db"))
    found = Containers(clock)
    for _ in range(5):
        assert (found.find(ID), found.find(NEXT)) == (Container("web"), Container("db"))
        clock.now += 1
    assert read == [path]


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", "7", '{"ID": 5}', '{"ID": "x", "Name": 7}', '{"ID": ["x"], "Name": "/web"}',
        '{"Name": "/web"}', '[{"id": "x", "names": [7]}]', '{"annotations": [7]}', "[" * 100_000, " " * (5 << 20),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_understood(files: Files, content: str) -> None:
    """It costs the name and nothing else; another file may have it."""
    files.write(files.docker / ID / "config.v2.json", content)
    files.write(files.tasks / "default" / ID / "config.json", content)
    files.write(files.storage / "overlay-containers" / "containers.json", content)
    assert Containers().find(ID) is None
    files.of_list(listed(ID, "web"), name="volatile-containers.json")
    assert Containers().find(ID) == Container("web")


def test_a_file_of_another_kind_is_not_opened(files: Files) -> None:
    path = files.docker / ID / "config.v2.json"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert Containers().find(ID) is None


@pytest.mark.parametrize("which", ["../../etc", "web", ID[:12], ID + "/..", ""])
def test_only_an_id_is_looked_for(files: Files, which: str) -> None:
    files.write(files.docker / which / "config.v2.json", docker(which, "/web"))
    found = Containers()
    assert found.find(which) is None
    assert not found._known


def test_a_name_that_means_no_good(files: Files) -> None:
    files.of_docker("/\x1b[31mred\n")
    found = Containers().find(ID)
    assert found is not None
    assert found.name == "\\x1b[31mred\\x0a"
    files.of_docker("/" + "w" * 1_000_000, NEXT)
    assert Containers().find(NEXT) == Container("w" * 253)


def test_memory_is_bounded(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_MOST", 3)
    found = Containers()
    for number in range(10):
        which = f"{number:064x}"
        files.of_docker(f"/web{number}", which)
        assert found.find(which) == Container(f"web{number}")
    assert (len(found._known), len(found._files)) == (3, 3)


def test_a_host_without_containers(files: Files) -> None:
    host = Host()
    assert host.container(ID) is None
    assert host.blind_spots == ()


def test_whose_socket_it_is(files: Files) -> None:
    files.of_docker("/shop-web-1")
    found = placed(Process(812, "nginx"), f"/system.slice/docker-{ID}.scope", Host())
    assert found == Process(812, "nginx", f"docker-{ID}.scope", ID, container_name="shop-web-1")


@pytest.mark.parametrize("pod", [Pod("cart-0", "shop"), None])
def test_a_pod_whose_logs_are_elsewhere_is_named_by_its_container(pod: Pod | None) -> None:
    found = placed(None, IN_POD, ToldHost(pod=pod, container=CART))
    assert found is not None
    assert (found.pod, found.pod_name, found.pod_namespace) == (UID, "cart-0", "shop")
    assert (found.container, found.container_name) == (ID, "cart")


def test_a_name_alone_makes_nobody_a_pod() -> None:
    """Whoever may make a container may call it so: the cgroup says what is in a pod."""
    found = placed(None, f"/docker/{ID}", ToldHost(container=CART))
    assert found == Process(None, None, container=ID, container_name="cart")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (None, None),
        (Workload("nginx.service"), None),
        (Workload("x.scope", ID), Process(None, None, container=ID, container_name="web")),
        (
            Workload("x.scope", ID, UID),
            Process(None, None, pod=UID, pod_name="cart-0", pod_namespace="shop"),
        ),
    ],
)
def test_whose_namespace_it_is(found: Workload | None, told: Process | None) -> None:
    """That of a pod is no single container's."""
    assert tenant(found, ToldHost(pod=Pod("cart-0", "shop"), container=Container("web"))) == told
