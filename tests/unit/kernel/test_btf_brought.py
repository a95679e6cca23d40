"""BTF of a file, where the kernel carries none: the kernel's own serves as one."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf, btf_enums, btf_file, btf_functions
from dropwatch.probe.check import brought

OWN = Path("/sys/kernel/btf/vmlinux")


@pytest.fixture(autouse=True)
def a_kernel_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(btf_file, "VMLINUX", tmp_path / "none")
    monkeypatch.setattr(btf_file, "_brought", [])
    btf.forget()
    yield
    btf.forget()


def test_a_file_is_as_good_as_the_kernels_own(monkeypatch: pytest.MonkeyPatch) -> None:
    btf_file.bring(OWN)
    found = (btf.vmlinux().size("sk_buff"), btf.vmlinux().offset("net", ("ns", "inum")))
    states = btf_enums.anonymous_enum("XFRM_STATE_VOID", "XFRM_STATE_")
    assert btf_file.brought()
    btf.forget()
    monkeypatch.undo()
    assert found == (btf.vmlinux().size("sk_buff"), btf.vmlinux().offset("net", ("ns", "inum")))
    assert states == btf_enums.anonymous_enum("XFRM_STATE_VOID", "XFRM_STATE_")
    assert states


def test_functions_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(btf_functions, "_BTF_DIR", tmp_path)
    btf_functions._kernel.cache_clear()
    try:
        assert not btf_functions.functions_taking(directory=tmp_path)
        btf_functions._kernel.cache_clear()
        btf_file.bring(OWN)
        assert "ip_rcv" in btf_functions.functions_taking(directory=tmp_path)
    finally:
        btf_functions._kernel.cache_clear()


def test_the_kernels_own_goes_before_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(btf_file, "VMLINUX", OWN)
    btf_file.bring(tmp_path / "no such file")
    assert not btf_file.brought()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\x7fELF" + bytes(60), "is not BTF"), (b"", "is not BTF"), (None, "No such file")],
)
def test_what_is_no_btf_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CannotRunHere, match=words):
        btf_file.bring(file)
    assert not btf_file.brought()


def test_a_file_that_ends_early_makes_no_sense(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(OWN.read_bytes()[:100_000])
    btf_file.bring(file)
    with pytest.raises(CannotRunHere, match="makes no sense"):
        btf.vmlinux()


def test_what_there_is_to_bring_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(btf.libbpf(), "btf__load_vmlinux_btf", lambda: None)
    with pytest.raises(CannotRunHere, match="carries no BTF") as told:
        btf.vmlinux()
    assert "-dbg" in told.value.hint
    assert "--btf FILE" in told.value.hint


class Words:
    """A memory with what the file says of this process at the right places, or something else."""

    def __init__(self, comm: bytes, inode: int) -> None:
        self._text, self._inode = comm.ljust(8, b"\0"), inode

    def __enter__(self) -> "Words":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def current_task(self) -> int:
        return 1 << 40

    def word(self, address: int) -> int:
        return 1 << 50

    def half(self, address: int) -> int:
        comm = (1 << 40) + brought._offset("task_struct", "comm")
        if address in (comm, comm + 4):
            return int.from_bytes(self._text[address - comm :][:4], sys.byteorder)
        return self._inode


@pytest.mark.parametrize(("name", "inode", "what"), [(None, 1, "network namespace"), (b"other", 0, "thread")])
def test_a_file_of_another_kernel_is_seen(
    monkeypatch: pytest.MonkeyPatch, name: bytes | None, inode: int, what: str
) -> None:
    btf_file.bring(OWN)
    own = Path("/proc/thread-self/comm").read_bytes().rstrip(b"\n")
    monkeypatch.setattr(brought, "Memory", lambda: Words(own[:8] if name is None else name, inode))
    assert what in (brought.difference() or "")
