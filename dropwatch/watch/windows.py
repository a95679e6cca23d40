"""Windows of a store, read as nobody; one of them told as a run, which becomes a recording, a page or a comparison."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from dropwatch import __version__
from dropwatch.model.drop import Totals
from dropwatch.model.kept import Window
from dropwatch.privilege.caller import is_own_process
from dropwatch.privilege.root import give_up
from dropwatch.recording.listener import Listener
from dropwatch.recording.start import Start
from dropwatch.render.last import notes
from dropwatch.run.options import Options
from dropwatch.run.replay import WINDOW
from dropwatch.watch.fits import Fits
from dropwatch.watch.gather import gather
from dropwatch.watch.place import why_untrusted
from dropwatch.watch.read import Reader

Span = tuple[float, float]


def read_windows(
    path: Path, spans: Sequence[Span], fits: Fits, now: float, stretches: int | None = None
) -> list[Window]:
    """What the store has of each, by minute or in so many stretches. Gives up root.

    Raises WhydropError for a store that cannot be read.
    """
    reader = _open_as_nobody(path)
    try:
        return [gather(reader, str(path), begin, end, fits, now, stretches) for begin, end in spans]
    finally:
        reader.close()


def retell(found: Window, options: Options, listener: Listener) -> Start:
    """To a listener that makes something of it, from the first item to the last. Raises what its file does."""
    start = Start(
        program=__version__,
        kernel="",
        machine="",
        began=found.since,
        utc_offset=time.localtime(found.since).tm_gmtoff,
        own_netns=found.own_netns,
        anonymized=options.anonymize,
        view=WINDOW,
        asked=options.asked,
    )
    packets = found.packets
    totals = Totals(
        seen_by={"store": packets},
        matched=packets,
        reported=packets,
        lost={"recorder": found.lost} if found.lost else {},
        suppressed={},
        blind_spots=tuple(notes(found)),
        seconds=found.seconds,
    )
    try:
        listener.begin(start)
        listener.window(found)
        listener.end(totals, 0, 0.0)
    finally:
        listener.close()
    return start


def _open_as_nobody(path: Path) -> Reader:
    """A store that others could have made is opened without root already, one of root's is read without."""
    if is_own_process() and os.geteuid() == 0:
        try:
            is_trusted = why_untrusted(path) is None
        except OSError:
            is_trusted = False
        if not is_trusted:
            give_up()
    reader = Reader(path)
    give_up()
    return reader
