"""Programs by their numbers, and what is attached where: against a kernel that answers as told."""

import ctypes
import errno
import os
import struct
from collections.abc import Callable

import pytest

from dropwatch.host.bpf import lsm, programs
from dropwatch.host.bpf.programs import TYPE_XDP, Program, attached, programs_of_type, read_program
from dropwatch.kernel import system_calls

Bpf = Callable[[int, bytes], int]


class Kernel:
    """With these programs: their type, tag and name by their numbers."""

    def __init__(self, programs: dict[int, tuple[int, bytes, bytes]]) -> None:
        self.programs = programs
        self.at: dict[tuple[int, int], tuple[int, ...]] = {}
        self.error: int | None = None

    def bpf(self, command: int, attr: bytes) -> int:
        if command == 13:
            (self.looked_at,) = struct.unpack("=I", attr)
            if self.looked_at not in self.programs:
                raise OSError(errno.ENOENT, "no such program")
            return os.open("/dev/null", os.O_RDONLY)
        assert command == 16
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        _, kind, flags, _, place, count = struct.unpack("=IIIIQI", attr)
        ids = self.at[kind, flags]
        assert len(ids) <= count
        packed = struct.pack(f"={len(ids)}I", *ids)
        ctypes.memmove(place, packed, len(packed))
        return 0

    def bpf_answer(self, command: int, attr: bytes) -> bytes:
        assert command == 11
        (last,) = struct.unpack("=I", attr)
        later = sorted(number for number in self.programs if number > last)
        if not later:
            raise OSError(errno.ENOENT, "that was the last")
        return struct.pack("=III", last, later[0], 0)

    def object_info(self, descriptor: int, length: int) -> bytes:
        kind, tag, name = self.programs[self.looked_at]
        told = struct.pack("=II8s", kind, self.looked_at, tag).ljust(64, b"\xff") + name
        return told[:length].ljust(length, b"\0")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel({7: (6, b"\x57" * 8, b"drop_all"), 9: (3, b"\1" * 8, b""), 12: (6, b"\2" * 8, b"\x1b[31m")})
    for name in ("bpf", "bpf_answer", "object_info"):
        monkeypatch.setattr(system_calls, name, getattr(made, name))
    return made


def test_what_a_program_is_called(kernel: Kernel) -> None:
    assert read_program(7) == Program(7, "drop_all", "57" * 8)
    assert read_program(9) == Program(9, None, "01" * 8)
    assert read_program(12) == Program(12, "\\x1b[31m", "02" * 8)
    assert read_program(8) == Program(8), "it has gone"


def test_all_of_a_type(kernel: Kernel) -> None:
    assert list(programs_of_type(TYPE_XDP)) == [7, 12]
    assert list(programs_of_type(1)) == []


def test_what_is_attached(kernel: Kernel) -> None:
    kernel.at = {(0, 0): (7,), (0, 1): (7, 9)}
    assert attached(3, 0) == (7,)
    assert attached(3, 0, effective=True) == (7, 9)


def test_what_may_not_be_asked_is_not_taken_for_none(kernel: Kernel) -> None:
    kernel.error = errno.EINVAL
    assert attached(3, 0) == (), "this kernel has no such hook"
    kernel.error = errno.EPERM
    with pytest.raises(PermissionError):
        attached(3, 0)


class Types:
    """As BTF has them: struct bpf_prog_info ends at 88."""

    def offset(self, struct_name: str, path: tuple[str, ...]) -> int | None:
        return 84 if (struct_name, *path) == ("bpf_prog_info", "attach_btf_id") else None

    def function(self, name: str) -> int | None:
        return {"bpf_lsm_socket_sock_rcv_skb": 4242, "bpf_lsm_file_open": 4343}.get(name)


def test_the_programs_at_a_hook_of_security_modules(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    for reader in (lsm, programs):
        monkeypatch.setattr(reader, "vmlinux", Types)
    kernel.programs = {
        20: (29, b"\1" * 8, b"here".ljust(20, b"\0") + struct.pack("=I", 4242)),
        21: (29, b"\1" * 8, b"elsewhere".ljust(20, b"\0") + struct.pack("=I", 4343)),
        22: (3, b"\1" * 8, b"another".ljust(20, b"\0") + struct.pack("=I", 4242)),
        23: (29, b"\1" * 8, b"nowhere"),
    }
    assert [one.name for one in lsm.read_lsm_programs("socket_sock_rcv_skb")] == ["here"]
    assert lsm.read_lsm_programs("no_such_hook") == ()
