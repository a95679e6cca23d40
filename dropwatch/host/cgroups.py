"""Whose a cgroup is: its path, by its number or by a process in it; the unit, container and pod that a path names."""

import ctypes
import errno
import os
import struct
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Protocol

from dropwatch.host.containers import Container
from dropwatch.host.pods import Pod
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Process
from dropwatch.model.pattern import pattern
from dropwatch.names.foreign import foreign

_PROC = Path("/proc")
_MOUNTS = Path("/proc/self/mountinfo")
_BY_NUMBER = 0xFE  # FILEID_KERNFS of linux/exportfs.h: a struct file_handle with the number of a kernfs node
_HANDLE = struct.Struct("=IiQ")
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_DEEPEST = 256

_ID = r"[0-9a-f]{64}"
# What runtimes make of a container's id: docker-ID.scope, cri-containerd-ID.scope, crio-ID, libpod-ID.scope, or the id
# itself, also behind a slice (kubepods-x.slice:cri-containerd:ID). What watches a container (conmon) is not in it.
_OF_CONTAINER = pattern(rf"(?:^|.*[:-])(?P<id>{_ID})(?:\.scope|\.service)?")
_BY_NAME = pattern(r"(?:lxc\.payload\.|systemd-nspawn@)(?P<id>.+?)(?:\.service)?")
_WATCHES = pattern(r"(?:^|-)conmon-")
_UID = r"[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32}"
_POD = pattern(rf"(?:^|.*-)pod(?P<uid>{_UID})(?:\.slice.*)?")
_PODMAN_POD = pattern(rf"(?:^|.*-)libpod_pod_(?P<uid>{_ID})(?:\.slice)?")
_UNIT = pattern(r"[^.].*\.(?:service|scope|socket|mount|swap)")


@dataclass(frozen=True, slots=True)
class Workload:
    """`unit` is the innermost unit of systemd, `container` the innermost container's id, with LXC and nspawn its name,
    `pod` the uid that Kubernetes gave it, or Podman's id.
    """

    unit: str | None = None
    container: str | None = None
    pod: str | None = None


def read_path(number: int) -> str | None:
    """The path of a cgroup below where they are mounted, as `foreign` spells it; None: it is gone, or none is mounted.

    Raises OSError where the kernel does not open cgroups by their numbers for this user (CAP_DAC_READ_SEARCH).
    """
    with closing(upwards(number)) as those:
        return next((path for path, _ in those), None)


def upwards(number: int) -> Generator[tuple[str, int], None, None]:
    """The cgroup of this number and all above it: their paths, and a descriptor until the next. Raises as read_path."""
    mount = _mounted()
    if mount is None:
        return
    there = os.open(mount, _FLAGS)
    try:
        here = _opened(there, number)
    finally:
        os.close(there)
    try:
        for _ in range(_DEEPEST):
            raw = os.readlink(f"/proc/self/fd/{here}".encode()).removeprefix(mount)  # noqa: PTH115  # bytes
            yield foreign(raw or b"/"), here
            if not raw:
                return
            above = os.open(f"/proc/self/fd/{here}/..", _FLAGS)
            os.close(here)
            here = above
    finally:
        os.close(here)


def read_path_of(pid: int) -> str:
    """The path of the cgroup that a process is in: with version 1 that of systemd's hierarchy; empty: it is gone."""
    try:
        text = (_PROC / str(pid) / "cgroup").read_bytes().decode(errors="surrogateescape")
    except OSError:
        return ""
    paths = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths[controllers] = path
    unified = paths.get("", "/")
    return unified if unified != "/" else paths.get("name=systemd", unified)


def workload(path: str) -> Workload:
    """Of a cgroup's path. Slices only group units; what runs in a container has the names of both."""
    unit = container = pod = None
    for part in path.split("/"):
        name = part.removeprefix("_")  # systemd's way to spell what would be a file of the kernel
        held = _OF_CONTAINER.fullmatch(name) or _BY_NAME.fullmatch(name)
        if held is not None and not _WATCHES.search(name):
            container = held["id"]
        group = _POD.fullmatch(name)
        if group is not None:
            pod = group["uid"].replace("_", "-")
        elif (group := _PODMAN_POD.fullmatch(name)) is not None:
            pod = group["uid"]
        if _UNIT.fullmatch(name):
            unit = name
    return Workload(unit, container, pod)


class Names(Protocol):
    """Who is asked what pods and containers are called."""

    def pod(self, uid: str, /) -> Pod | None: ...

    def container(self, which: str, /) -> Container | None: ...


def placed(holder: Process | None, path: str | None, names: Names) -> Process | None:
    """Who holds a socket, with what the cgroup of this path says of it; None where neither is known."""
    made_in = workload(path) if path is not None else Workload()
    if holder is None and made_in == Workload():
        return None
    pid, comm = (holder.pid, holder.comm) if holder is not None else (None, None)
    return Process(pid, comm, made_in.unit, made_in.container, made_in.pod, *_called(made_in, names))


def tenant(found: Workload | None, names: Names) -> Process | None:
    """The pod, else the container, that has a network namespace. All containers of a pod have it together."""
    if found is None or not (found.pod or found.container):
        return None
    pod_name, pod_namespace, name = _called(found, names)
    if found.pod is not None:
        return Process(None, None, pod=found.pod, pod_name=pod_name, pod_namespace=pod_namespace)
    return Process(None, None, container=found.container, container_name=name)


def _called(one: Workload, names: Names) -> tuple[str | None, str | None, str | None]:
    """A pod's name and namespace, and the container's name. Where its logs do not name a pod, its container does."""
    pod = names.pod(one.pod) if one.pod is not None else None
    container = (names.container(one.container) if one.container is not None else None) or Container(None)
    if pod is None and one.pod is not None and container.pod_name is not None:
        return container.pod_name, container.pod_namespace, container.name
    if pod is None:
        return None, None, container.name
    return pod.name, pod.namespace, container.name


def _mounted() -> bytes | None:
    """Where the hierarchy of cgroup2 is: sockets are in no other."""
    for line in _MOUNTS.read_bytes().splitlines():
        before, _, after = line.partition(b" - ")
        if after.startswith(b"cgroup2 "):
            return before.split(b" ")[4]
    return None


def _opened(mount: int, number: int) -> int:
    """A descriptor. Raises FileNotFoundError for a cgroup that is gone (ESTALE)."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = ctypes.create_string_buffer(_HANDLE.pack(8, _BY_NUMBER, number))
    found = int(libc.open_by_handle_at(mount, handle, _FLAGS))
    if found < 0:
        code = ctypes.get_errno()
        raise (
            FileNotFoundError(code, os.strerror(code))
            if code == errno.ESTALE
            else OSError(code, os.strerror(code))
        )
    return found
