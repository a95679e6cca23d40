"""The full screen on a terminal: keys, sizes, and that the terminal is given back whatever ends it."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dropwatch.render.summary import screen

PATIENCE = 20.0
PROGRAM = """
import sys, time
from dropwatch.model.drop import Frame
from dropwatch.render.summary.screen import SummaryScreen, has_full_screen
from dropwatch.run.stop import Stop
from dropwatch.model.summary import Summary, SummaryRow

assert has_full_screen(sys.stdout)
rows = [
    SummaryRow(f"row {n}", f"family.cause-{n}", f"title {n}", "certain", Frame("f", 1, None, 1), None, None, None, None,
               n, n, float(n), 1.0, 2.0, 1, (n,))
    for n in range(1, 4)
]
screen, number = SummaryScreen(1, colour=True), 0
with Stop() as stop:
    try:
        while not stop.asked and not screen.step():
            number += 1
            screen.summary(Summary(number, 1.0, 0.0, tuple(rows), 6, {}, 0))
            if "raise" in sys.argv:
                raise RuntimeError("on purpose")
            time.sleep(0.02)
    finally:
        screen.close()
        screen.close()
print("left", flush=True)
"""


class Terminal:
    """The program on a terminal of its own, of 80 columns and 24 lines."""

    def __init__(self, *words: str, term: str = "xterm") -> None:
        self.outer, self.inner = pty.openpty()
        self._size(80, 24)
        self.before = termios.tcgetattr(self.inner)
        environment = {**os.environ, "TERM": term, "LC_ALL": "C.UTF-8"}
        for name in ("LINES", "COLUMNS", "NO_COLOR"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            stdin=self.inner,
            stdout=self.inner,
            stderr=self.inner,
            env=environment,
            start_new_session=True,
        )
        self.came = ""

    def _size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.outer, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        self._size(columns, lines)
        self.process.send_signal(signal.SIGWINCH)  # it is not its controlling terminal, which would tell it

    def wait_for(self, text: str) -> None:
        """Until it comes; forgets everything before it and itself."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.came:
            assert time.monotonic() < deadline, f"{text!r} did not come, but {self.came[:2000]!r}"
            if select.select([self.outer], [], [], 0.1)[0]:
                self.came += os.read(self.outer, 1 << 16).decode(errors="replace")
        self.came = self.came.partition(text)[2]

    def press(self, keys: str) -> None:
        os.write(self.outer, keys.encode())

    def ended(self) -> bool:
        """Waits for it; True when the terminal is as it was."""
        self.process.wait(PATIENCE)
        return termios.tcgetattr(self.inner) == self.before

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.outer)
        os.close(self.inner)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    made = []

    def start(*words: str) -> Terminal:
        made.append(Terminal(*words))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_keys(terminal: Callable[..., Terminal]) -> None:
    it = terminal()
    it.wait_for("family.cause-3")
    it.press("o")
    it.wait_for("other counters")
    it.press("\x1b")
    it.wait_for("family.cause-3")
    it.press("/cause-2")
    it.wait_for("with 'cause-2'_")
    it.press("\n\x1bq")
    it.wait_for("\x1b[?1049l")
    it.wait_for("left")
    assert it.ended()
    assert it.process.returncode == 0


def test_the_arrow_keys(terminal: Callable[..., Terminal]) -> None:
    it = terminal()
    it.wait_for("title 3")
    it.press("\x1bOB")
    it.wait_for("2")
    it.press("\r")
    it.wait_for("Esc:back")
    it.press("q")
    assert it.ended()


def test_a_new_size(terminal: Callable[..., Terminal]) -> None:
    it = terminal()
    it.wait_for("p:pause")
    it.resize(30, 6)
    it.wait_for("…")
    it.resize(100, 30)
    it.wait_for("\x1b[30d")
    it.press("q")
    it.wait_for("left")
    assert it.ended()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal(number: int, terminal: Callable[..., Terminal]) -> None:
    it = terminal()
    it.wait_for("p:pause")
    it.process.send_signal(number)
    it.wait_for("\x1b[?1049l")
    it.wait_for("left")
    assert it.ended()


def test_an_error(terminal: Callable[..., Terminal]) -> None:
    it = terminal("raise")
    it.wait_for("\x1b[?1049l")
    it.wait_for("on purpose")
    assert it.ended()


def test_what_is_no_such_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not screen.has_full_screen(None)
    with (tmp_path / "file").open("w") as file:
        assert not screen.has_full_screen(file)
    for term in ("dumb", "", "no-such-terminal"):
        monkeypatch.setenv("TERM", term)
        script = (
            "import os, sys; os.isatty = lambda fd: True\n"
            "from dropwatch.render.summary.screen import has_full_screen\n"
            "sys.exit(has_full_screen(sys.stdout))"
        )
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
