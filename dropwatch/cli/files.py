"""The commands that make something else of what was seen: a page, or what two recordings or windows differ in."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dropwatch.cli import arguments
from dropwatch.errors import WrongUsage
from dropwatch.render.screen import Screen
from dropwatch.run.stop import Stop

_OF_WINDOW = "last.whydrop"  # beside which the page of a window would be
TYPED = (
    "dropwatch.typed"  # where click keeps the words of the command line before `--`, as a shell takes them
)


class OfFiles(click.Command):
    """A command whose words are files, then FILTER and OPTIONS."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        files = " ".join(
            str(param.name).upper()
            for param in self.params
            if isinstance(param, click.Argument) and not isinstance(param, arguments.Expression)
        )
        formatter.write(f"Usage: {ctx.command_path} {files} [EXPRESSION] [FILTER] [OPTIONS]\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments.write_sections(self.get_params(ctx), ctx, formatter)


def _report(file: str, output: str | None, store: str | None, **given: Any) -> None:
    """One page of HTML from a recording, for a ticket: findings folded and searchable, each with object, proof, fix and
    stack; when they came, what the host is, and what was not seen. It needs no network and no other file. A window
    instead of FILE (1h, 14:00..14:05) takes what the store of whydrop watch has of that time.

    Without -o the page is beside FILE, as x.html of x.whydrop, and of a window last.html. `whydrop --write x.html`
    makes it of a live run."""
    from dropwatch.cli.parse import parse_report

    with Stop() as stop:
        from dropwatch.run.report import OPTION, page_beside, write_report
        from dropwatch.run.unprivileged import read_as_nobody

        options = replace(parse_report(given), asked=click.get_current_context().meta[TYPED])
        screen = Screen(sys.stdout, sys.stderr, lambda: stop.asked)
        if _is_window(file, store):
            from dropwatch.watch.in_place import write_window_report

            write_window_report(
                file, store, options, given["netns"], page_beside(Path(_OF_WINDOW), output), screen
            )
            return
        path = Path(file)
        to = page_beside(path, output)
        read_as_nobody(stop, path, write=to, option=OPTION)
        write_report(path, options, given["netns"], to, screen, stop)


def _diff(a: str, b: str, store: str | None, **given: Any) -> int:
    """What two recordings differ in, sort by sort: what is new in B, what is gone, what has become more or fewer, each
    with its object. Sorts are the same where cause, object, place, addresses, service port and namespace are, whatever
    handle, number or SPI a rule or an SA has by now. FILTER takes from both. A window instead of a file (1h..2h, 0..1h)
    takes what the store of whydrop watch has of that time.

    Exit codes: 0 nothing is new, 1 something is, 2 wrong usage, or a recording that cannot be compared."""
    from dropwatch.cli.parse import parse_diff

    options = parse_diff(given)
    with Stop() as stop:
        from dropwatch.run.diff import compared, show_difference
        from dropwatch.run.unprivileged import read_as_nobody

        screen = Screen(sys.stdout, sys.stderr, lambda: stop.asked)
        if _is_window(a, store, b):
            from dropwatch.watch.in_place import compared_with_windows

            before, after = compared_with_windows((a, b), store, options, given["netns"], stop)
        else:
            read_as_nobody(stop, Path(a), Path(b))
            before, after = (compared(Path(file), options, given["netns"], stop) for file in (a, b))
        return show_difference(before, after, options, screen)


def _is_window(file: str, store: str | None, *others: str) -> bool:
    """Whether one of them is. Raises WrongUsage for a store of which nothing is asked."""
    from dropwatch.watch.window import is_window

    found = any(map(is_window, (file, *others)))
    if store is not None and not found:
        raise WrongUsage(
            f"--store is for a window, and {file} is none", "for example: 1h, 14:00..14:05, 1h..2h"
        )
    return found


diff = OfFiles(
    "diff",
    callback=_diff,
    params=[
        arguments.CompletedArgument(["a"]),
        arguments.CompletedArgument(["b"]),
        *arguments.diff_options(),
        arguments.Expression(),
    ],
    help=_diff.__doc__,
)
report = OfFiles(
    "report",
    callback=_report,
    params=[arguments.CompletedArgument(["file"]), *arguments.report_options(), arguments.Expression()],
    help=_report.__doc__,
)
