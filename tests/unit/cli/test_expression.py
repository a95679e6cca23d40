"""Words that are no command are an expression, with options before, between and after them."""

import os
from pathlib import Path

import pytest

from dropwatch.cli import main
from dropwatch.cli.expression import begins_expression
from dropwatch.run import show
from dropwatch.run.options import Options


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """The Options with which live runs would have run."""
    runs: list[Options] = []
    monkeypatch.setattr(show, "show_live", lambda options, screen, stop: runs.append(options))
    return runs


def text(options: Options) -> str | None:
    return options.wanted.expression.text if options.wanted.expression is not None else None


@pytest.mark.parametrize(
    ("arguments", "expression", "view"),
    [
        (("udp port 5000",), "udp port 5000", "findings"),
        (("udp", "port", "5000"), "udp port 5000", "findings"),
        (("-i", "lo", "udp", "-c", "3", "port", "53", "-v"), "udp port 53", "findings"),
        (("not", "arp"), "not arp", "findings"),
        (("(tcp[13] & 2) != 0",), "(tcp[13] & 2) != 0", "findings"),
        (("tcp[13]&2!=0",), "tcp[13]&2!=0", "findings"),
        (("!", "udp"), "! udp", "findings"),
        (("summary", "udp", "port", "53"), "udp port 53", "summary"),
        (("stack", "-c", "2", "icmp"), "icmp", "stack"),
        (("trace", "host", "10.0.0.1", "--json"), "host 10.0.0.1", "trace"),
    ],
)
def test_an_expression_arrives(
    arguments: tuple[str, ...], expression: str, view: str, live: list[Options]
) -> None:
    assert main.main(arguments) == 0
    assert (text(live[0]), live[0].view) == (expression, view)


def test_options_before_and_after_the_first_word_are_the_same(live: list[Options]) -> None:
    words = (
        "--dport",
        "1",
        "-v",
        "-j",
        "-4",
        "udp",
        "--dport",
        "2",
        "-v",
        "--limit",
        "3",
        "--interface",
        "lo",
        "-q",
    )
    assert main.main(words) == 0
    found = live[0]
    assert found.wanted.dport == ((1, 1), (2, 2))
    assert (found.verbosity, found.json, found.count, found.quiet) == (2, True, 3, True)
    assert found.wanted.families == {4}
    assert found.wanted.ifaces == ("lo",)


def test_the_words_of_tcpdump_and_others_are_understood(live: list[Options], tmp_path: Path) -> None:
    path = str(tmp_path / "x.whydrop")
    assert (
        main.main(
            ("-nn", "--src", "10.0.0.1", "--dst", "10.0.0.2", "-w", path, "-c", "1", "--namespace", "all")
        )
        == 0
    )
    assert main.main(("--output", path)) == 0
    assert [str(options.write) for options in live] == [path, path]
    assert str(live[0].wanted.saddr[0]) == "10.0.0.1/32"
    assert live[0].wanted.netns == ()


def test_a_file_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(
        show, "show_replay", lambda path, options, *rest, **more: shown.append((path, options))
    )
    assert main.main(("-r", "x.whydrop", "udp", "port", "53")) == 0
    assert main.main(("udp", "-r", "x.whydrop", "--dport", "53")) == 0
    assert main.main(("replay", "x.whydrop", "udp port 53")) == 0
    assert [path for path, _ in shown] == [Path("x.whydrop")] * 3
    assert [text(options) for _, options in shown] == ["udp port 53", "udp", "udp port 53"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-r", "x", "--light"), "--light is for a live run"),
        (("-r", "x", "--", "ls"), "runs no command"),
        (("udp", "port"), "expression 'udp port': can't parse filter expression: syntax error"),
        (("",), "the expression is empty"),
        (("udp", "--dprot", "5"), "there is no option --dprot"),
        (("help", "nothing"), "there is no command 'nothing'"),
    ],
)
def test_what_is_wrong_is_two_lines(
    arguments: tuple[str, ...], message: str, live: list[Options], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert message in lines[0]
    assert lines[1].startswith("hint: ")
    assert live == []


def test_help_and_version_are_words_too(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for words in (
        ("help",),
        ("--help",),
        ("udp", "--help"),
        ("help", "stack"),
        ("stack", "-h"),
        ("version",),
        ("-V",),
    ):
        assert main.main(words) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] == said[2]
    assert said[3] == said[4]
    assert said[5] == said[6]


def test_a_process_that_is_not_there_is_a_warning(
    live: list[Options], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(("--pid", f"{os.getpid()},999999999")) == 0
    assert capsys.readouterr().err == "whydrop: warning: --pid 999999999: there is no such process now\n"
    assert len(live) == 1


def test_first_words() -> None:
    for word in ("udp", "not", "(tcp", "!arp", "10.0.0.1", "ls -l", "tcp[13]", "ether", ""):
        assert begins_expression(word), word
    for word in ("ls", "chek", "sumary", "ping"):
        assert not begins_expression(word), word
