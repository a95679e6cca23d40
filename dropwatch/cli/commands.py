"""The kinds of commands that have a word of their own."""

import click

from dropwatch.cli import arguments


class Watching(click.Command):
    """A command with a word of its own that takes FILTER, OPTIONS and `-- CMD...`."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"Usage: {ctx.command_path} [EXPRESSION] [FILTER] [OPTIONS] [-- CMD...]\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments.write_sections(self.get_params(ctx), ctx, formatter)


class Replaying(Watching):
    """The command that reads a file instead."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"Usage: {ctx.command_path} FILE [EXPRESSION] [FILTER] [OPTIONS]\n")
