"""Shows a text that is longer than the terminal in the user's pager, as git does."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping

from dropwatch.render.screen import Screen

# What git sets where the user has not: leave when it fits, keep colours, leave the text on the screen.
_SETTINGS = {"LESS": "FRX", "LV": "-c"}
_NOT_STARTED = frozenset({126, 127})  # what sh answers for a command that cannot run, or is not there
_NONE = frozenset({"", "cat"})


def show_paged(text: str, screen: Screen, environ: Mapping[str, str] = os.environ) -> None:
    """Through PAGER (`less` without one) where the output is a terminal and the text does not fit; else as it is."""
    pager = environ.get("PAGER", "less" if shutil.which("less") else "").strip()
    fits = text.count("\n") < shutil.get_terminal_size().lines
    if pager in _NONE or fits or not is_terminal(screen) or not _paged(text, pager, environ):
        screen.show(text)


def is_terminal(screen: Screen) -> bool:
    """Whether somebody sees what is shown at once, on lines of limited width."""
    try:
        return screen.out is not None and screen.out.isatty()
    except ValueError:
        return False


def _paged(text: str, pager: str, environ: Mapping[str, str]) -> bool:
    """False where the pager could not be started."""
    process = subprocess.Popen(pager, shell=True, stdin=subprocess.PIPE, env={**_SETTINGS, **environ})
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the pager's affair, until it ends
    try:
        try:
            process.communicate(text.encode(errors="backslashreplace"))
        except BrokenPipeError:
            process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return process.returncode not in _NOT_STARTED
