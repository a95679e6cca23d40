"""A run on a terminal, in a pipe or in a file: its text, and in words on standard error what it amounts to."""

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from dropwatch.host.netns.netns import netns_name, own_inode
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.names.foreign import printable
from dropwatch.recording.listener import Listener
from dropwatch.recording.start import Start
from dropwatch.render.closing import closing
from dropwatch.render.layout import Layout, layout_for
from dropwatch.render.opening import CLEAR, STARTING, watching
from dropwatch.render.screen import Screen
from dropwatch.render.wanted import netns_words, wanted_words
from dropwatch.run.context import Run
from dropwatch.run.mode import Mode
from dropwatch.run.modes import live_mode, replayed_mode
from dropwatch.run.options import Options
from dropwatch.run.stop import Stop

_EXPLAINED = frozenset({"findings", "stack", "trace", "tree"})


class OnScreen:
    """The face of a run: text to standard output, what it does to standard error.

    Where the lines are for programs only a terminal is told what it does; `quiet` is nobody
    told before the end.
    """

    def __init__(self, screen: Screen, layout: Layout, options: Options) -> None:
        self._screen, self._layout, self._options = screen, layout, options
        self._tells = not options.quiet and (not options.json or screen.err_is_terminal)
        self._said = False
        self._stands = False  # a line on the terminal that is to go

    @property
    def reader_left(self) -> bool:
        return self._screen.reader_left

    @property
    def explains(self) -> bool:
        """The views that count have other words for it."""
        return not (self._options.json or self._options.quiet) and self._options.view in _EXPLAINED

    def show(self, text: str) -> None:
        self._screen.show(text)

    def starting(self) -> None:
        """Said once, before what takes long."""
        if self._tells and not self._said:
            self._said = True
            self._stands = self._screen.err_is_terminal
            self._screen.say(STARTING if self._stands else f"{STARTING}\n")

    def started(self) -> None:
        """Whatever came of it, nothing says any more that it is starting."""
        if self._stands:
            self._stands = False
            self._screen.say(CLEAR)

    def ready(self, watched: str, blind_spots: tuple[str, ...]) -> None:
        self.started()
        if self._tells:
            wanted = self._options.wanted
            where = netns_words(wanted, netns_name, own_inode())
            words = f"{watched} {wanted_words(wanted)}, {where}"
            self._screen.say(watching(words, () if self._options.json else blind_spots, self._layout))

    def closing(self, run: Run, told: tuple[str, ...]) -> None:
        """`told` are blind spots that the opening named."""
        self._screen.show(run.last_words)
        if not self._options.json:
            self._screen.say(closing(run.totals, self._layout, told))
        if run.nothing is not None:
            from dropwatch.render.nothing import nothing

            self._screen.say(nothing(run.nothing, own_inode(), self._layout))


def show_live(options: Options, screen: Screen, stop: Stop) -> None:
    """One live run, to its last line."""
    layout = layout_for(screen.out, options.no_color, options.color, options.times)
    face = OnScreen(screen, layout, options)
    if screen.err_is_terminal:  # there it goes again; what cannot start says so, in a pipe, in two lines
        face.starting()
    try:
        _show_live(options, screen, layout, face, stop)
    finally:
        face.started()


def _show_live(options: Options, screen: Screen, layout: Layout, face: OnScreen, stop: Stop) -> None:
    from dropwatch.run.live import Live  # slow to import

    def mode_of(symbols: Kallsyms, listener: Listener) -> Mode:
        return live_mode(options, symbols, screen, layout, stop, listener)

    run = Live(options, mode_of, face, stop)
    try:
        with run:
            deque(run, maxlen=0)
    finally:
        if run.is_over:  # also when its recording could not be written to the end
            face.closing(run, () if options.quiet else run.told)
    if run.failure is not None and not stop.asked:
        screen.say(f"whydrop: {printable(run.failure)}\n")


def show_replay(
    path: Path,
    options: Options,
    netns: tuple[str, ...],
    screen: Screen,
    stop: Stop,
    *,
    as_findings: bool = False,
) -> None:
    """A recording, to its last line: also of a damaged one, before that is raised."""
    from dropwatch.run.replay import Replay  # a live run starts without it

    layout = layout_for(screen.out, options.no_color, options.color, options.times)
    layout = replace(layout, in_place=False)  # what comes at once need not be counted in place
    face = OnScreen(screen, layout, options)

    def mode_of(options: Options, start: Start, listener: Listener) -> Mode:
        return replayed_mode(options, start, layout, listener)

    run = Replay(path, options, netns, mode_of, face, stop, as_findings=as_findings)
    if not options.json and not options.quiet:
        screen.say(_opening(path, run.start, layout))
    with _times_of(run.start):
        try:
            with run:
                deque(run, maxlen=0)
        finally:
            if run.is_over:  # also of a damaged one, and of one whose copy could not be written to the end
                face.closing(run, ())


def _opening(path: Path, start: Start, layout: Layout) -> str:
    began = f"{datetime.fromtimestamp(start.began, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    what = "with other addresses, " if start.anonymized else ""
    kernel = f"Linux {start.kernel}" if start.kernel else "from the recorder's store"
    text = f"replaying {path}: recorded {began}, {what}{kernel}, whydrop {start.program}"
    return "".join(f"{line}\n" for line in layout.paragraph(printable(text), "whydrop: ", "  "))


@contextlib.contextmanager
def _times_of(start: Start) -> Iterator[None]:
    """The local time of the text is that of the machine that recorded: the replay shows what was shown there."""
    before = os.environ.get("TZ")
    sign, offset = "-" if start.utc_offset >= 0 else "+", abs(start.utc_offset)
    os.environ["TZ"] = f"<REC>{sign}{offset // 3600:02}:{offset // 60 % 60:02}:{offset % 60:02}"
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()
