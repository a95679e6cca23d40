"""The pager: only for people, only for what does not fit, and never in the way."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

RUN = [sys.executable, "-c", "import sys; from dropwatch.cli.main import main; sys.exit(main())"]
LONG, SHORT = "ipsec.auth-failed", "rx_missed_errors"


def on_a_terminal(*words: str, pager: str | None, height: int = 24, width: int = 80) -> str:
    """What a terminal of this size shows of a command."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    kept = {
        name: value for name, value in os.environ.items() if name not in ("PAGER", "LESS", "LINES", "COLUMNS")
    }
    env = {**kept, "TERM": "xterm", **({} if pager is None else {"PAGER": pager})}
    with subprocess.Popen([*RUN, *words], stdout=slave, stderr=slave, stdin=slave, env=env) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
    os.close(master)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def test_a_long_page_goes_through_the_pager_in_colour() -> None:
    shown = on_a_terminal("explain", LONG, pager="sed 's/^/@@/'")
    assert shown.startswith("@@\x1b[1mipsec.auth-failed\x1b[0m  (cause)\n@@")


@pytest.mark.parametrize("pager", ["", "cat", "no-such-pager-anywhere", "exit 127"])
def test_without_a_pager_it_is_shown_as_it_is(pager: str) -> None:
    assert "\n\x1b[1mRelated\x1b[0m\n" in on_a_terminal("explain", LONG, pager=pager)


def test_what_fits_needs_none() -> None:
    assert "@@" not in on_a_terminal("explain", SHORT, pager="sed 's/^/@@/'")
    assert "@@" not in on_a_terminal("explain", LONG, pager="sed 's/^/@@/'", height=200)


def test_none_where_nobody_wants_one() -> None:
    assert "@@" not in on_a_terminal("explain", LONG, "--no-pager", pager="sed 's/^/@@/'")


def test_a_pager_that_is_left_early_is_no_error() -> None:
    assert on_a_terminal("explain", "--all", "packet", pager="head -n 1").count("\n") == 1


def test_never_in_a_pipe(tmp_path: Path) -> None:
    done = subprocess.run(
        [*RUN, "explain", LONG],
        capture_output=True,
        text=True,
        env={**os.environ, "PAGER": f"tee {tmp_path}/seen"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "seen").exists()


def test_git_s_settings_are_less_s_unless_the_user_has_others() -> None:
    assert on_a_terminal("explain", LONG, pager='echo "$LESS $LV"') == "FRX -c\n"


def test_lists_are_cut_to_the_terminal_and_whole_in_a_pipe() -> None:
    shown = on_a_terminal("explain", "--no-color", "ipsec", pager="cat", width=60)
    assert max(map(len, shown.splitlines())) == 60
    assert "..." in shown
    piped = subprocess.run([*RUN, "explain", "ipsec"], capture_output=True, text=True).stdout
    assert "..." not in piped
    assert len(shown.splitlines()) == len(piped.splitlines())


def test_the_index_fits_the_smallest_terminal() -> None:
    shown = on_a_terminal("explain", "--no-color", pager="sed 's/^/@@/'", height=24)
    assert "@@" not in shown, "no pager was needed"
    assert shown.count("\n") < 24
    assert max(map(len, shown.splitlines())) <= 80
