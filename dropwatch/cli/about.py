"""The commands that watch nothing: what a cause means, what this machine can do, how the JSON is made."""

import sys

import click

from dropwatch.errors import CannotRunHere
from dropwatch.render.layout import layout_for
from dropwatch.render.screen import Screen


@click.command()
@click.argument("name", required=False)
@click.option("--no-color", is_flag=True, help="No colours, also on a terminal.")
@click.option("--debug", is_flag=True, help="Show Python's traceback with an error.")
def explain(name: str | None, no_color: bool, debug: bool) -> None:
    """What a cause (ipsec.auth-failed), a drop reason (NO_SOCKET) or a kernel function (xfrm_input) means,
    how to confirm it, and how to fix it. Without NAME: what there is to explain."""
    from dropwatch.causes.explain import page
    from dropwatch.render.explain import explain_text

    Screen(sys.stdout, sys.stderr).show(explain_text(page(name), layout_for(sys.stdout, no_color)))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--no-color", is_flag=True, help="No colours, also on a terminal.")
@click.option("--debug", is_flag=True, help="Show Python's traceback with an error.")
def check(as_json: bool, no_color: bool, debug: bool) -> int:
    """What this machine and this user can and cannot do, and what to do about it.

    Exit code 0 when everything works here, 3 when `whydrop` cannot run or a family of probes cannot."""
    from dropwatch.probe.check.facts import all_facts, can_explain, can_run
    from dropwatch.render.check import check_json, check_text

    facts = all_facts()
    works, complete = can_run(facts), can_explain(facts)
    layout = layout_for(sys.stdout, no_color)
    text = check_json(facts, works, complete) if as_json else check_text(facts, works, layout)
    Screen(sys.stdout, sys.stderr).show(text)
    return 0 if complete else CannotRunHere.exit_code


@click.command()
@click.option("--debug", is_flag=True, help="Show Python's traceback with an error.")
def schema(debug: bool) -> None:
    """The JSON Schema of every line that --json prints."""
    from dropwatch.render.lines.schema import schema_text

    Screen(sys.stdout, sys.stderr).show(schema_text())
