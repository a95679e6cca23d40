"""Files and processes that keep a program."""

import errno
import os
from pathlib import Path

import pytest

from dropwatch.host.bpf import keepers
from dropwatch.host.bpf.keepers import Keepers, bpf_mounts, program_of, read_keepers
from dropwatch.kernel import system_calls
from dropwatch.model.drop import Process


def test_the_number_of_a_program_or_of_a_link() -> None:
    assert program_of(b"pos:\t0\nprog_type:\t6\nprog_id:\t77\n") == 77
    assert program_of(b"link_type:\tcgroup\nlink_id:\t3\nprog_tag:\tab\nprog_id:\t78\n") == 78
    assert program_of(b"map_type:\t1\nmap_id:\t5\n") is None


def test_where_file_systems_of_bpf_are() -> None:
    table = b"""24 1 0:21 / /proc rw - proc proc rw
33 1 0:28 / /sys/fs/bpf rw,nosuid shared:4 - bpf bpf rw,mode=700
34 1 0:29 / /run/my\\040bpf rw - bpf none rw
"""
    assert bpf_mounts(table) == (b"/sys/fs/bpf", b"/run/my bpf")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Processes 1 and 812 have program 77, 813 another; a pinned file of it is below `bpf`."""
    made = tmp_path / "proc"
    for pid, comm, target, number in (
        (1, b"systemd", "anon_inode:bpf-prog", 77),
        (812, b"net\npold", "anon_inode:bpf_link", 77),
        (813, b"other", "anon_inode:bpf-prog", 78),
        (os.getpid(), b"whydrop", "anon_inode:bpf-prog", 77),
    ):
        home = made / str(pid)
        (home / "fd").mkdir(parents=True)
        (home / "fdinfo").mkdir()
        (home / "comm").write_bytes(comm + b"\n")
        (home / "fd" / "5").symlink_to(target)
        (home / "fd" / "6").symlink_to("socket:[7]")
        (home / "fdinfo" / "5").write_text(f"pos:\t0\nprog_id:\t{number}\n")
    (made / "self" / "fdinfo").mkdir(parents=True)
    (tmp_path / "bpf" / "deep").mkdir(parents=True)
    for name in ("deep/no_dns", "map"):
        (tmp_path / "bpf" / name).touch()
    table = tmp_path / "mountinfo"
    table.write_text(f"33 1 0:28 / {tmp_path / 'bpf'} rw - bpf bpf rw\n")
    monkeypatch.setattr(keepers, "_PROC", made)
    monkeypatch.setattr(keepers, "_MOUNTS", table)

    def opened(path: bytes) -> int:
        descriptor = os.open("/dev/null", os.O_RDONLY)
        about = "prog_id:\t77\n" if path.endswith(b"no_dns") else "map_id:\t3\n"
        (made / "self" / "fdinfo" / str(descriptor)).write_text(about)
        return descriptor

    monkeypatch.setattr(keepers, "_opened", opened)
    return made


def test_who_keeps_it(proc: Path, tmp_path: Path) -> None:
    found = read_keepers(77)
    assert found.pinned == (str(tmp_path / "bpf" / "deep" / "no_dns"),)
    assert set(found.processes) == {Process(1, "systemd"), Process(812, "net\\x0apold")}


def test_nobody(proc: Path) -> None:
    assert read_keepers(80) == Keepers()


def test_too_much_to_look_through(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "_LONGEST_S", -1.0)
    with pytest.raises(OSError, match="to look through") as caught:
        read_keepers(77)
    assert caught.value.errno == errno.ETIMEDOUT


def test_what_cannot_be_opened_pins_nothing(monkeypatch: pytest.MonkeyPatch, proc: Path) -> None:
    def refuse(command: int, attr: bytes) -> int:
        raise PermissionError

    monkeypatch.undo()
    monkeypatch.setattr(system_calls, "bpf", refuse)
    assert keepers._pins(b"/sys/fs/bpf/x") is None
