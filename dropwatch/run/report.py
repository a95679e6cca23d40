"""`whydrop report`: a recording as one page of HTML."""

from collections import deque
from functools import partial
from pathlib import Path

from dropwatch.errors import WrongUsage
from dropwatch.names.foreign import printable
from dropwatch.recording.listener import Listener
from dropwatch.recording.new_file import WholeFile, is_page, refuse_bad_path
from dropwatch.recording.start import Start
from dropwatch.render.screen import Screen
from dropwatch.run.context import Nobody
from dropwatch.run.gathered import GATHERED, TRACED, Gathered
from dropwatch.run.mode import Mode, Silent
from dropwatch.run.options import Options
from dropwatch.run.page import PageListener
from dropwatch.run.replay import Replay
from dropwatch.run.stop import Stop
from dropwatch.run.write import editor_for

OPTION = "--output"


class OnStandardOutput:
    """Where `-o -` leads to."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def write(self, data: bytes) -> None:
        self._screen.show(data.decode())


def page_beside(recording: Path, given: str | None) -> Path | None:
    """Where the page goes: None for standard output. Raises WrongUsage where it cannot be."""
    if given == "-":
        return None
    if given is None and not recording.is_file() and recording.exists():
        raise WrongUsage(
            f"{recording} is no plain file: the page needs a name", "whydrop report FILE -o report.html"
        )
    path = recording.with_suffix(".html") if given is None else Path(given)
    if not is_page(path):
        raise WrongUsage(f"{OPTION} {path}: the page is HTML", f"{OPTION} {path.with_suffix('.html')}")
    refuse_bad_path(path, OPTION)
    return path


def write_report(
    path: Path, options: Options, netns: tuple[str, ...], to: Path | None, screen: Screen, stop: Stop
) -> None:
    """The page of all that fits: also of a damaged recording, before that is raised."""
    listener = page_listener(path, options, to, screen)
    run = Replay(path, options, netns, silent_mode, Nobody(), stop, listener=listener)
    try:
        with run:
            deque(run, maxlen=0)
    finally:
        if run.is_over:
            say_headline(listener, to, screen)


def page_listener(source: Path, options: Options, to: Path | None, screen: Screen) -> PageListener:
    """Leaves the page at `to`, or on standard output."""
    destination = partial(WholeFile, to, OPTION) if to is not None else partial(OnStandardOutput, screen)
    return PageListener(destination, editor_for(options), source=source, made_by=options.asked)


def say_headline(listener: PageListener, to: Path | None, screen: Screen) -> None:
    """Where the page is, and what it says in one line."""
    if to is not None:
        screen.say(f"whydrop: {printable(str(to))}: {listener.headline}\n")


def silent_mode(options: Options, start: Start, listener: Listener) -> Mode:
    """Of a replay that shows nothing: `listener` hears all of it."""
    if options.view in GATHERED:
        silent = Silent()
        return Gathered(silent, silent, silent, silent, listener, traced=options.view in TRACED)
    return Mode(Silent())
