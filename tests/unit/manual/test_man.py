"""The manual page: all of the command line is in it, and troff and mandoc have nothing to complain of."""

import shutil
import subprocess

import click
import pytest

from dropwatch.cli.main import whydrop
from manual.files import ROOT
from manual.man import page

PATH = ROOT / "docs" / "whydrop.1"


def test_every_command_and_option_is_in_it() -> None:
    text = page().replace("\\-", "-")
    for word, command in whydrop.commands.items():
        if command.hidden:
            continue
        assert f'.SS "whydrop {word}' in text
        for param in command.params:
            if isinstance(param, click.Option) and param.name != "debug":
                aliases = getattr(param, "aliases", ())
                assert all(name in text for name in param.opts if name not in aliases)
    for heading in (
        "NAME",
        "SYNOPSIS",
        "FILTER",
        "OPTIONS",
        "COMMANDS",
        "EXIT STATUS",
        "ENVIRONMENT",
        "EXAMPLES",
    ):
        assert f".SH {heading}\n" in text
    assert text.count("\n.SH ") == len({line for line in text.split("\n") if line.startswith(".SH ")})


def test_what_begins_a_line_is_no_request() -> None:
    requests = {line.split()[0] for line in page().splitlines() if line.startswith((".", "'"))}
    assert requests <= {'.\\"', ".TH", ".SH", ".SS", ".TP", ".B", ".BR", ".PP", ".br", ".nf", ".fi"}


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("groff", ["-man", "-ww", "-Tutf8", "-z"]),
        ("mandoc", ["-T", "lint", "-W", "error"]),
    ],
)
def test_what_formats_it_understands_it(tool: str, words: list[str]) -> None:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"feature {tool}: not installed")
    done = subprocess.run([found, *words, str(PATH)], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
