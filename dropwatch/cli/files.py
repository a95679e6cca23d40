"""The commands that read recordings and show them as something else: a page, or what two of them differ in."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dropwatch.cli import arguments
from dropwatch.render.screen import Screen
from dropwatch.run.stop import Stop

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


def _report(file: str, output: str | None, **given: Any) -> None:
    """One page of HTML from a recording, for a ticket: findings folded and searchable, each with object, proof, fix and
    stack; when they came, what the host is, and what was not seen. It needs no network and no other file.

    Without -o the page is beside FILE, as x.html of x.whydrop. `whydrop --write x.html` makes it of a live run."""
    from dropwatch.cli.parse import parse_report

    with Stop() as stop:
        from dropwatch.run.report import OPTION, page_beside, write_report
        from dropwatch.run.unprivileged import read_as_nobody

        options = replace(parse_report(given), asked=click.get_current_context().meta[TYPED])
        screen = Screen(sys.stdout, sys.stderr, lambda: stop.asked)
        path = Path(file)
        to = page_beside(path, output)
        read_as_nobody(stop, path, write=to, option=OPTION)
        write_report(path, options, given["netns"], to, screen, stop)


def _diff(a: str, b: str, **given: Any) -> int:
    """What two recordings differ in, sort by sort: what is new in B, what is gone, what has become more or fewer, each
    with its object. Sorts are the same where cause, object, place, addresses, service port and namespace are, whatever
    handle, number or SPI a rule or an SA has by now. FILTER takes from both.

    Exit codes: 0 nothing is new, 1 something is, 2 wrong usage, or a recording that cannot be compared."""
    from dropwatch.cli.parse import parse_diff

    options = parse_diff(given)
    with Stop() as stop:
        from dropwatch.run.diff import show_difference
        from dropwatch.run.unprivileged import read_as_nobody

        screen = Screen(sys.stdout, sys.stderr, lambda: stop.asked)
        read_as_nobody(stop, Path(a), Path(b))
        return show_difference(Path(a), Path(b), options, given["netns"], screen, stop)


diff = OfFiles(
    "diff",
    callback=_diff,
    params=[click.Argument(["a"]), click.Argument(["b"]), *arguments.diff_options(), arguments.Expression()],
    help=_diff.__doc__,
)
report = OfFiles(
    "report",
    callback=_report,
    params=[click.Argument(["file"]), *arguments.report_options(), arguments.Expression()],
    help=_report.__doc__,
)
