"""What is asked for and not there now is told: it may come later."""

from pathlib import Path
from typing import Any

import pytest

from dropwatch.host.containers import Container, Containers
from dropwatch.model.filter import Filter, Owner
from dropwatch.run.wanted import doubts as room
from dropwatch.run.wanted.doubts import doubts

ID = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process, two interfaces, a kernel with one reason."""
    (tmp_path / "812").mkdir()
    (tmp_path / "812" / "comm").write_bytes(b"ngi\xffnx\n")
    (tmp_path / "meminfo").write_text("")
    monkeypatch.setattr(room, "_PROC", tmp_path)
    monkeypatch.setattr(room, "read_path_of", lambda pid: f"/system.slice/nginx.service/docker-{ID}.scope")
    monkeypatch.setattr(Containers, "find", lambda self, which: {ID: Container("web")}.get(which))
    monkeypatch.setattr(room, "seen_interfaces", lambda netns: (frozenset({"lo", "eth0"}), True))
    monkeypatch.setattr(room, "reasons_of_this_kernel", lambda: frozenset({"NO_SOCKET"}))


def test_what_is_there_is_not_doubted() -> None:
    owner = Owner(
        pids=frozenset({812}),
        comms=frozenset({"ngi\\xffnx"}),
        units=frozenset({"nginx.service"}),
        containers=frozenset({ID[:12], "web"}),
    )
    assert doubts(Filter(ifaces=("eth0",), owner=owner, reasons=frozenset({"NO_SOCKET"}))) == ()
    assert doubts(Filter()) == ()


@pytest.mark.parametrize(
    ("asked", "doubt"),
    [
        (
            {"ifaces": ("eht0", "lo")},
            "--iface eht0: there is no such interface now in any network namespace; did you mean eth0?",
        ),
        (
            {"ifaces": ("wg7",), "netns": (7,)},
            "--iface wg7: there is no such interface now in the network namespaces asked for",
        ),
        ({"owner": Owner(pids=frozenset({812, 9}))}, "--pid 9: there is no such process now"),
        ({"owner": Owner(comms=frozenset({"sshd"}))}, "--comm sshd: no process of this name is seen now"),
        (
            {"owner": Owner(units=frozenset({"nginxx.service"}))},
            "--unit nginxx.service: no process is seen in it now; did you mean nginx.service?",
        ),
        ({"owner": Owner(containers=frozenset({"ffff"}))}, "--container ffff: no process is seen in it now"),
        ({"reasons": frozenset({"X", "NO_SOCKET"})}, "--reason X: this kernel does not have it"),
    ],
)
def test_what_is_not_there_now(asked: dict[str, Any], doubt: str) -> None:
    assert doubts(Filter(**asked)) == (doubt,)


def test_a_kernel_without_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "reasons_of_this_kernel", frozenset)
    assert doubts(Filter(reasons=frozenset({"X"}))) == ("--reason X: this kernel gives no drop reasons",)


def test_where_not_all_namespaces_may_be_looked_into_an_interface_is_not_doubted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "seen_interfaces", lambda netns: (frozenset({"lo"}), False))
    assert doubts(Filter(ifaces=("eth0",))) == ()
