"""The programs at the sk_lookup hook of a namespace."""

import ctypes
import errno
import os
import struct

import pytest

from dropwatch.host.steering import LookupProgram, lookup_programs
from dropwatch.kernel import system_calls


class Kernel:
    """bpf(2) for a namespace with these programs; a name of None: it has gone when it is looked at."""

    def __init__(self, programs: dict[int, bytes | None], error: int | None = None) -> None:
        self.programs = programs
        self.error = error
        self.asked: list[tuple[int, ...]] = []

    def bpf(self, command: int, attr: bytes) -> int:
        if command == 13:
            (self.looked_at,) = struct.unpack("=I", attr)
            if self.programs[self.looked_at] is None:
                raise OSError(errno.ENOENT, "no such program")
            return os.open("/dev/null", os.O_RDONLY)
        assert command == 16
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        target, kind, query, attach, ids, count = struct.unpack("=IIIIQI", attr)
        assert os.fstat(target).st_ino == os.stat("/proc/thread-self/ns/net").st_ino  # noqa: PTH116
        assert (kind, query, attach) == (36, 0, 0)
        assert len(self.programs) <= count
        packed = struct.pack(f"={len(self.programs)}I", *self.programs)
        ctypes.memmove(ids, packed, len(packed))
        return 0

    def object_info(self, descriptor: int, length: int) -> bytes:
        name = self.programs[self.looked_at] or b""
        return struct.pack("=II", 30, self.looked_at).ljust(64, b"\xff") + name.ljust(length - 64, b"\0")


def answer(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    monkeypatch.setattr(system_calls, "bpf", kernel.bpf)
    monkeypatch.setattr(system_calls, "object_info", kernel.object_info)


def test_programs_by_id_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, Kernel({77: b"tubular", 78: b"", 79: None, 80: b"\x1b[31m"}))
    assert lookup_programs() == (
        LookupProgram(77, "tubular", "ff" * 8),
        LookupProgram(78, None, "ff" * 8),
        LookupProgram(79, None),
        LookupProgram(80, "\\x1b[31m", "ff" * 8),
    )


def test_none(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, Kernel({}))
    assert lookup_programs() == ()
    answer(monkeypatch, Kernel({}, errno.EINVAL))
    assert lookup_programs() == (), "this kernel has no such hook"


def test_what_may_not_be_asked_is_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, Kernel({}, errno.EPERM))
    with pytest.raises(PermissionError):
        lookup_programs()
