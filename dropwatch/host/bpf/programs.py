"""What the kernel says of a BPF program of which only the number is known (struct bpf_prog_info of linux/bpf.h)."""

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterator

from dropwatch.kernel import system_calls
from dropwatch.kernel.btf import vmlinux
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

INGRESS, EGRESS, SK_LOOKUP = 0, 1, 36
"""Of enum bpf_attach_type: what a cgroup's programs look at, and the lookup of sockets."""
BIND4, BIND6, CONNECT4, CONNECT6, SENDMSG4, SENDMSG6 = 8, 9, 10, 11, 14, 15
"""Of the same: the calls that a cgroup's programs may refuse."""
TYPE_XDP = 6
"""Of enum bpf_prog_type."""
_NEXT_ID, _FD_BY_ID, _QUERY = 11, 13, 16  # BPF_PROG_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID, BPF_PROG_QUERY
_EFFECTIVE = 1  # BPF_F_QUERY_EFFECTIVE
_BEGIN = struct.Struct("=II8s")  # struct bpf_prog_info: type, id, tag
_NAME = slice(64, 80)
_MOST = 256


@dataclass(frozen=True, slots=True)
class Program:
    """`name` None: it has none, or it had gone when it was looked at; then it has no `tag` either."""

    id: int
    name: str | None = None
    tag: str | None = None


def read_program(number: int) -> Program:
    """Raises OSError where this user may not look."""
    info = _info(number)
    if info is None:
        return Program(number)
    _, _, tag = _BEGIN.unpack_from(info)
    return Program(number, foreign(info[_NAME].partition(b"\0")[0]) or None, tag.hex())


def programs_of_type(kind: int) -> Iterator[int]:
    """The numbers of all that are loaded, attached or not. Raises OSError where this user may not look."""
    last = 0
    while True:
        try:
            answer = system_calls.bpf_answer(_NEXT_ID, struct.pack("=I", last))
        except FileNotFoundError:  # that was the last
            return
        (last,) = struct.unpack_from("=4xI", answer)  # start_id, next_id
        info = _info(last)
        if info is not None and _BEGIN.unpack_from(info)[0] == kind:
            yield last


def attached(target: int, attach_type: int, *, effective: bool = False) -> tuple[int, ...]:
    """The numbers of the programs at an open cgroup or namespace, or at the interface of this index, in the order in
    which they run; none where this kernel has no such hook. `effective`: with those of the cgroups above that run for
    it as well. Raises OSError.
    """
    ids = (ctypes.c_uint32 * _MOST)()
    flags = _EFFECTIVE if effective else 0
    query = struct.pack("=IIIIQI", target, attach_type, flags, 0, ctypes.addressof(ids), _MOST)
    try:
        system_calls.bpf(_QUERY, query)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):  # no such hook, or nothing was ever there
            raise
    return tuple(each for each in ids if each)


def attached_to(number: int) -> int | None:
    """The number among the kernel's types of the function that it is for; None: of none, it has gone, or unknown."""
    at = vmlinux().offset("bpf_prog_info", ("attach_btf_id",))
    info = _info(number, at + 4) if at is not None else None
    if at is None or info is None:
        return None
    return int.from_bytes(info[at : at + 4], sys.byteorder) or None


def _info(number: int, length: int = _NAME.stop) -> bytes | None:
    """None: it has gone."""
    try:
        descriptor = system_calls.bpf(_FD_BY_ID, struct.pack("=I", number))
    except FileNotFoundError:
        return None
    try:
        return system_calls.object_info(descriptor, length)
    finally:
        os.close(descriptor)
