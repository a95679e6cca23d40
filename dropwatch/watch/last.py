"""`whydrop last`: a window of the store on the screen, as lines of JSON, and in a file."""

from pathlib import Path

from dropwatch.recording.new_file import stay_root_for
from dropwatch.render.last import BARS, WindowView, notes_text
from dropwatch.render.layout import layout_for
from dropwatch.render.screen import Screen
from dropwatch.run.options import Options
from dropwatch.run.replay import refuse_same_file
from dropwatch.run.write import listener_for
from dropwatch.watch.fits import Fits
from dropwatch.watch.windows import Span, read_windows, retell


def show_last(path: Path, span: Span, options: Options, fits: Fits, screen: Screen, now: float) -> None:
    """Raises WhydropError for a store that cannot be read, and where the file of --write cannot be made."""
    refuse_same_file(path, options.write)
    stay_root_for(options.write)
    only_text = not options.json and options.write is None
    (found,) = read_windows(path, (span,), fits, now, BARS if only_text else None)
    layout = layout_for(screen.out, options.no_color, options.color, options.times)
    view = WindowView(layout, json=options.json, verbosity=options.verbosity, most=options.count)
    if options.write is not None:
        retell(found, options, listener_for(options))
    screen.show(view.window(found))
    if not options.json:
        screen.say(notes_text(found, layout))
