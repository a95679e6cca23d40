"""The full screen of a summary on a real terminal, through curses; the terminal is given back as it was."""

import contextlib
import curses
import locale
import os
from typing import TextIO

from dropwatch.model.summary import Summary
from dropwatch.render.summary.keys import Look
from dropwatch.render.summary.page import Style, SummaryPage

_ESCAPE_MS = 25  # how long the rest of a key may take that begins with Escape
_NAMES = {
    curses.KEY_UP: "up",
    curses.KEY_DOWN: "down",
    curses.KEY_PPAGE: "page-up",
    curses.KEY_NPAGE: "page-down",
    curses.KEY_HOME: "home",
    curses.KEY_END: "end",
    curses.KEY_ENTER: "enter",
    curses.KEY_BACKSPACE: "backspace",
}
_CHARACTERS = {"\n": "enter", "\r": "enter", "\x1b": "escape", "\x7f": "backspace", "\b": "backspace"}
_PAIRS: dict[Style, tuple[int, int]] = {"certain": (1, curses.COLOR_RED), "likely": (2, curses.COLOR_YELLOW)}


def has_full_screen(output: TextIO | None) -> bool:
    """Whether standard input and output are a terminal on which a cursor can be placed."""
    try:
        if output is None or output.fileno() != 1 or not (os.isatty(0) and os.isatty(1)):
            return False
        curses.setupterm(os.environ.get("TERM") or "dumb", 1)
        return curses.tigetstr("cup") is not None
    except (OSError, ValueError, curses.error):
        return False


class SummaryScreen:
    """Shows the last summary, and obeys keys. It has the terminal from the first step() until close()."""

    def __init__(self, own_netns: int | None, *, colour: bool) -> None:
        blocks = locale.nl_langinfo(locale.CODESET).upper() in ("UTF-8", "UTF8")
        self._page = SummaryPage(own_netns, blocks=blocks)
        self._colour = colour
        self._look = Look()
        self._latest: Summary | None = None
        self._shown: Summary | None = None
        self._window: curses.window | None = None
        self._styles: dict[Style, int] = {}

    def summary(self, summary: Summary) -> str:
        """Shows it, unless paused. There is no text to be written."""
        self._latest = summary
        if not self._look.paused:
            self._shown = summary
        if self._window is not None:
            self._draw(self._window)
        return ""

    def step(self) -> bool:
        """Obeys the keys that were pressed; true when one of them says to leave."""
        if self._window is None:
            self._window = self._open()
            self._draw(self._window)
        pressed = leave = False
        while not leave and (key := _key(self._window)) is not None:
            pressed = True
            rows = self._look.rows(self._shown.rows) if self._shown is not None else []
            leave = self._look.press(key, rows, self._window.getmaxyx()[0] - 1)
        if pressed:
            if not self._look.paused:
                self._shown = self._latest
            self._draw(self._window)
        return leave

    def close(self) -> None:
        """The terminal is as it was. May be called again."""
        if self._window is not None:
            self._window = None
            curses.endwin()

    def _open(self) -> "curses.window":
        window = curses.initscr()
        self._window = window  # from here on close() has something to do
        curses.noecho()
        curses.cbreak()
        window.keypad(True)
        window.nodelay(True)
        curses.set_escdelay(_ESCAPE_MS)
        with contextlib.suppress(curses.error):  # a terminal that cannot hide it
            curses.curs_set(0)
        self._styles = {
            "bold": curses.A_BOLD,
            "dim": curses.A_DIM,
            "selected": curses.A_REVERSE,
            "heading": curses.A_UNDERLINE,
        }
        if self._colour and curses.has_colors():
            curses.start_color()
            curses.use_default_colors()
            for style, (number, colour) in _PAIRS.items():
                curses.init_pair(number, colour, -1)
                self._styles[style] = curses.color_pair(number)
        return window

    def _draw(self, window: "curses.window") -> None:
        height, width = window.getmaxyx()
        window.erase()
        for at, line in enumerate(self._page.lines(self._shown, self._look, width, height)):
            try:
                window.addstr(at, 0, line.text, self._styles.get(line.style, curses.A_NORMAL))
            except curses.error:
                continue  # the last cell of the screen, or it has just become smaller
        window.refresh()


def _key(window: "curses.window") -> str | None:
    """The next key that was pressed, as Look.press() knows it; None when there is none."""
    try:
        key = window.get_wch()
    except curses.error:
        return None
    if isinstance(key, int):
        return _NAMES.get(key, "another key")  # also KEY_RESIZE: the size is asked for with every drawing
    return _CHARACTERS.get(key, key)
