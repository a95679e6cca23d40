"""The commands that watch nothing: what a cause means, what this machine can do, how the JSON is made."""

import sys
from pathlib import Path

import click

from dropwatch import __version__
from dropwatch.cli.arguments import CompletedArgument
from dropwatch.errors import CannotRunHere, WrongUsage
from dropwatch.render.layout import layout_for
from dropwatch.render.screen import Screen


@click.command()
@click.argument("words", cls=CompletedArgument, nargs=-1, metavar="[WORDS]...")
@click.option("--all", "everything", is_flag=True, help="Search, and list every page that has the words.")
@click.option("--no-pager", is_flag=True, help="Never start a pager (PAGER, else less).")
@click.option("--no-color", is_flag=True, help="No colours, also on a terminal.")
@click.option("--debug", is_flag=True, help="Show Python's traceback with an error.")
def explain(words: tuple[str, ...], everything: bool, no_pager: bool, no_color: bool, debug: bool) -> None:
    """What a cause (ipsec.auth-failed, or only auth-failed), a family of causes (ipsec), a drop reason (NO_SOCKET), a
    function of the kernel (xfrm_input) or a counter (ListenDrops) means, how to confirm it, and how to fix it.

    Any other WORDS are searched for in all pages. Without WORDS: the families of causes."""
    from dropwatch.explain.find import page
    from dropwatch.privilege.root import give_up
    from dropwatch.render.explain import explain_text
    from dropwatch.render.pager import is_terminal, show_paged

    give_up()  # before a pager is started, which the caller chooses
    screen = Screen(sys.stdout, sys.stderr)
    text = explain_text(
        page(words, everything=everything), layout_for(sys.stdout, no_color), cut=is_terminal(screen)
    )
    if no_pager:
        screen.show(text)
    else:
        show_paged(text, screen)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--no-color", is_flag=True, help="No colours, also on a terminal.")
@click.option("--btf", "btf_file", metavar="FILE", help="The kernel's BTF, where it carries none.")
@click.option("--debug", is_flag=True, help="Show Python's traceback with an error.")
def check(as_json: bool, no_color: bool, btf_file: str | None, debug: bool) -> int:
    """What this host and this user can and cannot do, and what to do about it.

    Exit code 0 when everything works here, 3 when `whydrop` cannot run or a family of probes cannot."""
    from dropwatch.kernel.btf_file import bring
    from dropwatch.probe.check.facts import all_facts, can_explain, can_run
    from dropwatch.render.check import check_json, check_text

    if btf_file is not None:
        bring(Path(btf_file))
    facts = all_facts()
    works, complete = can_run(facts), can_explain(facts)
    layout = layout_for(sys.stdout, no_color)
    text = check_json(facts, works, complete) if as_json else check_text(facts, works, layout)
    Screen(sys.stdout, sys.stderr).show(text)
    return 0 if complete else CannotRunHere.exit_code


@click.command("help", hidden=True)
@click.argument("words", nargs=-1)
@click.pass_context
def help_(context: click.Context, words: tuple[str, ...]) -> None:
    """The help of whydrop, or of a command: as --help."""
    group = context.parent
    if group is None or not isinstance(group.command, click.Group):
        return
    named = group.command.get_command(group, words[0]) if words else group.command
    if named is None:
        raise WrongUsage(f"there is no command {words[0]!r} in whydrop", "whydrop --help lists them")
    shown = click.Context(named, info_name=words[0], parent=group) if words else group
    click.echo(named.get_help(shown))


@click.command(hidden=True)
def version() -> None:
    """The version of whydrop: as --version."""
    click.echo(f"whydrop {__version__}")


@click.command()
@click.option("--debug", is_flag=True, help="Show Python's traceback with an error.")
def schema(debug: bool) -> None:
    """The JSON Schema of every line that --json prints."""
    from dropwatch.privilege.root import give_up
    from dropwatch.render.lines.schema import schema_text

    give_up()
    Screen(sys.stdout, sys.stderr).show(schema_text())
