"""`whydrop diff`: two runs, each a recording or a window of the recorder's store, compared sort by sort."""

from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dropwatch.aggregate.difference import Sorts, difference
from dropwatch.aggregate.sort import Sort, lasting_sort_of
from dropwatch.errors import WrongUsage
from dropwatch.model.difference import Difference
from dropwatch.model.drop import Finding
from dropwatch.model.report import Report
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.members import Damaged
from dropwatch.recording.start import Start
from dropwatch.render.difference import difference_json, difference_text, notes_text
from dropwatch.render.layout import layout_for
from dropwatch.render.screen import Screen
from dropwatch.run.context import Nobody
from dropwatch.run.folded import FoldingListener
from dropwatch.run.options import Options
from dropwatch.run.replay import Replay
from dropwatch.run.report import silent_mode
from dropwatch.run.stop import Stop

Compared = tuple[Report, Sorts]
_SOMETHING_NEW = 1


def show_difference(before: Compared, after: Compared, options: Options, screen: Screen) -> int:
    """Exit code 1 where the second has a sort of findings that the first has not. Raises WrongUsage for what cannot be
    compared: in a script neither answer would be right."""
    found = difference(before, after)
    _refuse_unequal(found)
    layout = layout_for(screen.out, options.no_color)
    if options.json:
        for line in difference_json(found):
            screen.show(line)
    else:
        screen.show(difference_text(found, layout))
        screen.say(notes_text(found, layout))
    return _SOMETHING_NEW if any(change.what == "new" for change in found.changes) else 0


def compared(path: Path, options: Options, netns: tuple[str, ...], stop: Stop) -> Compared:
    """A recording. Raises WrongUsage for one that cannot be compared."""
    listener = comparing(path)
    run = Replay(path, options, netns, silent_mode, Nobody(), stop, listener=listener)
    if run.start.anonymized:
        raise WrongUsage(
            f"{path} has other addresses than its host: each such recording has its own, so that nothing is equal",
            "compare the recordings that they were made of",
        )
    try:
        with run:
            deque(run, maxlen=0)
    except Damaged as error:
        raise WrongUsage(
            error.message, "it cannot be compared; whydrop replay shows what can be read of it"
        ) from error
    if stop.asked:
        raise KeyboardInterrupt
    return listener.report(run.start), listener.sorts


def comparing(source: Path) -> FoldingListener:
    """Hears what is to be compared."""
    return FoldingListener(Editor(payload=True), source, key_of=_key_of)


def _key_of(start: Start) -> Callable[[Finding], Sort]:
    return partial(lasting_sort_of, own_netns=start.own_netns)


def _refuse_unequal(found: Difference) -> None:
    runs = (found.before, found.after)
    if len({run.view == "summary" for run in runs}) > 1:
        raise WrongUsage(
            "one is the recording of a summary, the other is not: they do not count the same sorts",
            "record both with the same command",
        )
