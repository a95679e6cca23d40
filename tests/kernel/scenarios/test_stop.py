"""Stop means stop: whenever and however a run ends, nothing of it is left, and what it says adds up."""

import fcntl
import os
import signal
import struct
import subprocess
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from scenarios import esp
from scenarios.namespaces import Lab
from scenarios.waiting import eventually
from scenarios.whydrop_process import KPROBE_EVENTS, WHYDROP, Whydrop

from dropwatch.kernel.system_calls import bpf_answer

GET_NEXT_ID = {"prog": 11, "map": 12, "link": 31}  # enum bpf_cmd of linux/bpf.h
KINDS = (*GET_NEXT_ID, "probes", "mounts", "pins")
PROBED = Path("/sys/kernel/tracing/enabled_functions")
BURST, FILLING = 211, 401  # datagrams that a signal interrupts, and that fill the disk
GONE = 7  # datagrams in a namespace that is deleted before anybody looks at them
TMPDIR = "TMPDIR"
FULL = 60_000  # bytes in a pipe of 64 KB


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
    """Of programs, maps, links, probes, mounts, pins and processes; files are looked for where they would be."""
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
    left: dict[str, set[str]] = {}

    def nothing_is_left() -> bool:
        left.update({kind: shown(kind) - there for kind, there in before.items()})
        return not any(left.values())

    try:
        eventually(nothing_is_left, f"{when}: nothing is left")
    except AssertionError as slow:
        raise AssertionError(f"{slow} but {left}") from None


def shown(kind: str) -> set[str]:
    """Numbers of programs, maps and links; the functions with a probe at them. Without a process: they take long."""
    if kind == "mounts":
        return set(Path("/proc/self/mountinfo").read_text().splitlines())
    if kind == "pins":
        return {str(path) for path in Path("/sys/fs/bpf").rglob("*")}
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
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=home)
    return Started(process, home)


@contextmanager
def flooded(lab: Lab) -> Iterator[None]:
    """Datagrams that nobody wants, many at once, again and again while the block lasts."""
    enough = threading.Event()

    def send() -> None:
        while not enough.wait(0.2):  # a pause for whydrop, on the only CPU
            esp.send(lab.a, lab.b.v4, 40, port=9)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        enough.set()
        sender.join()


def once(*values: object) -> object:
    return pytest.param(*values, marks=pytest.mark.once)


@pytest.mark.parametrize("grows", [once(None), once("map"), "prog", "probes"])
def test_killed_while_it_starts(tmp_path: Path, grows: str | None) -> None:
    """At once, or when the first map, program or probe is there."""
    before = shown(grows) if grows is not None else set()

    def is_there() -> bool:
        return grows is None or bool(shown(grows) - before)

    started = start(tmp_path / "run")
    try:
        eventually(lambda: started.process.poll() is not None or is_there(), f"{grows} is there")
        assert started.process.poll() is None, (started.home / "out").read_text()
    finally:
        started.process.kill()
        started.process.wait()


@pytest.mark.twice
@pytest.mark.parametrize(
    ("mode", "command"),
    [
        ((), ("--", "sleep", "1000")),
        once(("summary", "--interval", "0.5"), ()),
        once(("trace",), ()),
        once(("--light",), ()),
        once(("--write", "recording.whydrop"), ()),
    ],
)
def test_killed_under_a_flood(
    lab: Lab, tmp_path: Path, mode: tuple[str, ...], command: tuple[str, ...]
) -> None:
    """Once it has told of a drop."""
    with told_under_a_flood(lab, tmp_path / "run", *mode, command=command) as started:
        assert started.process.poll() is None, (started.home / "out").read_text()


@pytest.mark.once
def test_killed_at_its_end(lab: Lab, tmp_path: Path) -> None:
    """While it is about to close."""
    with told_under_a_flood(lab, tmp_path / "run") as started:
        started.process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        assert started.process.poll() is None, (started.home / "out").read_text()


@contextmanager
def told_under_a_flood(
    lab: Lab, home: Path, *options: str, command: tuple[str, ...] = ()
) -> Iterator[Started]:
    """One that has told of a drop, while more die; it is killed at the end of the block."""
    started = start(home, *options, "--dport", "9", command=command)
    try:
        eventually(lambda: started.process.poll() is not None or started.ready, "it is ready")
        with flooded(lab):
            eventually(lambda: (home / "out").stat().st_size, "it tells of a drop")
            yield started
            started.process.kill()
    finally:
        started.process.kill()
        started.process.wait()


@pytest.mark.parametrize("number", [once(signal.SIGTERM), once(signal.SIGHUP)])
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
    assert sum(line["count"] for line in drops) == done.end["drops_matched"] == BURST + GONE, done.end
    assert done.end["events_lost"] == 0, done.end
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
def test_a_reader_that_does_not_read_keeps_it_from_nothing(lab: Lab) -> None:
    """A pipe that is full is no reason to stay."""
    words = [str(WHYDROP), "--dport", "9", "--json", "--every-packet"]
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        with flooded(lab):
            eventually(lambda: waiting_in(process.stdout) > FULL, "the pipe is full")
            process.terminate()
            process.terminate()
            assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def waiting_in(pipe: IO[bytes] | None) -> int:
    """How many bytes nobody has read yet."""
    assert pipe is not None
    (count,) = struct.unpack("=i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return int(count)


@pytest.mark.parametrize("name", [once("drops.whydrop"), once("drops.pcapng")])
def test_a_full_disk_ends_it_with_its_closing_statement(lab: Lab, tmp_path: Path, name: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(tmp_path)], check=True)
    try:
        with Whydrop("--proto", "udp", "--dport", "9", "--write", str(tmp_path / name)) as running:
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
