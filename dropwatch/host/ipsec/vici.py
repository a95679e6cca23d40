"""Asks strongSwan's daemon which connections its SAs belong to: the query `list-sas` of its vici socket.

The protocol is that of src/libcharon/plugins/vici/README.md in strongSwan. Nothing is set up or taken down by it.
"""

import os
import socket
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dropwatch.host.open_files import open_files
from dropwatch.names.foreign import foreign

_DAEMONS = frozenset({b"charon", b"charon-systemd"})
_COMM_BYTES = 64  # longer than any
_TIMEOUT_S = 3.0
_MOST_BYTES = 4 << 20
_COMMAND, _ANSWER, _REGISTER, _CONFIRMED, _EVENT = 0, 1, 3, 5, 7
_SECTION, _SECTION_END, _VALUE, _LIST, _ITEM, _LIST_END = 1, 2, 3, 4, 5, 6
_LENGTH, _SHORT = struct.Struct(">I"), struct.Struct(">H")


class Connection(NamedTuple):
    """A CHILD_SA of an IKE daemon: the names in its configuration, and what ties it to the kernel's SAs."""

    ike: str
    child: str
    reqid: int
    spis: tuple[int, ...]
    if_ids: tuple[int, ...]


class Daemon(NamedTuple):
    """A process; `started` as field 22 of /proc/PID/stat has it, since numbers of processes come again."""

    pid: int
    started: str


def find_daemons() -> dict[int, list[Daemon]]:
    """Processes of root by the name of the daemon, by the inode of their network namespace."""
    found: dict[int, list[Daemon]] = {}
    for process in os.scandir("/proc"):
        try:
            if not process.name.isdigit() or _comm(process.path) not in _DAEMONS or process.stat().st_uid:
                continue
            directory = Path(process)
            after_name = (directory / "stat").read_bytes().rpartition(b")")[2].decode()
            daemon = Daemon(int(directory.name), after_name.split()[19])
            found.setdefault((directory / "ns/net").stat().st_ino, []).append(daemon)
        except OSError:
            continue
    return found


def _comm(process: str) -> bytes:
    """Of one process of many, so without what a Path costs."""
    file = os.open(f"{process}/comm", os.O_RDONLY)
    try:
        return os.read(file, _COMM_BYTES).strip()
    finally:
        os.close(file)


def read_connections(daemon: Daemon) -> tuple[Connection, ...]:
    """Of all its sockets that answer. Raises TimeoutError where one does not in time and no other has said anything."""
    deadline = time.monotonic() + _TIMEOUT_S
    found: list[Connection] = []
    late: TimeoutError | None = None
    for path in _sockets(daemon.pid):
        try:
            about = path.lstat()
            if stat.S_ISSOCK(about.st_mode) and about.st_uid == 0:
                found += ask(str(path), daemon.pid, deadline)
        except TimeoutError as error:
            late = error
        except (OSError, ValueError, TypeError, IndexError, struct.error):
            continue
    if late and not found:
        raise late
    return tuple(found)


def _sockets(pid: int) -> list[Path]:
    """The process's own sockets by the name of vici, below its own root: it may have a directory to itself."""
    process = Path(f"/proc/{pid}")
    own = {target for _, target in open_files(process)}
    try:
        with (process / "net/unix").open("rb") as file:  # as long as the users of this namespace like
            lines = os.fsdecode(file.read(_MOST_BYTES)).split("\n")[1:]
        rows = [line.split(maxsplit=7) for line in lines]
    except OSError:
        return []
    bound = {row[7] for row in rows if len(row) > 7 and f"socket:[{row[6]}]" in own}
    return [
        process / "root" / path[1:] for path in sorted(bound) if path[0] == "/" and "vici" in Path(path).name
    ]


def ask(path: str, pid: int, deadline: float) -> list[Connection]:
    """What listens at this socket, if it is that process. Raises OSError, ValueError and struct.error."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        connection.connect(path)
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("=iII", credentials)[:2] != (pid, os.geteuid()):
            raise ValueError("another process listens there")
        _send(connection, _REGISTER, b"list-sa")
        _send(connection, _COMMAND, b"list-sas")
        found: list[Connection] = []
        left = _MOST_BYTES
        while True:
            (length,) = _LENGTH.unpack(_received(connection, _LENGTH.size, deadline))
            left -= length
            if not 0 < length <= left:
                raise ValueError("an answer that is too long")
            packet = _received(connection, length, deadline)
            if packet[0] == _EVENT:
                found += connections_of(packet[2 + packet[1] :])
            elif packet[0] != _CONFIRMED:
                return found if packet[0] == _ANSWER else []


def connections_of(message: bytes) -> Iterator[Connection]:
    """The CHILD_SAs in an event `list-sa`: sections by IKE name, with a section `child-sas` by child name."""
    for ike, about in _sections(_tree(message)):
        for key, child in _sections(about.get("child-sas")):
            spis = tuple(int(child[name], 16) for name in ("spi-in", "spi-out") if child.get(name))
            if_ids = tuple(int(child[name], 16) for name in ("if-id-in", "if-id-out") if child.get(name))
            yield Connection(ike, child.get("name", key), int(child.get("reqid", 0)), spis, if_ids)


def _sections(found: Any) -> list[tuple[str, dict[str, Any]]]:
    items = found.items() if isinstance(found, dict) else ()
    return [(name, inside) for name, inside in items if isinstance(inside, dict)]


def _tree(message: bytes) -> dict[str, Any]:
    stack: list[dict[str, Any]] = [{}]
    at = 0
    while at < len(message):
        kind, at = message[at], at + 1
        if kind in (_SECTION, _VALUE, _LIST):
            name, at = foreign(message[at + 1 : at + 1 + message[at]]), at + 1 + message[at]
        if kind in (_VALUE, _ITEM):
            (length,) = _SHORT.unpack_from(message, at)
            value, at = message[at + 2 : at + 2 + length], at + 2 + length
        if kind == _SECTION:
            stack[-1][name] = {}
            stack.append(stack[-1][name])
        elif kind == _SECTION_END and len(stack) > 1:
            stack.pop()
        elif kind == _VALUE:
            stack[-1][name] = foreign(value)
        elif kind not in (_LIST, _ITEM, _LIST_END):
            raise ValueError("an element of no known kind")
    return stack[0]


def _send(connection: socket.socket, kind: int, name: bytes) -> None:
    connection.sendall(_LENGTH.pack(2 + len(name)) + bytes((kind, len(name))) + name)


def _received(connection: socket.socket, size: int, deadline: float) -> bytes:
    found = bytearray()
    while len(found) < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError  # what comes a byte at a time is never late by itself
        connection.settimeout(left)
        piece = connection.recv(size - len(found))
        if not piece:
            raise ValueError("the answer ends too early")
        found += piece
    return bytes(found)
