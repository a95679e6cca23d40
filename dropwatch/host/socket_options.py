"""What a program has set on its socket that sock_diag does not tell: a filter, the least TTL of what it takes."""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dropwatch.host.open_files import open_files
from dropwatch.kernel import system_calls
from dropwatch.model.dataclass import dataclass

_PROC = Path("/proc")
_GET_FILTER, _MIN_TTL, _MIN_HOPS = 26, 21, 73  # SO_GET_FILTER, IP_MINTTL, IPV6_MINHOPCOUNT
_LENGTH = struct.Struct("=i")


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """`instructions` is how many the classic filter has, 0: none; `extended`: it is an eBPF program, whose number
    the socket does not tell. `min_ttl` is 0 where any will do.
    """

    instructions: int = 0
    extended: bool = False
    min_ttl: int = 0


def read_options(pid: int, inode: int, version: int) -> SocketOptions | None:
    """Of the socket of this inode, which the process holds; None where it does not any more.

    Raises OSError where this kernel, or this user, may not look at another's socket.
    """
    descriptor = _descriptor(pid, inode)
    if descriptor is None:
        return None
    with _copied(pid, descriptor) as copy:
        if os.fstat(copy.fileno()).st_ino != inode:  # it may be another's by now
            return None
        return options_of(copy, version)


def options_of(one: socket.socket, version: int) -> SocketOptions:
    """Asked of a socket."""
    instructions, extended = 0, False
    try:
        instructions = _filter_length(one)
    except OSError as error:
        extended = error.errno == errno.EACCES
    least = 0
    with suppress(OSError):
        level, option = (socket.SOL_IP, _MIN_TTL) if version == 4 else (socket.IPPROTO_IPV6, _MIN_HOPS)
        least = one.getsockopt(level, option)
    return SocketOptions(instructions, extended, least)


def _filter_length(one: socket.socket) -> int:
    """Asked with no room for the instructions the kernel answers with their number, as the length of the answer."""
    return system_calls.option_length(one.fileno(), socket.SOL_SOCKET, _GET_FILTER)


def _descriptor(pid: int, inode: int) -> int | None:
    wanted = f"socket:[{inode}]"
    return next((int(number) for number, target in open_files(_PROC / str(pid)) if target == wanted), None)


@contextmanager
def _copied(pid: int, descriptor: int) -> Iterator[socket.socket]:
    """The same socket, for a moment."""
    process = os.pidfd_open(pid)
    try:
        copy = socket.socket(fileno=system_calls.pidfd_getfd(process, descriptor))
    finally:
        os.close(process)
    with copy:
        yield copy
