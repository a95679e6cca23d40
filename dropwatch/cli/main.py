"""The command line: arguments become Options, an error becomes two lines and an exit code."""

import difflib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dropwatch.cli import arguments
from dropwatch.cli.about import check, explain, schema
from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.names.foreign import printable
from dropwatch.render.screen import Screen
from dropwatch.run.stop import Stop

if TYPE_CHECKING:
    from dropwatch.run.options import Options

_NAME = "whydrop"
_USAGE = """whydrop [FILTER] [OPTIONS] [-- CMD...]
       whydrop summary [FILTER] [OPTIONS] [-- CMD...]
       whydrop stack [FILTER] [OPTIONS] [-- CMD...]
       whydrop trace [FILTER] [OPTIONS] [-- CMD...]
       whydrop replay FILE [FILTER] [OPTIONS]
       whydrop explain [NAME]
       whydrop check
       whydrop schema"""
_ABOUT = """Says why, where, and by which line of your configuration the Linux kernel dropped a packet:
one finding for each dropped packet that matches. With `-- CMD...` it starts CMD once it is ready, and ends
when CMD has ended and its drops were read."""
_COMMANDS = (
    ("summary", "What is dying, continuously: counts by cause, place and object."),
    ("stack", "The next matching drop in full: packet, whole stack, evidence."),
    ("trace", "The journey of matching packets: each step, to the end."),
    ("replay FILE", "The same findings from a recording that --write made; needs no root."),
    ("explain [NAME]", "What a cause, a drop reason or a kernel function means."),
    ("check", "What this machine can and cannot do, and what to do about it."),
    ("schema", "The JSON Schema of every line that --json prints."),
)
_EXAMPLES = """Examples:
  sudo whydrop --dport 5000               why does nothing arrive at port 5000?
  sudo whydrop --host 10.9.0.2 --stack    ... with the kernel's stack
  sudo whydrop --netns b --cause 'ipsec.*'
  sudo whydrop --json --count 1 -- ping -c 1 10.9.0.2
  whydrop explain ipsec.auth-failed       what it means and what to do
"""
_RUN_COMMANDS = frozenset({"stack", "summary", "trace"})  # those that understand `-- CMD...`
_EXIT_CODES = "Exit codes: 0 fine, 1 failed while running, 2 wrong usage, 3 cannot run here."


class Watching(click.Command):
    """A command with a word of its own that takes FILTER, OPTIONS and `-- CMD...`."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"Usage: {ctx.command_path} [FILTER] [OPTIONS] [-- CMD...]\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments.write_sections(self.get_params(ctx), ctx, formatter)


class Replaying(Watching):
    """The command that reads a file instead."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"Usage: {ctx.command_path} FILE [FILTER] [OPTIONS]\n")


class Whydrop(click.Group):
    """The live command has no word of its own: it is what runs when no other is named."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"Usage: {_USAGE}\n")

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text(_ABOUT)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments.write_sections(self.get_params(ctx), ctx, formatter)
        with formatter.section("Other commands"):
            formatter.write_dl(_COMMANDS, col_max=24)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"\n{_EXAMPLES}\n{_EXIT_CODES}\n")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None:
            close = difflib.get_close_matches(args[0], self.commands, n=1)
            hint = (
                f"did you mean {_NAME} {close[0]}?"
                if close
                else f"to run a command: {_NAME} -- {' '.join(args)}"
            )
            raise WrongUsage(f"there is no command {args[0]!r} in {_NAME}", hint)
        return super().resolve_command(ctx, args)


def _live(**given: Any) -> None:
    context = click.get_current_context()
    if context.invoked_subcommand is not None:
        _refuse_before_word(context)
        return
    from dropwatch.cli.parse import parse

    _run(parse(given, context.obj))


def _run(options: "Options") -> None:
    """Each command imports what it needs: only those that end here need the probes."""
    with Stop() as stop:
        from dropwatch.run.show import show_live

        show_live(options, Screen(sys.stdout, sys.stderr, lambda: stop.asked), stop)


def _refuse_before_word(context: click.Context) -> None:
    word = context.invoked_subcommand
    for param in context.command.params:
        given = (
            param.name and context.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE
        )
        if given and param.name != "debug":
            raise WrongUsage(
                f"{param.opts[0]} means nothing before {word}",
                f"what {word} understands comes after it: {_NAME} {word} --help",
            )
    if context.obj and word not in _RUN_COMMANDS:
        raise WrongUsage(
            f"{_NAME} {word} runs no command", f"leave `--` away, or: {_NAME} -- {' '.join(context.obj)}"
        )


_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 80}
whydrop = Whydrop(
    _NAME,
    callback=_live,
    invoke_without_command=True,
    params=[
        *arguments.filter_and_options(),
        *arguments.writing_options(),
        arguments.version_option(),
    ],
    context_settings=_SETTINGS,
)


def _summary(**given: Any) -> None:
    """What is dying, continuously: packets counted in the kernel, exactly, by what they died of, where, and by which
    object of the configuration; and what the kernel, the drivers and the queues lost elsewhere meanwhile.

    A full screen on a terminal (q leaves), a table each interval in a pipe or with CMD, one line each with --json."""
    from dropwatch.cli.parse import parse_summary

    _run(parse_summary(given, click.get_current_context().obj))


whydrop.add_command(
    Watching(
        "summary",
        callback=_summary,
        params=[*arguments.summary_options(), *arguments.writing_options()],
        help=_summary.__doc__,
    )
)


def _stack(**given: Any) -> None:
    """The next dropped packet that matches, in full: every header, the bytes, the whole kernel stack with what
    each function does, all that was observed, the diagnosis; then it ends.

    --count N shows more than one; a stack that was shown before is not repeated. --folded writes
    `frame;frame;frame count` instead, until --count, --duration, CMD or Ctrl-C ends it."""
    from dropwatch.cli.parse import parse_stack

    _run(parse_stack(given, click.get_current_context().obj))


whydrop.add_command(
    Watching(
        "stack",
        callback=_stack,
        params=[*arguments.filter_and_options(), *arguments.writing_options(), arguments.folded_option()],
        help=_stack.__doc__,
    )
)


def _trace(**given: Any) -> None:
    """The journey of each packet that matches: the interfaces and namespaces it crosses, what netfilter's tables and
    chains answer, routing, NAT, tunnels and IPsec, up to the socket that gets it, the device that sends it, or the
    place where it dies, with the diagnosis. It stays one packet when its addresses change or it is encrypted.

    --functions REGEX watches any kernel function that takes a packet, --tree shows which called which."""
    from dropwatch.cli.parse import parse_trace, pattern

    if given.pop("list_functions"):
        from dropwatch.cli.list_functions import list_functions

        wanted = None if given["functions"] is None else pattern(given["functions"])
        Screen(sys.stdout, sys.stderr).show(list_functions(wanted, as_json=given["json"]))
        return
    _run(parse_trace(given, click.get_current_context().obj))


whydrop.add_command(
    Watching(
        "trace",
        callback=_trace,
        params=[*arguments.trace_options(), *arguments.writing_options()],
        help=_trace.__doc__,
    )
)


def _replay(file: str, findings: bool, **given: Any) -> None:
    """Shows again what a run wrote with --write, without root, on any machine.

    FILTER takes from the findings; --all also shows what was held back as harmless. --write makes another recording
    or a capture of what fits. Of a summary or a trace --findings shows the drops, one by one: they can be filtered."""
    from dropwatch.cli.parse import parse_replay

    options = parse_replay(given)
    with Stop() as stop:
        from dropwatch.run.show import show_replay

        screen = Screen(sys.stdout, sys.stderr, lambda: stop.asked)
        show_replay(Path(file), options, given["netns"], screen, stop, as_findings=findings)


whydrop.add_command(
    Replaying(
        "replay",
        callback=_replay,
        params=[
            click.Argument(["file"]),
            *arguments.replay_options(),
            arguments.findings_option(),
            *arguments.writing_options(),
        ],
        help=_replay.__doc__,
    )
)


for _command in (explain, check, schema):
    whydrop.add_command(_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    _keep_standard_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    at = words.index("--") if "--" in words else len(words)
    before, after = words[:at], tuple(words[at + 1 :])
    debug = "--debug" in before
    try:
        if at < len(words) and not after:
            raise WrongUsage("there is no command after `--`", f"{_NAME} --dport 5000 -- ping -c 1 10.9.0.2")
        return whydrop.main(before, _NAME, standalone_mode=False, obj=after) or 0
    except click.UsageError as error:
        return _tell(_wrong_usage(error), debug)
    except WhydropError as error:
        return _tell(error, debug)
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except SystemExit:  # click's way out when nobody reads its help
        return 0
    except Exception as error:
        text = f"this should not have happened: {type(error).__name__}: {error}"
        return _tell(WhydropError(text, "please report it, with what --debug shows"), debug)


def _tell(error: WhydropError, debug: bool) -> int:
    """To be called while the error is handled: that is what --debug shows."""
    screen = Screen(sys.stdout, sys.stderr)
    if debug:
        screen.say(traceback.format_exc())
    screen.say(f"{_NAME}: error: {printable(error.message)}\nhint: {printable(error.hint)}\n")
    return error.exit_code


def _wrong_usage(error: click.UsageError) -> WrongUsage:
    """click's errors, in our form."""
    name = (
        f"{_NAME} {error.ctx.info_name}" if error.ctx is not None and error.ctx.parent is not None else _NAME
    )
    if isinstance(error, click.NoSuchOption):
        close = " or ".join(error.possibilities or ())
        hint = f"did you mean {close}?" if close else f"{name} --help lists the options"
        return WrongUsage(f"there is no option {error.option_name}", hint)
    message = error.format_message().rstrip(".")
    return WrongUsage(message[:1].lower() + message[1:], f"{name} --help shows how it is used")


def _keep_standard_streams() -> None:
    """A descriptor from 0 to 2 that is closed would be given to the next file that is opened."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
