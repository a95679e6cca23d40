"""What a container of this host is called, by its id: its runtime's own files say it, no API is asked.

- Docker has `/NAME` in config.v2.json (moby, daemon/container/container.go: Container, toDisk).
- Podman and CRI-O have it in lists of their storage (containers/storage, containers.go: Container, newContainerStore).
- containerd writes what made a container into the bundle of its task (core/runtime/v2/bundle.go: NewBundle), with
  annotations of Kubernetes (internal/cri/annotations/annotations.go) and of nerdctl (pkg/labels/labels.go).
- CRI-O and cri-dockerd make the name from those of Kubernetes: k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT (cri-o,
  internal/factory/container/container.go: SetNameAndID; cri-dockerd, core/naming.go: makeContainerName).

Labels are not read: an image chooses some of them. Containers of a user who is not root are in that user's home, where
nobody looks.
"""

import json
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dropwatch.host.netns.files import entries, of_host
from dropwatch.model.dataclass import dataclass
from dropwatch.model.pattern import pattern
from dropwatch.names.foreign import foreign

_DOCKER = Path("/var/lib/docker/containers")
_STORAGES = (
    Path("/var/lib/containers/storage"),
    Path("/run/containers/storage"),
)  # what is transient, in /run
_LISTS = ("containers.json", "volatile-containers.json")
_TASKS = tuple(
    Path(f"/run/{of}containerd/io.containerd.runtime.v2.task") for of in ("", "k3s/")
)  # NAMESPACE/ID
_ID = pattern(r"[0-9a-f]{64}")
_OF_KUBERNETES = pattern(
    r"k8s_(?P<name>[^_]+)_(?P<pod>[^_]+)_(?P<namespace>[^_]+)_[0-9a-f-]{32,36}_\d+(?:_[0-9a-f]+)?"
)
_SANDBOX = "POD"  # no container of Kubernetes can be called that
_CRI, _NERDCTL = "io.kubernetes.cri.", "nerdctl/name"
_LOOK_EVERY_SECONDS = 1.0
_MOST = 4096  # that are remembered, also of those that are gone
_MOST_DIRECTORIES = 64
_LONGEST_NAME = 253  # of a pod
_LONGEST_FILE = 4 << 20  # a container has some KB, in a list 1 KB


@dataclass(frozen=True, slots=True)
class Container:
    """Its name; in Kubernetes that in its pod, None of the one that only holds the pod's namespaces. Of what pod."""

    name: str | None
    pod_name: str | None = None
    pod_namespace: str | None = None


@dataclass(slots=True)
class _Known:
    looked: float
    container: Container | None


_Names = dict[str, Container]
_Mark = tuple[int, int, int]


class Containers:
    """An id is never given again: a container that takes the place of another has its own name at once. One that was
    renamed has it a second later; of one that is gone the last name stays. `clock` is in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._files: OrderedDict[Path, tuple[_Mark, _Names]] = OrderedDict()

    def find(self, which: str) -> Container | None:
        """None: no file names it, or `which` is no id but a name already."""
        if not _ID.fullmatch(which):
            return None
        now = self._clock()
        known = self._known.setdefault(which, _Known(float("-inf"), None))
        self._known.move_to_end(which)
        if now - known.looked >= _LOOK_EVERY_SECONDS:
            known.looked = now
            known.container = self._look(which) or known.container
        _limit(self._known)
        return known.container

    def _look(self, which: str) -> Container | None:
        for path, read in _files(which):
            found = self._names(path, read).get(which)
            if found is not None:
                return found
        return None

    def _names(self, path: Path, read: Callable[[Any], _Names]) -> _Names:
        """Those in a file, which is read again when it is another; none where it cannot be read."""
        try:
            about = path.stat()
            mark = about.st_ino, about.st_mtime_ns, about.st_size
            if not stat.S_ISREG(about.st_mode) or about.st_size > _LONGEST_FILE:
                return {}
            before, names = self._files.pop(path, (None, {}))
            if before != mark:
                names = read(_read(path))
            self._files[path] = mark, names
            _limit(self._files)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return {}  # there is none, or it is being written, or of another version
        return names


def _files(which: str) -> Iterator[tuple[Path, Callable[[Any], _Names]]]:
    """Where the name of a container may be, and how to read it there."""
    yield of_host(_DOCKER) / which / "config.v2.json", _of_docker
    for tasks in map(of_host, _TASKS):
        for namespace in entries(tasks)[:_MOST_DIRECTORIES]:
            yield namespace / which / "config.json", lambda spec: _of_containerd(which, spec)
    for storage in map(of_host, _STORAGES):
        for directory in entries(storage)[:_MOST_DIRECTORIES]:
            if directory.name.endswith("-containers"):  # overlay-, vfs-, btrfs-, zfs-
                yield from ((directory / name, _of_list) for name in _LISTS)


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        text = file.read(_LONGEST_FILE + 1)
    if len(text) > _LONGEST_FILE:
        raise ValueError("the file is too long")
    return json.loads(text)


def _of_docker(config: Any) -> _Names:
    return {config["ID"]: _named(config["Name"].removeprefix("/"))}


def _of_list(containers: Any) -> _Names:
    return {one["id"]: _named(*one["names"]) for one in containers if one.get("names")}


def _of_containerd(which: str, spec: Any) -> _Names:
    notes = spec.get("annotations") or {}
    pod, namespace = notes.get(f"{_CRI}sandbox-name"), notes.get(f"{_CRI}sandbox-namespace")
    name = notes.get(f"{_CRI}container-name") if pod else notes.get(_NERDCTL)
    return {which: _container(name, pod, namespace)} if pod or name else {}


def _named(*names: str) -> Container:
    """The one that holds a pod's namespaces has a second name with CRI-O."""
    found = next(filter(None, map(_OF_KUBERNETES.fullmatch, names)), None)
    if found is None:
        return _container(names[0], None, None)
    return _container(None if found["name"] == _SANDBOX else found["name"], found["pod"], found["namespace"])


def _container(name: str | None, pod: str | None, namespace: str | None) -> Container:
    return Container(*(foreign(one[:_LONGEST_NAME]) if one else None for one in (name, pod, namespace)))


def _limit(known: OrderedDict[Any, Any]) -> None:
    while len(known) > _MOST:
        known.popitem(last=False)
