"""A running `whydrop --json`: started until it is ready, read line by line, ended with its closing statement."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import json_lines
from scenarios.waiting import eventually

if TYPE_CHECKING:
    from typing_extensions import Self


WHYDROP = Path(__file__).parents[3] / ".venv" / "bin" / "whydrop"
PATIENCE = 300.0  # seconds; under emulation on a busy host everything takes its time

KPROBE_EVENTS = Path("/sys/kernel/tracing/kprobe_events")

Line = dict[str, Any]

_FOREIGN = "not JSON"  # a line of the command that whydrop started


@dataclass(frozen=True)
class Finished:
    """How it ended: the exit status, the last line of stdout (None if there is none), all other lines, stderr."""

    status: int
    end: Line | None
    lines: list[Line]
    stderr: str

    @property
    def refused(self) -> list[str]:
        """What of its programs this kernel did not take, in its words."""
        return [spot for spot in self.end["blind_spots"] if "refused" in spot] if self.end else []


class Whydrop:
    """`with Whydrop("--dport", "5000") as whydrop:` runs it inside the block, ready when the block begins.

    With `command` it is `whydrop ... -- COMMAND`, which has no ready moment to wait for. Leaving the block kills it if
    it still runs; a scenario that wants the end calls finish(). Every wait fails with all that came and all of stderr.
    """

    def __init__(self, *options: str, command: list[str] | None = None, before: tuple[str, ...] = ()) -> None:
        self._options = options
        self._before = before  # what starts it, somewhere else
        self._command_words = command
        self._lines: list[Line] = []
        self._checked = 0  # how many of them are as the schema says
        self._changed = threading.Condition()
        self._stdout_ended = False

    def __enter__(self) -> "Self":
        self._home = tempfile.TemporaryDirectory(prefix="whydrop-run-")
        ready = Path(self._home.name, "ready")
        words = [*self._before, str(WHYDROP), *self._options, "--json", "--ready-file", str(ready)]
        if self._command_words is not None:
            words += ["--", *self._command_words]
        self._stderr_path = Path(self._home.name, "stderr")
        with self._stderr_path.open("wb") as stderr:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        if self._command_words is None:
            self._wait_until_ready(ready)
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._home.cleanup()

    @property
    def pid(self) -> int:
        return self._process.pid

    def lines(self) -> list[Line]:
        """What has come so far."""
        with self._changed:
            found = list(self._lines)
        as_promised(found[self._checked :])
        self._checked = len(found)
        return found

    def wait_for(self, wanted: Callable[[Line], bool], count: int = 1) -> list[Line]:
        """The matching lines, as soon as there are `count` of them; fails when they do not come."""
        found: list[Line] = []
        looked_at = 0

        def enough() -> bool:
            nonlocal looked_at
            found.extend(line for line in self._lines[looked_at:] if wanted(line))
            looked_at = len(self._lines)
            return self._stdout_ended or len(found) >= count

        with self._changed:
            self._changed.wait_for(enough, PATIENCE)
        if len(found) < count:
            raise AssertionError(f"{len(found)} of {count} lines came\n{self._all()}")
        return as_promised(found)

    def finish(self, with_signal: signal.Signals | None = signal.SIGINT) -> Finished:
        """Ask it to end (None: it ends by itself) and wait for that."""
        if with_signal is not None:
            self._process.send_signal(with_signal)
        try:
            status = self._process.wait(3 * PATIENCE)  # there may be a ring full of events to work off
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end\n{self._all()}") from None
        self._reader.join()
        lines = self.lines()
        end = lines.pop() if lines and lines[-1].get("type") == "end" else None
        return Finished(status, end, lines, self._stderr_path.read_text())

    def _wait_until_ready(self, ready: Path) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                self._reader.join()
                report = self._all()
                self._home.cleanup()
                raise AssertionError(f"never became ready, exit {self._process.returncode}\n{report}")
            time.sleep(0.05)

    def _read(self, stdout: IO[str]) -> None:
        with stdout:
            for text in stdout:
                if not text.endswith("\n"):
                    break  # killed in the middle of a line
                line = json.loads(text) if text.startswith("{") else {"type": _FOREIGN, "text": text}
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._stdout_ended = True
            self._changed.notify_all()

    def _all(self) -> str:
        lines = "\n".join(json.dumps(line) for line in self._lines)
        return f"--- stdout ---\n{lines}\n--- stderr ---\n{self._stderr_path.read_text()}"


def programs_are_gone(kprobe_events: str) -> None:
    """Wait until no more programs are attached than the whydrops have that run; `kprobe_events` were there before."""
    running = subprocess.run(["pgrep", "-f", "bin/whydrop"], capture_output=True, text=True, check=False)
    others = len(running.stdout.split())
    eventually(lambda: _attached().count("on_kfree_skb") <= others, "the programs go")
    assert KPROBE_EVENTS.read_text() == kprobe_events


def _attached() -> list[str]:
    shown = subprocess.run(["bpftool", "-j", "prog"], capture_output=True, text=True, check=True).stdout
    return [program.get("name", "") for program in json.loads(shown)]


def replayed(recording: Path, *options: str) -> list[Line]:
    """What `whydrop replay` says of it."""
    words = [str(WHYDROP), "replay", str(recording), "--json", *options]
    told = subprocess.run(words, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return as_promised([json.loads(line) for line in told.stdout.splitlines()])


def as_promised(lines: list[Line]) -> list[Line]:
    """The same lines; fails where one is not as the schema says."""
    for line in lines:
        if line["type"] != _FOREIGN:
            json_lines.check(line)
    return lines


def told(line: Line) -> str:
    """What a finding says, for the message of a failure: without its stack."""
    return json.dumps({key: value for key, value in line.items() if key not in ("stack", "fix")})


def recordings_are_wanted() -> bool:
    """By `make recordings`."""
    return "WHYDROP_RECORDINGS" in os.environ


def keep(recording: Path, done: Finished) -> None:
    """Copies it, with what the run printed beside it, to where `make recordings` wants them."""
    if not recordings_are_wanted():
        return
    directory = os.environ["WHYDROP_RECORDINGS"]
    series = ".".join(os.uname().release.split(".")[:2])
    kept = Path(directory, f"linux-{series}-{recording.name}")
    shutil.copyfile(recording, kept)
    with gzip.open(kept.with_suffix(".json.gz"), "wt") as told:
        told.writelines(json.dumps(line) + "\n" for line in (*done.lines, done.end))


@contextmanager
def stopped(whydrop: Whydrop) -> Iterator[None]:
    """It reads nothing inside the block; its probes see what happens."""
    os.kill(whydrop.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(whydrop.pid, signal.SIGCONT)
