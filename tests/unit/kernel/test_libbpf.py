"""Old and new libbpf: an error is an error in both."""

import subprocess
from pathlib import Path

import pytest

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf, libbpf
from dropwatch.kernel.libbpf import find_libbpf, pointer
from dropwatch.probe.programs.ring import Ring

# As libbpf 0 answers: errors are addresses (libbpf_err_ptr, not LIBBPF_STRICT_CLEAN_PTRS), which crash who uses them.
OLD = """
void *libbpf_set_print(void *print) { return print; }
void *btf__new(const void *data, unsigned size) { return (void *)-22L; }
void *btf__load_vmlinux_btf(void) { return (void *)-22L; }
void btf__free(void *btf) { *(char *)btf = 0; }
void *btf__load_module_btf(const char *name, void *base) { return (void *)-2L; }
int btf__find_by_name_kind(void *btf, const char *name, unsigned kind) { return *(char *)btf; }
void *btf__type_by_id(void *btf, unsigned id) { return 0; }
void *btf__name_by_offset(void *btf, unsigned at) { return 0; }
void *ring_buffer__new(int map, void *take, void *context, void *options) { return (void *)-1L; }
int ring_buffer__poll(void *ring, int timeout) { return *(char *)ring; }
void ring_buffer__free(void *ring) { *(char *)ring = 0; }
"""
OLDER = "void *libbpf_find_kernel_btf(void) { return 0; }"


def library(directory: Path, text: str) -> str:
    source, made = directory / "lib.c", directory / "libbpf.so.0"
    source.write_text(text)
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", str(made), str(source)], check=True)
    return str(made)


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    found = library(tmp_path, OLD)
    monkeypatch.setattr(libbpf, "_NAMES", ("libbpf.so.none", found))
    for cached in (btf.libbpf, btf.vmlinux):
        monkeypatch.setattr(btf, cached.__name__, cached.__wrapped__)
    return found


@pytest.mark.parametrize(
    ("returned", "is_one"),
    [
        (None, False),
        (0, False),
        (4096, True),
        (2**64 - 4096, True),
        (2**64 - 4095, False),
        (2**64 - 1, False),
    ],
)
def test_what_is_a_pointer(returned: int | None, is_one: bool) -> None:
    assert pointer(returned) == (returned if is_one else None)


def test_an_old_one_is_taken_where_there_is_no_other(old: str) -> None:
    assert find_libbpf()[0] == old


def test_errors_of_an_old_one_are_told(old: str) -> None:
    with pytest.raises(CannotRunHere, match="BTF"):
        btf.vmlinux()
    with pytest.raises(CannotRunHere, match="ring buffer"):
        Ring(-1, lambda record: 0)


def test_a_module_without_btf_has_none(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(btf, "vmlinux", lambda: btf.Btf(0))
    assert btf._module.__wrapped__("nf_tables") is None


def test_one_that_is_too_old_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libbpf, "_NAMES", ("libbpf.so.none", library(tmp_path, OLDER)))
    with pytest.raises(CannotRunHere, match=r"libbpf\.so\.0 is older than 0\.5") as caught:
        find_libbpf()
    assert "libbpf1" in caught.value.hint


def test_none_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libbpf, "_NAMES", ("libbpf.so.none",))
    with pytest.raises(CannotRunHere, match=r"cannot be loaded: libbpf\.so\.none: cannot open"):
        find_libbpf()
