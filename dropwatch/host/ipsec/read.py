"""Reads the SAs and policies of a network namespace over netlink."""

import errno
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pyroute2.netlink import (
    NETLINK_XFRM,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    nlmsg,
)

from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.decode import policy_of, state_of
from dropwatch.host.ipsec.messages import ANSWERS, KEY_OFFSETS, XFRM_MSG_GETPOLICY, XFRM_MSG_GETSA
from dropwatch.host.netns.enter import entered

_NETLINK_TABLE = Path("/proc/thread-self/net/netlink")
_PFKEY_TABLE = Path("/proc/thread-self/net/pfkey")
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_ERROR = struct.Struct("=i")
_BUFFER_BYTES = 1 << 17  # the kernel answers a dump in pieces of at most 32 KiB
_TIMEOUT_S = 5.0
_TRIES = 3


class _Interrupted(Exception):
    """What is dumped changed meanwhile, or a piece of the answer was lost: ask again."""


class _Part(NamedTuple):
    """One netlink message within the buffer: where it begins, its end, and what it is."""

    start: int
    end: int
    type: int
    flags: int
    sequence: int


def read_config(netns_inode: int) -> XfrmConfig:
    """The SAs and policies of a namespace. Never holds key material.

    Where the kernel's netlink interface for IPsec is not loaded, nobody can have configured any: an empty
    answer, and nothing gets loaded. Raises OSError when the namespace is gone or may not be entered, or when
    the kernel does not answer.
    """
    read_at = time.monotonic_ns()
    if not _interface_is_loaded():
        return XfrmConfig((), (), read_at)
    for _ in range(_TRIES):
        try:
            with _connection(netns_inode) as connection:
                states = tuple(state_of(message) for message in _dump(connection, XFRM_MSG_GETSA))
                policies = tuple(policy_of(message) for message in _dump(connection, XFRM_MSG_GETPOLICY))
            return XfrmConfig(states, policies, read_at)
        except _Interrupted:
            continue
    raise OSError(errno.EAGAIN, "SAs and policies kept changing while they were read")


def _interface_is_loaded() -> bool:
    """Opening a socket would load the module xfrm_user, and looking must not change the host."""
    try:
        rows = _NETLINK_TABLE.read_text().splitlines()[1:]
    except OSError:
        return True
    if any(row.split()[1] == str(NETLINK_XFRM) for row in rows):
        return True
    if _PFKEY_TABLE.exists():
        raise OSError(errno.EPROTONOSUPPORT, "SAs may have been set by PF_KEY, which whydrop does not read")
    return False


def _connection(netns_inode: int) -> socket.socket:
    """A socket that belongs to the namespace for as long as it is open."""
    with entered(netns_inode):
        connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
    connection.settimeout(_TIMEOUT_S)
    return connection


def _dump(connection: socket.socket, request: int) -> Iterator[Any]:
    """The decoded answers to a dump request. An answer is only good until the next one is asked for."""
    question = nlmsg()
    question["header"] = {"type": request, "flags": NLM_F_REQUEST | NLM_F_DUMP, "sequence_number": request}
    question.encode()
    connection.sendto(question.data, (0, 0))
    buffer = bytearray(_BUFFER_BYTES)
    while True:
        for part in _receive(connection, buffer):
            if part.sequence != request:
                continue
            if part.flags & NLM_F_DUMP_INTR:
                raise _Interrupted
            if part.type == NLMSG_DONE:
                _check(buffer, part)
                return
            if part.type == NLMSG_ERROR:
                _check(buffer, part)
            elif part.type in ANSWERS:
                if part.end - part.start < _HEADER.size + ANSWERS[part.type].get_size():
                    raise OSError(errno.EBADMSG, "an answer of the kernel is shorter than its ABI says")
                wipe_keys(buffer, part)
                answer = ANSWERS[part.type](buffer, offset=part.start)
                answer.decode()
                yield answer


def _receive(connection: socket.socket, buffer: bytearray) -> list[_Part]:
    try:
        size, _, flags, (port, _) = connection.recvmsg_into([buffer])
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            raise _Interrupted from None
        raise
    if flags & socket.MSG_TRUNC:
        raise OSError(errno.EMSGSIZE, "an answer of the kernel is larger than it can be")
    return [] if port else list(_parts(buffer, size))


def _parts(buffer: bytearray, size: int) -> Iterator[_Part]:
    start = 0
    while start + _HEADER.size <= size:
        length, kind, flags, sequence, _ = _HEADER.unpack_from(buffer, start)
        if not _HEADER.size <= length <= size - start:
            raise OSError(errno.EBADMSG, "an answer of the kernel is cut short")
        yield _Part(start, start + length, kind, flags, sequence)
        start += (length + 3) & ~3


def _check(buffer: bytearray, part: _Part) -> None:
    """Raises what the kernel reports; 0 is no error, and old kernels end a dump without saying so."""
    if part.start + _HEADER.size + _ERROR.size > part.end:
        return
    (number,) = _ERROR.unpack_from(buffer, part.start + _HEADER.size)
    if number:
        raise OSError(-number, os.strerror(-number))


def wipe_keys(buffer: bytearray, part: _Part) -> None:
    """Overwrites the keys in a message where they lie, before anything looks at it."""
    start = part.start + _HEADER.size + ANSWERS[part.type].get_size()
    while start + _ATTRIBUTE.size <= part.end:
        length, kind = _ATTRIBUTE.unpack_from(buffer, start)
        end = min(start + max(length, _ATTRIBUTE.size), part.end)
        if kind in KEY_OFFSETS:
            key = start + _ATTRIBUTE.size + KEY_OFFSETS[kind]
            buffer[key:end] = bytes(max(0, end - key))
        start += (max(length, _ATTRIBUTE.size) + 3) & ~3
