"""`whydrop mcp`: the command; what it serves is in agents/, and the SDK is imported by nothing else."""

import sys

import click

from dropwatch.errors import CannotRunHere
from dropwatch.render.screen import Screen

_LIBRARY = "mcp"
_MAJOR = "2"  # what 1.x calls the same is something else


@click.command()
@click.option("--debug", is_flag=True, help="Show Python's traceback with an error.")
def mcp(debug: bool) -> None:
    """Tools for agents: a server of the Model Context Protocol on standard input and output. A client starts it, and it
    ends when the client closes its standard input.

    The tools only read: check, explain, last, replay, diff and live. live needs root, the others need no right."""
    _refuse_without_library()
    from dropwatch.cli.agents.server import serve

    if sys.stdin.isatty():
        Screen(sys.stdout, sys.stderr).say("whydrop: a client that speaks MCP is expected; Ctrl-C ends it\n")
    serve()


def _refuse_without_library() -> None:
    from importlib.util import find_spec

    if find_spec(_LIBRARY) is None:
        raise CannotRunHere(
            f"whydrop mcp needs the Python package {_LIBRARY}, and it is not installed",
            "with pip: 'whydrop[mcp]'",
        )
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version(_LIBRARY)
    except PackageNotFoundError:
        found = "of no known version"
    if found.partition(".")[0] != _MAJOR:
        raise CannotRunHere(
            f"whydrop mcp needs the Python package {_LIBRARY} {_MAJOR}, and {found} is installed",
            "with pip: 'whydrop[mcp]'",
        )
