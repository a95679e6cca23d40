"""What strongSwan's daemon answers on its vici socket, and that nobody else is believed."""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from dropwatch.host.ipsec import vici
from dropwatch.host.ipsec.vici import Connection, ask, connections_of
from dropwatch.host.netns.netns import own_inode


def name(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()


def section(of: str, *inside: bytes) -> bytes:
    return b"\x01" + name(of) + b"".join(inside) + b"\x02"


def value(of: str, text: str) -> bytes:
    return b"\x03" + name(of) + struct.pack(">H", len(text)) + text.encode()


def listed(of: str, *items: str) -> bytes:
    return (
        b"\x04"
        + name(of)
        + b"".join(b"\x05" + struct.pack(">H", len(i)) + i.encode() for i in items)
        + b"\x06"
    )


CHILD = section(
    "net-net-3",
    value("name", "net-net"),
    value("reqid", "7"),
    value("spi-in", "c3571414"),
    value("spi-out", "0000a001"),
    value("if-id-in", "0000002a"),
    listed("local-ts", "10.1.0.0/16", "10.3.0.0/16"),
)
EVENT = section("gw-gw", value("version", "2"), section("child-sas", CHILD))
FOUND = Connection("gw-gw", "net-net", 7, (0xC3571414, 0xA001), (0x2A,))


def test_child_sas_are_found() -> None:
    assert list(connections_of(EVENT)) == [FOUND]
    assert list(connections_of(section("gw-gw", value("version", "2")))) == []


def test_what_is_no_section_is_passed_over() -> None:
    assert list(connections_of(section("a", value("child-sas", "none")))) == []


@pytest.mark.parametrize(
    "message",
    [b"\x09", b"\x03\x04spi", section("a", section("child-sas", section("b", value("reqid", "x"))))],
)
def test_nonsense_is_an_error(message: bytes) -> None:
    with pytest.raises((ValueError, struct.error, IndexError)):
        list(connections_of(message))


def packet(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", 1 + len(payload)) + bytes((kind,)) + payload


Daemon = Callable[[bytes], str]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A socket that answers with these bytes once it was asked something, and then stays silent."""
    path = str(tmp_path / "vici")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen()
    end = threading.Event()
    threads: list[threading.Thread] = []

    def answer(raw: bytes) -> str:
        def serve() -> None:
            with suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(raw)
                    end.wait()

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return path

    yield answer
    end.set()
    for thread in threads:
        thread.join()
    listening.close()


def asked(path: str, pid: int | None = None, seconds: float = 5.0) -> list[Connection]:
    return ask(path, os.getpid() if pid is None else pid, time.monotonic() + seconds)


def test_the_dialogue(daemon: Daemon) -> None:
    raw = packet(5) + packet(7, name("list-sa") + EVENT) + packet(7, name("list-sa") + EVENT) + packet(1)
    assert asked(daemon(raw)) == [FOUND, FOUND]


def test_an_unknown_command_answers_nothing(daemon: Daemon) -> None:
    assert asked(daemon(packet(5) + packet(2))) == []


def test_whoever_else_listens_is_not_believed(daemon: Daemon) -> None:
    with pytest.raises(ValueError, match="another process"):
        asked(daemon(packet(5) + packet(1)), pid=1)


def test_an_endless_answer_is_not_read(daemon: Daemon) -> None:
    with pytest.raises(ValueError, match="too long"):
        asked(daemon(struct.pack(">I", 1 << 30)))


def test_a_daemon_that_hangs_costs_no_more_than_the_time_it_has(daemon: Daemon) -> None:
    with pytest.raises(OSError, match="timed out"):
        asked(daemon(packet(5)), seconds=0.05)


def test_the_sockets_of_a_process_are_found_by_what_it_has_open(tmp_path: Path) -> None:
    """Of this process: neither a socket of another name, nor one that is open no more."""
    with contextlib.ExitStack() as stack:
        for at in ("a.vici", "other"):
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(str(tmp_path / at))
            listening.listen()
        with socket.socket(socket.AF_UNIX) as closed:
            closed.bind(str(tmp_path / "b.vici"))
        found = [path for path in vici._sockets(os.getpid()) if tmp_path.name in str(path)]
        assert found == [Path(f"/proc/{os.getpid()}/root{tmp_path}/a.vici")]


@pytest.mark.parametrize("odd", [b"\xff\xfe", b"a\nb", b"\xe2\x80\xa8"])
def test_names_that_any_user_may_give_end_nothing(odd: bytes, tmp_path: Path) -> None:
    """Every process and every unix socket is looked at, by names that are bytes."""
    comm = Path("/proc/self/comm")
    before = comm.read_bytes()
    with socket.socket(socket.AF_UNIX) as strange, socket.socket(socket.AF_UNIX) as listening:
        strange.bind(bytes(tmp_path / "x") + odd)
        strange.listen()
        listening.bind(bytes(tmp_path / "vici"))
        listening.listen()
        comm.write_bytes(odd)
        try:
            assert os.getpid() not in [daemon.pid for daemon in vici.find_daemons().get(own_inode(), [])]
        finally:
            comm.write_bytes(before)
        assert tmp_path / "vici" in [
            Path("/", *path.parts[4:]) for path in vici._sockets(os.getpid()) if tmp_path.name in str(path)
        ]


def test_names_of_connections_are_harmless() -> None:
    message = b"\x01\x02\xff\n" + section("child-sas", section("c")) + b"\x02"
    assert [one.ike for one in connections_of(message)] == ["\\xff\\x0a"]


def test_a_daemon_that_answers_byte_by_byte_is_late_too(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, and a second of the clock later."""
    now = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(daemon(bytes(1000)))
        connection.sendall(b"x")
        slow = SimpleNamespace(settimeout=connection.settimeout, recv=lambda size: connection.recv(1))
        with pytest.raises(TimeoutError):
            vici._received(slow, 1000, 50)  # type: ignore[arg-type]
