"""A run on a terminal, in a pipe or in a file: its text, and in words on standard error what it amounts to."""

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.names.foreign import printable
from dropwatch.recording.listener import Listener
from dropwatch.recording.start import Start
from dropwatch.render.closing import closing, opening
from dropwatch.render.layout import Layout, layout_for
from dropwatch.render.screen import Screen
from dropwatch.run.context import Run
from dropwatch.run.mode import Mode
from dropwatch.run.modes import live_mode, replayed_mode
from dropwatch.run.options import Options
from dropwatch.run.stop import Stop


class OnScreen:
    """The face of a run: text to standard output, the opening to standard error unless the lines are for programs."""

    def __init__(self, screen: Screen, layout: Layout, options: Options) -> None:
        self._screen, self._layout, self._options = screen, layout, options

    @property
    def reader_left(self) -> bool:
        return self._screen.reader_left

    def show(self, text: str) -> None:
        self._screen.show(text)

    def ready(self, doing: str, blind_spots: tuple[str, ...]) -> None:
        if not self._options.json:
            self._screen.say(opening(blind_spots, self._layout, doing))

    def closing(self, run: Run, told: tuple[str, ...]) -> None:
        """`told` are blind spots that the opening named."""
        self._screen.show(run.last_words)
        if not self._options.json:
            self._screen.say(closing(run.totals, self._layout, told))


def show_live(options: Options, screen: Screen, stop: Stop) -> None:
    """One live run, to its last line."""
    from dropwatch.run.live import Live

    layout = layout_for(screen.out, options.no_color)
    face = OnScreen(screen, layout, options)

    def mode_of(symbols: Kallsyms, listener: Listener) -> Mode:
        return live_mode(options, symbols, screen, layout, stop, listener)

    run = Live(options, mode_of, face, stop)
    try:
        with run:
            deque(run, maxlen=0)
    finally:
        if run.is_over:  # also when its recording could not be written to the end
            face.closing(run, run.told)
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

    layout = layout_for(screen.out, options.no_color)
    face = OnScreen(screen, layout, options)

    def mode_of(options: Options, start: Start, listener: Listener) -> Mode:
        return replayed_mode(options, start, layout, listener)

    run = Replay(path, options, netns, mode_of, face, stop, as_findings=as_findings)
    if not options.json:
        screen.say(_opening(path, run.start))
    with _times_of(run.start):
        try:
            with run:
                deque(run, maxlen=0)
        finally:
            if run.is_over:  # also of a damaged one, and of one whose copy could not be written to the end
                face.closing(run, ())


def _opening(path: Path, start: Start) -> str:
    began = f"{datetime.fromtimestamp(start.began, UTC):%Y-%m-%d %H:%M:%S} UTC"
    what = "with other addresses, " if start.anonymized else ""
    made = printable(f"{what}Linux {start.kernel}, whydrop {start.program}")
    return f"whydrop: replaying {printable(str(path))}: recorded {began}, {made}\n"


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
