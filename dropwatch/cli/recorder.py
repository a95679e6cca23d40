"""The commands of the recorder: the one that runs for weeks, and the one that tells what died then."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dropwatch.cli import arguments
from dropwatch.cli.files import TYPED
from dropwatch.cli.recorder_options import last_options, watch_options
from dropwatch.errors import WrongUsage
from dropwatch.render.screen import Screen
from dropwatch.run.stop import Stop


class Plain(click.Command):
    """A command of which every option stands under its heading."""

    words = "[OPTIONS]"

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"Usage: {ctx.command_path} {self.words}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments.write_sections(self.get_params(ctx), ctx, formatter)


class OfWindow(Plain):
    """The one that takes a window and a filter."""

    words = "[WINDOW] [FILTER] [OPTIONS]"


def _watch(
    store: str | None,
    keep: str,
    size: str,
    listen: str | None,
    otlp: str | None,
    otlp_headers: str | None,
    journal: bool,
    **given: Any,
) -> None:
    """The flight recorder: runs until it is told to end, and keeps in a small database what died: exact counts a
    minute, and of each sort the first finding of each hour in full. whydrop last shows it.

    It costs accepted packets nothing (--light) unless told otherwise, goes on when the disk is full, and says what was
    lost. Deletes what is older than --keep, and the oldest where the database would become larger than --size.

    --otlp and --journal tell others while it dies: of each sort the first finding, then one a minute with a count."""
    from dropwatch.cli.parse import parse
    from dropwatch.run.wanted import values
    from dropwatch.watch import place
    from dropwatch.watch import store as stores
    from dropwatch.watch.address import address
    from dropwatch.watch.ways import ways
    from dropwatch.watch.window import size as bytes_of

    bounds = stores.Bounds(values.seconds("--keep", keep), bytes_of("--size", size))
    if bounds.size < stores.LEAST_SIZE:
        raise WrongUsage(f"--size {size}: too small for an hour of a storm", "--size 16M is the least")
    heard_at = None if listen is None else address(listen)
    told = ways(otlp, otlp_headers, journal=journal)
    nothing = {param.name: () for param in arguments.filters()} | {"ipv4": False, "ipv6": False}
    options = parse({**nothing, "json": False, "stack": False, "count": None, **given})
    with Stop() as stop:
        from dropwatch.watch.recorder import record

        screen = Screen(sys.stdout, sys.stderr, lambda: stop.asked)
        record(options, place.DEFAULT if store is None else Path(store), bounds, heard_at, told, screen, stop)


def _last(
    window: tuple[str, ...], since: str | None, until: str | None, store: str | None, **given: Any
) -> None:
    """What died in a time, from the store of whydrop watch: how often, of what, by which rule, SA or socket, of whom,
    first and last. WINDOW: 1h (until now; the default), 14:00..14:05, 2026-11-28 14:00..14:05; local time.

    FILTER is about what is counted as one: cause, addresses, the service's port, interface, namespace, owner. Works
    while whydrop watch runs, and on a file of another host."""
    from dropwatch.cli.parse import parse_replay
    from dropwatch.watch.fits import Fits
    from dropwatch.watch.window import window as window_of

    options = parse_replay({"stack": False, **given, "all": False})
    options = replace(options, asked=click.get_current_context().meta[TYPED])
    fits, now = Fits(options.wanted, given["netns"]), time.time()
    span = window_of(" ".join(window), since, until, now)
    with Stop() as stop:
        from dropwatch.watch import place
        from dropwatch.watch.last import show_last

        screen = Screen(sys.stdout, sys.stderr, lambda: stop.asked)
        path = place.DEFAULT if store is None else Path(store)
        show_last(path, span, options, fits, screen, now)


watch = Plain("watch", callback=_watch, params=watch_options(), help=_watch.__doc__)
last = OfWindow(
    "last",
    callback=_last,
    params=[click.Argument(["window"], nargs=-1), *last_options()],
    help=_last.__doc__,
)
