"""Namespaces, as far as a test without root sees them: its own, under as many names as it likes."""

import os
from pathlib import Path

import pytest

from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.host.commands import in_namespace
from dropwatch.host.netns import enter, files, netns
from dropwatch.model.drop import Netns

OWN = Path("/proc/self/ns/net")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory of names in place of /run/netns; a link to a namespace stands for its mount."""
    monkeypatch.setattr(files, "NAMES_DIR", tmp_path)
    monkeypatch.setattr(netns, "_FILES", files.NamespaceFiles())
    return tmp_path


def test_a_name_comes_before_anything_else(names: Path) -> None:
    (names / "blue").symlink_to(OWN)
    assert netns.netns_name(netns.own_inode()) == "blue"


def test_a_name_cannot_command_a_terminal(names: Path) -> None:
    (names / "b\x1b[31m").symlink_to(OWN)
    assert netns.netns_name(netns.own_inode()) == "b\\x1b[31m"


def test_a_name_is_not_taken_for_a_process(names: Path) -> None:
    """Its commands would go to the namespace of that process."""
    (names / "pid 1 (init)").symlink_to(OWN)
    name = netns.netns_name(netns.own_inode())
    assert name == "pid\\x201 (init)"
    assert in_namespace(Netns(7, name), "ip rule") == "ip netns exec $'pid\\x201 (init)' ip rule"


def test_the_nameless_own_namespace_has_no_name(names: Path) -> None:
    assert netns.netns_name(netns.own_inode()) is None


def test_a_namespace_without_a_name_is_known_by_a_process(
    names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inode = netns.own_inode()
    monkeypatch.setattr(netns, "own_inode", lambda: 0)
    name = netns.netns_name(inode)
    assert name is not None
    pid = int(name.removeprefix("pid ").split()[0])
    assert Path(f"/proc/{pid}/ns/net").stat().st_ino == inode
    assert name == f"pid {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"


def test_a_file_with_the_right_number_is_not_yet_a_namespace(names: Path) -> None:
    file = names / "file"
    file.touch()
    assert netns.netns_name(file.stat().st_ino) is None


def test_a_name_is_believed_only_while_its_file_is_that_namespace(names: Path) -> None:
    """The inode of a namespace that is gone goes to the next one."""
    known = netns.NetnsNames()
    (names / "old").symlink_to(OWN)
    assert known.name(netns.own_inode()) == "old"
    (names / "old").rename(names / "new")
    assert known.name(netns.own_inode()) == "new"


def test_that_there_is_no_name_is_not_remembered(names: Path) -> None:
    """A namespace that has just come may have the inode of one that has just gone."""
    known = netns.NetnsNames(
        lambda inode: ("blue", names / "blue") if (names / "blue").exists() else (None, None)
    )
    assert known.name(netns.own_inode()) is None
    (names / "blue").symlink_to(OWN)
    assert known.name(netns.own_inode()) == "blue"


def test_no_more_names_are_remembered_than_there_is_room_for(names: Path) -> None:
    known = netns.NetnsNames(lambda inode: (str(inode), names))
    assert [known.name(inode) for inode in range(5000)] == [str(inode) for inode in range(5000)]
    assert len(known._known) == 4096


@pytest.mark.parametrize(
    "form", ["{inode}", "net:[{inode}]", "{pid}", "/proc/{pid}/ns/net", "blue", "{names}/blue"]
)
def test_every_way_to_write_a_namespace(names: Path, form: str) -> None:
    (names / "blue").symlink_to(OWN)
    text = form.format(inode=netns.own_inode(), pid=os.getpid(), names=names)
    assert netns.resolve_netns(text) == netns.own_inode()


def test_a_name_of_digits_comes_before_a_pid(names: Path) -> None:
    (names / "1").symlink_to(OWN)
    assert netns.resolve_netns("1") == netns.own_inode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("green", "there is no network namespace named 'green'"),
        ("", "there is no network namespace named ''"),
        ("..", "there is no network namespace named '..'"),
        ("a\0b", "there is no network namespace named 'a\\x00b'"),
        ("/a\0b", "cannot use '/a\\x00b' as a network namespace: a path has no null byte"),
        ("/no/such", "cannot use '/no/such' as a network namespace: No such file or directory"),
        ("/proc/self/ns/mnt", "'/proc/self/ns/mnt' is not a network namespace"),
        ("/etc/passwd", "'/etc/passwd' is not a network namespace"),
        ("4194304", "there is no process 4194304 whose network namespace to watch"),
        ("4026499999", "there is no network namespace with inode 4026499999"),
        ("net:[7]", "there is no network namespace with inode net:[7]"),
        ("net:[x]", "there is no network namespace named 'net:[x]'"),
        ("9" * 40, f"there is no network namespace named '{'9' * 40}'"),
        ("٣", "there is no network namespace named '٣'"),
        ("-1", "there is no network namespace named '-1'"),
    ],
)
def test_what_is_no_namespace_is_said_with_what_there_is(names: Path, text: str, message: str) -> None:
    (names / "blue").symlink_to(OWN)
    with pytest.raises(WrongUsage) as caught:
        netns.resolve_netns(text)
    assert caught.value.message == message
    assert "blue" in caught.value.hint


def test_a_leftover_of_ip_netns_is_no_namespace(names: Path) -> None:
    (names / "stale").touch()
    with pytest.raises(WrongUsage, match="'stale' is not a network namespace"):
        netns.resolve_netns("stale")


def test_opening_gives_the_namespace_or_says_it_is_gone() -> None:
    descriptor = netns.open_netns(netns.own_inode())
    try:
        assert os.fstat(descriptor).st_ino == netns.own_inode()
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)
    with pytest.raises(FileNotFoundError):
        netns.open_netns(4026499999)


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Another namespace that can be entered without root: records which descriptors were entered."""
    home = OWN.stat().st_ino
    entered: list[str] = []
    monkeypatch.setattr(enter, "open_netns", lambda inode: os.open("/dev/null", os.O_RDONLY))
    monkeypatch.setattr(
        enter, "_setns", lambda fd: entered.append("home" if os.fstat(fd).st_ino == home else "there")
    )
    return entered


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_entering_comes_back_and_leaves_nothing_open(moves: list[str]) -> None:
    before = open_files()
    with enter.entered(7):
        assert moves == ["there"]
    assert moves == ["there", "home"]
    assert open_files() == before


def test_entering_comes_back_from_an_error(moves: list[str]) -> None:
    before = open_files()
    with pytest.raises(ZeroDivisionError), enter.entered(7):
        raise ZeroDivisionError
    assert moves == ["there", "home"]
    assert open_files() == before


def test_the_own_namespace_is_not_entered(moves: list[str]) -> None:
    with enter.entered(netns.own_inode()):
        pass
    assert moves == []


def test_a_namespace_that_may_not_be_entered_is_an_oserror(
    monkeypatch: pytest.MonkeyPatch, moves: list[str]
) -> None:
    def refuse(descriptor: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(enter, "_setns", refuse)
    before = open_files()
    with pytest.raises(PermissionError), enter.entered(7):
        pytest.fail("is inside")
    assert open_files() == before


def test_no_way_back_is_fatal(monkeypatch: pytest.MonkeyPatch, moves: list[str]) -> None:
    def once(descriptor: int) -> None:
        if moves:
            raise PermissionError(1, "Operation not permitted")
        moves.append("there")

    monkeypatch.setattr(enter, "_setns", once)
    with pytest.raises(WhydropError, match="cannot return"), enter.entered(7):
        pass
