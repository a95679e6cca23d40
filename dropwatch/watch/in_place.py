"""Windows of the store in the place of recordings: a page of one, a comparison with another."""

import math
import time
from dataclasses import replace
from pathlib import Path

from dropwatch.errors import WrongUsage
from dropwatch.model.kept import Window
from dropwatch.recording.new_file import stay_root_for
from dropwatch.render.screen import Screen
from dropwatch.run.diff import Compared, compared, comparing
from dropwatch.run.options import Options
from dropwatch.run.replay import refuse_same_file
from dropwatch.run.report import OPTION, page_listener, say_headline
from dropwatch.run.stop import Stop
from dropwatch.run.unprivileged import hold_all
from dropwatch.watch import place
from dropwatch.watch.fits import Fits
from dropwatch.watch.window import is_window, window
from dropwatch.watch.windows import read_windows, retell

_ASKED = "watch"  # by whom, as far as a store knows


def write_window_report(
    words: str,
    store: str | None,
    options: Options,
    netns: tuple[str, ...],
    to: Path | None,
    screen: Screen,
) -> None:
    """The page of what the store has of this window. Raises as read_windows(), and where the page cannot be made."""
    path, fits, now = _store(store), _fits(options, netns), time.time()
    span = window(words, None, None, now)
    refuse_same_file(path, to)
    stay_root_for(to, OPTION)
    (found,) = read_windows(path, (span,), fits, now)
    listener = page_listener(path, options, to, screen)
    retell(replace(found, rows=found.rows[: options.count]), replace(options, asked=_ASKED), listener)
    say_headline(listener, to, screen)


def compared_with_windows(
    words: tuple[str, str], store: str | None, options: Options, netns: tuple[str, ...], stop: Stop
) -> tuple[Compared, Compared]:
    """Each of the two: a window where it is one, else a recording. `1h..2h` and `0..1h` have no minute in common."""
    path, fits, now = _store(store), _fits(options, netns), math.ceil(time.time() / 60) * 60.0
    spans = [window(word, None, None, now) for word in words if is_window(word)]
    hold_all(stop, *(Path(word) for word in words if not is_window(word)))
    found = iter(read_windows(path, spans, fits, time.time()))
    before, after = (
        _of_window(next(found), options) if is_window(word) else compared(Path(word), options, netns, stop)
        for word in words
    )
    return before, after


def _of_window(found: Window, options: Options) -> Compared:
    listener = comparing(Path(found.source))
    start = retell(found, replace(options, asked=_ASKED), listener)
    return listener.report(start), listener.sorts


def _store(given: str | None) -> Path:
    return place.DEFAULT if given is None else Path(given)


def _fits(options: Options, netns: tuple[str, ...]) -> Fits:
    if options.wanted.expression is not None:
        raise WrongUsage(
            "an expression is about packets, and the recorder's store has sorts of them",
            "--host, --port, --cause",
        )
    return Fits(options.wanted, netns)
