"""Stop means stop: whenever and however a run ends, nothing of it is left, and what it says adds up."""

import os
import signal
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from scenarios import esp
from scenarios.namespaces import Lab
from scenarios.waiting import eventually
from scenarios.whydrop_process import KPROBE_EVENTS, WHYDROP, Whydrop

from dropwatch.kernel.system_calls import bpf_answer

GET_NEXT_ID = {"prog": 11, "map": 12, "link": 31}  # enum bpf_cmd of linux/bpf.h
KINDS = (*GET_NEXT_ID, "probes")
PROBED = Path("/sys/kernel/tracing/enabled_functions")
BURST, FILLING = 701, 1501  # datagrams that a signal interrupts, and that fill the disk
GONE = 7  # datagrams in a namespace that is deleted before anybody looks at them
TMPDIR = "TMPDIR"


@dataclass
class Started:
    """A whydrop that nobody waits for, with a directory of its own for what it might leave."""

    process: subprocess.Popen[bytes]
    home: Path

    @property
    def ready(self) -> bool:
        return (self.home / "ready").exists()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Of programs, maps, links, probes and processes; files are looked for where they would be."""
    before, events = {kind: shown(kind) for kind in KINDS}, KPROBE_EVENTS.read_text()
    home = Path(tempfile.mkdtemp(prefix="stop-"))
    os.environ[TMPDIR] = str(home)
    try:
        yield
    finally:
        del os.environ[TMPDIR]
    nothing_more_than(before, "the end")
    assert KPROBE_EVENTS.read_text() == events
    assert [path for path in home.iterdir() if not path.name.startswith("whydrop-run-")] == []
    eventually(lambda: not processes_with(str(home)), "no process is left")


def nothing_more_than(before: dict[str, set[str]], when: str) -> None:
    eventually(
        lambda: all(shown(kind) <= there for kind, there in before.items()), f"{when}: nothing is left"
    )


def shown(kind: str) -> set[str]:
    """Numbers of programs, maps and links; the functions with a probe at them. Without a process: they take long."""
    if kind == "probes":
        return {line.split()[0] for line in PROBED.read_text().splitlines()}
    found: set[str] = set()
    last = 0
    with suppress(FileNotFoundError):  # there is no further one
        while True:
            answer = bpf_answer(GET_NEXT_ID[kind], struct.pack("=II", last, 0))
            (last,) = struct.unpack_from("=I", answer, 4)
            found.add(str(last))
    return found


def processes_with(home: str) -> list[str]:
    """Those that have been started with this directory in their environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{TMPDIR}={home}".encode() in environ.read_bytes().split(b"\0"):
                found.append(environ.parent.name)
        except OSError:
            continue
    return [pid for pid in found if pid != str(os.getpid())]


def start(home: Path, *options: str, command: tuple[str, ...] = ()) -> Started:
    home.mkdir()
    words = [str(WHYDROP), *options, "--json", "--ready-file", str(home / "ready"), *command]
    with (home / "out").open("wb") as out:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    return Started(process, home)


@contextmanager
def flooded(lab: Lab) -> Iterator[None]:
    """Datagrams that nobody wants, a hundred at once, again and again while the block lasts."""
    enough = threading.Event()

    def send() -> None:
        while not enough.wait(0.2):  # a pause for whydrop, on the only CPU
            esp.send(lab.a, lab.b.v4, 100, port=9)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        enough.set()
        sender.join()


def ours(kind: str, before: set[str]) -> Callable[[], bool]:
    return lambda: bool(shown(kind) - before)


def test_killed_at_any_moment(lab: Lab, tmp_path: Path) -> None:
    """While it starts, loads, attaches, in each mode under a flood, with a command, and at its end."""
    before = {kind: shown(kind) for kind in KINDS}

    def killed(name: str, when: Callable[[Started], bool]) -> None:
        started = start(tmp_path / name)
        try:
            eventually(lambda: started.process.poll() is not None or when(started), name)
            assert started.process.poll() is None, (started.home / "out").read_text()
        finally:
            started.process.kill()
            started.process.wait()
        nothing_more_than(before, name)

    def killed_at_work(name: str, *options: str, command: tuple[str, ...] = ()) -> None:
        """Once it has told of a drop, and at the end while it is about to close."""
        started = start(tmp_path / name, *options, "--dport", "9", command=command)
        try:
            eventually(lambda: started.process.poll() is not None or started.ready, name)
            with flooded(lab):
                eventually(lambda: (started.home / "out").stat().st_size, name)
                if name == "end":
                    started.process.send_signal(signal.SIGINT)
                    time.sleep(0.1)
                assert started.process.poll() is None, (started.home / "out").read_text()
                started.process.kill()
        finally:
            started.process.kill()
            started.process.wait()
        nothing_more_than(before, name)

    killed("start", lambda started: True)
    killed("maps", lambda started: ours("map", before["map"])())
    killed("programs", lambda started: ours("prog", before["prog"])())
    killed("probes", lambda started: ours("probes", before["probes"])())
    killed_at_work("command", command=("--", "sleep", "1000"))
    killed_at_work("summary", "summary", "--interval", "0.5")
    killed_at_work("trace", "trace")
    killed_at_work("end")


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.once)])
def test_what_came_before_a_signal_is_told_to_the_last(lab: Lab, number: signal.Signals) -> None:
    """Also of a namespace and with the hooks of a module that are gone when it is judged."""
    subprocess.run(["modprobe", "arp_tables"], check=True)
    subprocess.run(["ip", "netns", "add", "gone"], check=True)
    with Whydrop("--proto", "udp", "--dport", "9") as running:
        os.kill(running.pid, signal.SIGSTOP)
        subprocess.run(["ip", "-n", "gone", "link", "set", "lo", "up"], check=True)
        text = f"import socket; s = socket.socket(2, 2); [s.sendto(b'x', ('127.0.0.1', 9)) for _ in range({GONE})]"
        subprocess.run(["ip", "netns", "exec", "gone", "python3", "-c", text], check=False)
        inode = Path("/run/netns/gone").stat().st_ino
        subprocess.run(["ip", "netns", "delete", "gone"], check=True)
        subprocess.run(["modprobe", "-r", "arp_tables"], check=True)
        esp.send(lab.a, lab.b.v4, BURST, port=9)
        os.kill(running.pid, number)
        os.kill(running.pid, signal.SIGCONT)
        done = running.finish(None)
    assert (done.status, done.refused) == (0, []), done.stderr
    assert "Traceback" not in done.stderr
    assert done.end is not None
    drops = [line for line in done.lines if line["type"] == "drop"]
    assert len(drops) == done.end["drops_matched"]
    assert len(drops) + done.end["events_lost"] == BURST + GONE, done.end
    of_gone = [line for line in drops if line["netns"] and line["netns"]["inode"] == inode]
    assert len(of_gone) == GONE
    assert {line["cause"]["id"] for line in of_gone} <= {"socket.udp-no-listener", "unknown"}


@pytest.mark.once
def test_a_reader_that_leaves_ends_it(lab: Lab) -> None:
    words = [str(WHYDROP), "--dport", "9", "--json"]
    with flooded(lab):
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(60) == 0, said
        process.stderr.close()
    assert b"Traceback" not in said


@pytest.mark.once
def test_a_full_disk_ends_it_with_its_closing_statement(lab: Lab, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(tmp_path)], check=True)
    try:
        written = tmp_path / "drops.whydrop"
        with Whydrop("--proto", "udp", "--dport", "9", "--write", str(written)) as running:
            esp.send(lab.a, lab.b.v4, FILLING, port=9)
            done = running.finish(None)
        assert done.status == 1, done.stderr
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.end is not None
        drops = [line for line in done.lines if line["type"] == "drop"]
        assert len(drops) == done.end["drops_matched"]
        assert len(drops) <= FILLING
        assert [spot for spot in done.end["blind_spots"] if "No space left on device" in spot]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
