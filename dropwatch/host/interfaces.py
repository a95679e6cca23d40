"""Which network interfaces there are, by namespace, index and name."""

import fcntl
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dropwatch.host.netns.enter import entered
from dropwatch.host.netns.files import NAMES_DIR, OWN_FILE
from dropwatch.names.foreign import foreign, raw_name

_FRESH_SECONDS, _MISSING_SECONDS = (
    1.0,
    0.05,
)  # how long an answer is believed: a name, and that there is none or it may have changed
_MOST_NAMESPACES = 4096  # anybody can have more, one after another
_SIOCGIFMTU = 0x8921  # include/uapi/linux/sockios.h


def interfaces(netns_inode: int) -> dict[int, str]:
    """Index to name. Raises OSError when the namespace is gone or may not be entered."""
    with entered(netns_inode):
        return {index: foreign(name) for index, name in socket.if_nameindex()}


def read_mtu(netns_inode: int, name: str) -> int:
    """The MTU of an interface. Raises OSError when the namespace or the interface is gone."""
    request = struct.pack("16si", raw_name(name), 0)
    with entered(netns_inode), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFMTU, request)
    return int(struct.unpack("16si", answer)[1])


def seen_interfaces(netns_inodes: tuple[int, ...] = ()) -> tuple[frozenset[str], bool]:
    """The names that these namespaces have, or, when none are given, all of this host; and if all could be read."""
    names: set[str] = set()
    all_seen = True
    for inode in dict.fromkeys(netns_inodes or all_namespaces()):
        try:
            names.update(interfaces(inode).values())
        except OSError:
            all_seen = False
    return frozenset(names), all_seen


class InterfaceNames:
    """Names by namespace and index, with a short memory: drops come faster than interfaces change.

    `changed` is the monotonic time of the last change in a namespace, in nanoseconds; None where nobody knows.
    """

    def __init__(
        self,
        look_up: Callable[[int], dict[int, str]] = interfaces,
        changed: Callable[[int], int | None] = lambda inode: None,
    ) -> None:
        self._look_up = look_up
        self._changed = changed
        self._known: dict[int, tuple[float, dict[int, str]]] = {}

    def name(self, netns_inode: int, index: int) -> str | None:
        """None when there is no such interface (any more), or the namespace cannot be looked into."""
        now = time.monotonic()
        read_at, names = self._known.get(netns_inode, (0.0, {}))
        age = now - read_at
        may_be_other = index not in names or (self._changed(netns_inode) or 0) / 1e9 > read_at
        if age > _FRESH_SECONDS or (age > _MISSING_SECONDS and may_be_other):
            names = self._read(netns_inode)
            self._known.pop(netns_inode, None)
            self._known[netns_inode] = (now, names)
            if len(self._known) > _MOST_NAMESPACES:
                del self._known[next(iter(self._known))]
        return names.get(index)

    def _read(self, netns_inode: int) -> dict[int, str]:
        try:
            return self._look_up(netns_inode)
        except OSError:
            return {}


def all_namespaces() -> Iterator[int]:
    """Its own first, then those with a name, then those of processes."""
    for path in (OWN_FILE, *_matching(NAMES_DIR, "*"), *_matching(Path("/proc"), "[0-9]*/ns/net")):
        try:
            yield path.stat().st_ino
        except OSError:
            continue


def _matching(directory: Path, pattern: str) -> list[Path]:
    return sorted(directory.glob(pattern)) if directory.is_dir() else []
