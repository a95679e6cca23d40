"""The command line: arguments become Options, an error becomes two lines and an exit code."""

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dropwatch.cli import arguments
from dropwatch.cli.about import check, explain, help_, schema, version
from dropwatch.cli.commands import Replaying, Watching
from dropwatch.cli.expression import LIVE, Live, begins_expression
from dropwatch.cli.files import TYPED, diff, report
from dropwatch.cli.habits import option_hint, word_hint
from dropwatch.cli.mcp import mcp
from dropwatch.cli.overview import ABOUT, COMMANDS, EXAMPLES, EXIT_CODES, USAGE
from dropwatch.cli.recorder import last, watch
from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.names.cause_address import refuse_bad_address
from dropwatch.names.foreign import foreign, printable, quoted
from dropwatch.render.screen import Screen
from dropwatch.run.stop import Stop

if TYPE_CHECKING:
    from dropwatch.run.options import Options

_NAME = "whydrop"
_COMPLETE = "_WHYDROP_COMPLETE"  # click's name for what a shell asks
_RUNCOMMANDS = frozenset({"stack", "summary", "trace"})  # those that understand `-- CMD...`


class Whydrop(click.Group):
    """The live command has no word of its own: it is what runs when no other is named."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"Usage: {USAGE}\n")

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text(ABOUT)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments.write_sections(self.get_params(ctx), ctx, formatter)
        with formatter.section("Other commands"):
            formatter.write_dl(COMMANDS, col_max=24)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"\n{EXAMPLES}\n{EXIT_CODES}\n")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[TYPED] = " ".join(quoted(foreign(word)) for word in args)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and begins_expression(args[0]):
            return LIVE, self.commands[LIVE], args
        if self.get_command(ctx, args[0]) is None:
            options = [name for param in self.params for name in param.opts]
            hint = word_hint(args, self.commands, options) or f"to run a command: {_NAME} -- {' '.join(args)}"
            raise WrongUsage(f"there is no command {args[0]!r} in {_NAME}", hint)
        return super().resolve_command(ctx, args)


def _live(**given: Any) -> None:
    context = click.get_current_context()
    if context.invoked_subcommand == LIVE:
        return
    if context.invoked_subcommand is not None:
        _refuse_before_word(context)
        return
    _watch({**given, "expression": ()})


def _watch(given: dict[str, Any]) -> None:
    from dropwatch.cli.parse import parse, refuse_live_only

    file = given.pop("read")
    if file is None:
        _run(parse(given, click.get_current_context().obj))
        return
    refuse_live_only(given, click.get_current_context().obj)
    _replay(file, findings=False, **given)


def _run(options: "Options") -> None:
    """Each command imports what it needs: only those that end here need the probes."""
    options = replace(options, asked=click.get_current_context().meta[TYPED])
    with Stop() as stop:
        from dropwatch.recording.new_file import is_page, stay_root_for
        from dropwatch.run.show import show_live
        from dropwatch.run.wanted.doubts import doubts

        if options.write is not None and is_page(options.write):
            stay_root_for(options.write)  # it is written at the end, when less is left of it
        screen = Screen(sys.stdout, sys.stderr, lambda: stop.asked)
        for doubt in () if options.quiet else doubts(options.wanted):
            screen.say(f"{_NAME}: warning: {doubt}\n")
        show_live(options, screen, stop)


def _refuse_before_word(context: click.Context) -> None:
    word = context.invoked_subcommand
    for param in context.command.params:
        given = (
            param.name and context.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE
        )
        if given and param.name != "debug":
            raise WrongUsage(
                f"{arguments.shown_name(param)} means nothing before {word}",
                f"what {word} understands comes after it: {_NAME} {word} --help",
            )
    if context.obj and word not in _RUNCOMMANDS:
        raise WrongUsage(
            f"{_NAME} {word} runs no command", f"leave out `--`, or: {_NAME} -- {' '.join(context.obj)}"
        )


_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 80}
whydrop = Whydrop(
    _NAME,
    callback=_live,
    invoke_without_command=True,
    params=[
        *arguments.filter_and_options(),
        *arguments.writing_options(),
        arguments.read_option(),
        arguments.version_option(),
    ],
    context_settings=_SETTINGS,
)
whydrop.add_command(
    Live(
        _watch,
        [*arguments.filter_and_options(), *arguments.writing_options(), arguments.read_option()],
    )
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
        params=[*arguments.summary_options(), *arguments.writing_options(), arguments.Expression()],
        help=_summary.__doc__,
    )
)


def _stack(**given: Any) -> None:
    """The next dropped packet that matches, in full: the diagnosis, every header, the bytes, the whole kernel stack
    with what each function does, all that was observed; then it ends.

    --count N shows more than one; a stack that was shown before is not repeated. --folded writes
    `frame;frame;frame count` instead, until --count, --duration, CMD or Ctrl-C ends it."""
    from dropwatch.cli.parse import parse_stack

    _run(parse_stack(given, click.get_current_context().obj))


whydrop.add_command(
    Watching(
        "stack",
        callback=_stack,
        params=[
            *arguments.filter_and_options(),
            *arguments.writing_options(),
            arguments.folded_option(),
            arguments.Expression(),
        ],
        help=_stack.__doc__,
    )
)


def _trace(**given: Any) -> None:
    """The journey of each packet that matches: the interfaces and namespaces it crosses, what netfilter's tables and
    chains answer, routing, NAT, tunnels and IPsec, up to the socket that gets it, the device that sends it, or the
    place where it dies, with the diagnosis. It stays one packet when its addresses change or it is encrypted.

    It shows what was decided, on one screen; -v each step. --functions REGEX watches any kernel function that takes a
    packet, --tree shows which called which."""
    from dropwatch.cli.parse import parse_trace, pattern

    if given.pop("list_functions"):
        from dropwatch.cli.list_functions import list_functions
        from dropwatch.kernel import btf_file

        if given["btf"] is not None:
            btf_file.bring(Path(given["btf"]))
        wanted = None if given["functions"] is None else pattern(given["functions"])
        Screen(sys.stdout, sys.stderr).show(list_functions(wanted, as_json=given["json"]))
        return
    _run(parse_trace(given, click.get_current_context().obj))


whydrop.add_command(
    Watching(
        "trace",
        callback=_trace,
        params=[*arguments.trace_options(), *arguments.writing_options(), arguments.Expression()],
        help=_trace.__doc__,
    )
)


def _replay(file: str, findings: bool, **given: Any) -> None:
    """Shows again what a run wrote with --write, without root, on any machine.

    FILTER takes from the findings; --all also shows what was held back as harmless. --write makes another recording
    or a capture of what fits. Of a summary or a trace --findings shows the drops, one by one: they can be filtered."""
    from dropwatch.cli.parse import parse_replay

    options = replace(parse_replay(given), asked=click.get_current_context().meta[TYPED])
    with Stop() as stop:
        from dropwatch.run.show import show_replay
        from dropwatch.run.unprivileged import read_as_nobody

        read_as_nobody(stop, Path(file), write=options.write)
        screen = Screen(sys.stdout, sys.stderr, lambda: stop.asked)
        show_replay(Path(file), options, given["netns"], screen, stop, as_findings=findings)


whydrop.add_command(
    Replaying(
        "replay",
        callback=_replay,
        params=[
            arguments.CompletedArgument(["file"]),
            *arguments.replay_options(),
            arguments.findings_option(),
            *arguments.writing_options(),
            arguments.Expression(),
        ],
        help=_replay.__doc__,
    )
)


for _command in (report, diff, watch, last, explain, check, schema, mcp, help_, version):
    whydrop.add_command(_command)
for _word, _about in COMMANDS:
    whydrop.commands[_word.split()[0]].short_help = _about


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    _keep_standard_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    at = words.index("--") if "--" in words else len(words)
    before, after = words[:at], tuple(words[at + 1 :])
    debug = "--debug" in before
    if _COMPLETE in os.environ:
        from dropwatch.cli.completion import register

        register()
    try:
        if at < len(words) and not after:
            raise WrongUsage("there is no command after `--`", f"{_NAME} --dport 5000 -- ping -c 1 10.9.0.2")
        refuse_bad_address()
        return whydrop.main(before, _NAME, _COMPLETE, standalone_mode=False, obj=after) or 0
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
    finally:
        if argv is None:  # the process ends: one impatient Ctrl-C more is no traceback of Python's own end
            signal.signal(signal.SIGINT, signal.SIG_IGN)


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
        f"{_NAME} {error.ctx.info_name}"
        if error.ctx is not None and error.ctx.parent is not None and error.ctx.info_name != LIVE
        else _NAME
    )
    if isinstance(error, click.NoSuchOption):
        hint = option_hint(error.option_name, error.possibilities or ())
        return WrongUsage(
            f"there is no option {error.option_name}", hint or f"{name} --help lists the options"
        )
    message = error.format_message().rstrip(".")
    return WrongUsage(message[:1].lower() + message[1:], f"{name} --help shows how it is used")


def _keep_standard_streams() -> None:
    """A descriptor from 0 to 2 that is closed would be given to the next file that is opened."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
