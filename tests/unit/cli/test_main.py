"""The command line as users and scripts meet it: words, streams, exit codes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from dropwatch import __version__
from dropwatch.cli import main
from dropwatch.errors import CannotRunHere, WhydropError
from dropwatch.run import show
from dropwatch.run.options import Options

RUN = [sys.executable, "-c", "import sys; from dropwatch.cli.main import main; sys.exit(main())"]


Whydrop = Callable[..., tuple[int, str, str]]


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """The live run is replaced; gives the Options it would have run with."""
    runs = []
    monkeypatch.setattr(show, "show_live", lambda options, screen, stop: runs.append(options))
    return runs


@pytest.fixture
def whydrop(capsys: pytest.CaptureFixture[str]) -> Whydrop:
    """Runs a command line; gives exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.main(arguments)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def two_lines(err: str) -> tuple[str, str]:
    first, second, rest = err.partition("\n")[0], err.split("\n")[1], err.split("\n")[2:]
    assert rest == [""]
    return first.removeprefix("whydrop: error: "), second.removeprefix("hint: ")


def test_without_a_word_it_is_the_live_command(whydrop: Whydrop, live: list[Options]) -> None:
    assert whydrop("--dport", "5000", "-4", "--json") == (0, "", "")
    assert live[0].wanted.dport == ((5000, 5000),)
    assert live[0].json
    assert live[0].command == ()


@pytest.mark.parametrize(
    ("words", "member", "value"),
    [
        (("-v",), "verbosity", 1),
        (("-vv",), "verbosity", 2),
        (("--verbose",), "verbosity", 1),
        (("--color", "always"), "color", "always"),
        (("--no-color",), "no_color", True),
        (("--time", "utc"), "times", "utc"),
    ],
)
def test_how_it_looks(
    words: tuple[str, ...], member: str, value: object, whydrop: Whydrop, live: list[Options]
) -> None:
    assert whydrop(*words) == (0, "", "")
    (options,) = live
    assert getattr(options, member) == value


@pytest.mark.parametrize("words", [("--color", "green"), ("--time", "noon")])
def test_a_look_that_there_is_not(words: tuple[str, ...], whydrop: Whydrop) -> None:
    code, _, err = whydrop(*words)
    assert code == 2
    message, _ = two_lines(err)
    assert words[1] in message


def test_alone_it_is_the_live_command_too(whydrop: Whydrop, live: list[Options]) -> None:
    assert whydrop() == (0, "", "")
    assert live == [Options()]


def test_what_stands_after_the_dashes_is_the_command_whatever_it_looks_like(
    whydrop: Whydrop, live: list[Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dropwatch.run.command.refuse_missing", lambda argv: None)
    for command in (("check",), ("explain", "x"), ("sh", "-c", "exit 3", "--", "--json"), ("--json",)):
        whydrop("--count", "1", "--", *command)
        assert live.pop().command == command


def test_stack_is_the_live_command_with_another_face(
    whydrop: Whydrop, live: list[Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dropwatch.run.command.refuse_missing", lambda argv: None)
    assert whydrop("stack", "--dport", "5000", "--", "ping", "-c", "1") == (0, "", "")
    assert whydrop("stack", "--count", "3", "--json") == (0, "", "")
    assert whydrop("stack", "--folded") == (0, "", "")
    first, second, third = live
    assert (first.view, first.count, first.command) == ("stack", 1, ("ping", "-c", "1"))
    assert first.wanted.dport == ((5000, 5000),)
    assert (second.view, second.count, second.json) == ("stack", 3, True)
    assert (third.view, third.count) == ("folded", None)
    assert whydrop("--dport", "5000", "stack")[0] == 2
    assert whydrop("stack", "--folded", "--json")[0] == 2
    assert whydrop("check", "--", "ping")[0] == 2


def test_summary_is_the_live_command_with_another_face(
    whydrop: Whydrop, live: list[Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dropwatch.run.command.refuse_missing", lambda argv: None)
    assert whydrop("summary", "--dport", "5000", "--", "ping", "-c", "1") == (0, "", "")
    assert whydrop("summary", "--json", "--interval", "2.5", "--count", "3", "--stack") == (0, "", "")
    first, second = live
    assert (first.view, first.interval, first.count, first.command) == (
        "summary",
        None,
        None,
        ("ping", "-c", "1"),
    )
    assert first.wanted.dport == ((5000, 5000),)
    assert (second.interval, second.count, second.json, second.stack) == (2.5, 3, True, True)
    for wrong in (("--interval", "0"), ("--interval", "x"), ("--payload",), ("--count", "0")):
        assert whydrop("summary", *wrong)[0] == 2
    assert whydrop("--interval", "2")[0] == 2, "it means nothing without a summary"
    assert "Time between summaries" in whydrop("summary", "--help")[1]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("--dport", "70000"), "--dport 70000: there is no port 70000", "0 to 65535"),
        (("-4", "--saddr", "::1"), "no packet can match", ""),
        (("--dprot", "53"), "there is no option --dprot", "--dport"),
        (("--nothing-like-it",), "there is no option --nothing-like-it", "whydrop --help"),
        (("--count",), "--count", "whydrop --help"),
        (("--json=3",), "--json", "whydrop --help"),
        (("--",), "there is no command after `--`", "--"),
        (("--", "no-such-program"), "no-such-program", "shell"),
        (("ls", "-l"), "there is no command 'ls' in whydrop", "whydrop -- ls -l"),
        (("chek",), "there is no command 'chek'", "whydrop check"),
        (("--json", "check"), "--json means nothing before check", "whydrop check --help"),
        (("check", "--", "ls"), "whydrop check runs no command", "whydrop -- ls"),
        (("check", "extra"), "extra", "whydrop check --help"),
        (("check", "--bogus"), "there is no option --bogus", "whydrop check --help"),
    ],
)
def test_wrong_usage_is_two_lines_on_standard_error_and_exit_code_2(
    arguments: tuple[str, ...], message: str, hint: str, whydrop: Whydrop, live: list[Options]
) -> None:
    code, out, err = whydrop(*arguments)
    told, help_ = two_lines(err)
    assert (code, out) == (2, "")
    assert message in told
    assert hint in help_
    assert live == []


def test_wrong_usage_is_told_before_what_the_machine_lacks(
    whydrop: Whydrop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        raise CannotRunHere("needs root", "sudo")

    monkeypatch.setattr(show, "show_live", lacking)
    assert whydrop("--dport", "70000")[0] == 2
    code, out, err = whydrop("--dport", "5000")
    assert (code, out, two_lines(err)) == (3, "", ("needs root", "sudo"))


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (WhydropError("the disk is full", "make room"), 1, "the disk is full"),
        (RuntimeError("a bug"), 1, "RuntimeError: a bug"),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_a_traceback_is_only_for_those_who_ask(
    raised: Exception, code: int, message: str, debug: bool, whydrop: Whydrop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise raised

    monkeypatch.setattr(show, "show_live", failing)
    found, out, err = whydrop(*(["--debug"] if debug else []))
    assert (found, out) == (code, "")
    assert ("Traceback" in err) is debug
    assert message in err.splitlines()[-2]
    assert err.splitlines()[-1].startswith("hint: ")


def test_an_error_cannot_command_the_terminal(whydrop: Whydrop) -> None:
    _, _, err = whydrop("--saddr", "\x1b]0;owned\x07")
    assert all(line.isprintable() for line in err.split("\n"))


def test_an_interrupt_before_the_run_is_no_traceback(
    whydrop: Whydrop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(show, "show_live", interrupted)
    assert whydrop() == (130, "", "\n")  # after the terminal's ^C


def test_an_impatient_interrupt_while_python_ends_changes_nothing() -> None:
    script = """
import os, signal, sys
from dropwatch.cli.main import main
sys.argv = ["whydrop", "version"]
code = main()
os.kill(os.getpid(), signal.SIGINT)
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_version(whydrop: Whydrop) -> None:
    assert whydrop("--version") == (0, f"whydrop {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments", [("-h",), ("--help",), ("check", "-h"), ("explain", "--help"), ("stack", "-h")]
)
def test_help_fits_a_terminal_and_names_everything(
    arguments: tuple[str, ...], whydrop: Whydrop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = whydrop(*arguments)
    assert (code, err) == (0, "")
    assert max(len(line) for line in out.splitlines()) <= 80


def test_help_has_every_option_of_the_contract_under_its_heading(whydrop: Whydrop) -> None:
    out = whydrop("--help")[1]
    filters, rest = out.split("FILTER:")[1].split("OPTIONS:")
    own = rest.split("Other commands:")[0]

    def named(text: str) -> set[str]:
        return set(re.findall(r"^ {2}(?:-\w, )?(-\S+)", text, re.MULTILINE))

    assert named(filters) == {
        "-4", "-6", "--proto", "--saddr", "--daddr", "--host", "--sport", "--dport", "--port", "--icmp-type",
        "--iface", "--netns", "--mark", "--pid", "--comm", "--unit", "--container", "--cause", "--reason",
    }  # fmt: skip
    assert named(own) >= {"--json", "--stack", "--count", "--duration", "--all", "--ready-file", "--no-color"}
    assert "Examples:" in out


def test_stack_takes_every_filter_and_option_of_the_live_command(whydrop: Whydrop) -> None:
    def named(text: str) -> set[str]:
        return set(re.findall(r"^ {2}(?:-\w, )?(-\S+)", text, re.MULTILINE))

    live_options = named(whydrop("--help")[1].split("FILTER:")[1]) - {"--version", "--read"}
    assert named(whydrop("stack", "--help")[1].split("FILTER:")[1]) == live_options | {"--folded"}


def test_check_says_the_same_in_words_and_in_json_and_with_its_exit_code(whydrop: Whydrop) -> None:
    code, out, err = whydrop("check")
    assert err == ""
    can_watch = out.startswith("whydrop works here")
    as_json, out, err = whydrop("check", "--json")
    found = json.loads(out)
    assert (as_json, err) == (code, "")
    assert found["complete"] is (code == 0)
    assert found["works"] is can_watch
    assert {"kernel", "user", "programs", "libbpf", "BTF", "lockdown", "kprobes", "tracefs"} <= {
        fact["name"] for fact in found["facts"]
    }


def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], capture_output=True, text=True, check=False, **settings)


@pytest.mark.parametrize(
    "arguments", [("--help",), ("check",), ("explain", "ipsec.auth-failed"), ("schema",)]
)
def test_a_reader_that_leaves_is_no_error(arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as out:
        done = subprocess.run([*RUN, *arguments], stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 3 if arguments == ("check",) else 0)


def test_explain_and_check_and_help_never_load_the_probes() -> None:
    for arguments in (("--help",), ("explain", "ipsec.auth-failed"), ("check",), ("--dport", "70000")):
        script = f"from dropwatch.cli.main import main; main({arguments!r}); import sys; sys.exit('bcc' in sys.modules)"
        assert (
            subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0
        )


def test_whoever_may_not_is_told_in_two_lines_with_exit_code_3() -> None:
    drop_everything = (
        "import ctypes, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.capset(ctypes.create_string_buffer(bytes.fromhex('2205082000000000')),\n"
        "            ctypes.create_string_buffer(24))\n"
        "from dropwatch.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", drop_everything, "--dport", "5000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "BPF" in two_lines(done.stderr)[0]


def test_a_start_needs_no_causes() -> None:
    """They are a third of all modules, and are imported when the run is ready."""
    script = (
        "import sys, dropwatch.cli.parse, dropwatch.run.show, dropwatch.run.live, dropwatch.probe.tracer\n"
        "sys.exit('dropwatch.causes' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_an_address_of_pages_that_is_none_is_told_at_once(
    whydrop: Whydrop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHYDROP_CAUSE_URL", "docs")
    code, out, err = whydrop("explain", "NO_SOCKET")
    assert (code, out) == (2, "")
    assert two_lines(err)[0] == "WHYDROP_CAUSE_URL is no address: 'docs'"
