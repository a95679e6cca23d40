"""Completion: what whydrop answers, and what bash, zsh and fish make of it."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dropwatch.causes import BY_ID
from dropwatch.cli.completion_scripts import SCRIPTS
from dropwatch.cli.main import main
from manual.files import ROOT

COMPLETION = ROOT / "packaging" / "completion"
Asked = Callable[..., dict[str, str]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Asked:
    """What may stand for the last word, with its help."""

    def ask(*words: str) -> dict[str, str]:
        monkeypatch.setenv("_WHYDROP_COMPLETE", "bash_complete")
        monkeypatch.setenv("WHYDROP_WORDS", "\n".join(words[:-1]))
        monkeypatch.setenv("WHYDROP_CURRENT", words[-1])
        assert main([]) == 0
        out, err = capfd.readouterr()
        assert err == ""
        return dict(line.split("\t") for line in out.splitlines() if line)

    return ask


def test_commands_and_options_with_their_words(asked: Asked) -> None:
    assert {"summary", "stack", "trace", "replay", "explain", "check", "schema"} <= set(asked(""))
    assert asked("expl") == {"explain": "What a cause, a drop reason, a function or a counter means; search."}
    assert set(asked("--sa")) == {"--saddr"}
    assert "--interval" in asked("summary", "--in")
    assert asked("explain", "--no-p")


def test_causes_and_families_also_those_that_are_left_out(asked: Asked) -> None:
    found = asked("--cause", "ipsec.a")
    assert found == {"ipsec.auth-failed": BY_ID["ipsec.auth-failed"].title}
    assert "ipsec.*" in asked("summary", "--cause", "ips")
    assert "!tcp.md5-wrong" in asked("--cause", "!tcp.md5")
    assert asked("--cause", "=", "ipsec.auth") == asked("--cause=ipsec.auth") == found


def test_reasons_protocols_interfaces_and_files(asked: Asked) -> None:
    assert asked("--reason", "NO_SOC") == {"NO_SOCKET": "no socket matches this packet"}
    assert "udp" in asked("--proto", "ud")
    assert asked("--iface", "l")["lo"] == "interface"
    assert set(asked("replay", "x")) == set(asked("--write", "x")) == {"//file"}
    assert asked("--count", "") == {}


def test_names_that_have_a_page(asked: Asked) -> None:
    assert "netfilter" in asked("explain", "")
    assert "auth-failed" in asked("explain", "auth")
    assert {"ListenDrops", "ListenOverflows"} <= set(asked("explain", "Listen"))
    assert "xfrm_input" in asked("explain", "xfrm_inp")


def test_namespaces(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    from dropwatch.cli import completion

    monkeypatch.setattr(completion, "_listed", lambda directory: ["blue", "red $(reboot)"])
    assert asked("--netns", "") == {"blue": "network namespace"}, (
        "what a shell would take for more is no answer"
    )


def test_words_that_mean_nothing_have_no_answer(asked: Asked) -> None:
    assert asked("no-such-command", "") == {}
    assert asked("--no-such-option", "x", "") is not None


def test_every_shell_is_given_its_script(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for shell, script in SCRIPTS.items():
        monkeypatch.setenv("_WHYDROP_COMPLETE", f"{shell}_source")
        main([])
        assert capfd.readouterr().out.rstrip() == script.rstrip()  # releases of click end it differently


def test_it_asks_neither_judges_nor_the_host() -> None:
    program = (
        "import sys; from dropwatch.cli.main import main; main([]); "
        "print(*[name for name in sys.modules if name.startswith(('dropwatch.causes', 'dropwatch.host', "
        "'tabulate'))], "
        "file=sys.stderr)"
    )
    env = {
        **os.environ,
        "_WHYDROP_COMPLETE": "zsh_complete",
        "WHYDROP_WORDS": "explain",
        "WHYDROP_CURRENT": "List",
    }
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert "ListenDrops" in done.stdout


@pytest.fixture
def path(tmp_path: Path) -> str:
    """PATH with whydrop in front."""
    program = tmp_path / "whydrop"
    start = "import sys; from dropwatch.cli.main import main; sys.exit(main())"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c "{start}" "$@"\n')
    program.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"feature {name}: not installed")
    return found


CONTROL = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|[\x00-\x1f]")
LINES = [
    ("whydrop --cause ipsec.au", "ipsec.auth-failed"),
    ("whydrop --cause=ipsec.au", "ipsec.auth-failed"),
    ("whydrop explain ListenO", "ListenOverflows"),
    ("whydrop summ", "summary"),
    ("whydrop replay CHANGEL", "CHANGELOG.md"),
    ("whydrop --dport 53 -- mktem", "mktemp"),
]
lines = pytest.mark.parametrize(("line", "word"), LINES)


@lines
def test_in_bash(line: str, word: str, path: str) -> None:
    """Its word breaks are those of a terminal: `=` stands alone."""
    words = " ".join(re.sub("=", " = ", line).split())
    script = f"""
        source {COMPLETION}/whydrop
        COMP_WORDS=({words}) COMP_CWORD=$(({len(words.split())} - 1)) COMPREPLY=()
        _whydrop
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    bash = [shell("bash"), "--norc", "-c", script]
    done = subprocess.run(bash, capture_output=True, text=True, env={**os.environ, "PATH": path}, cwd=ROOT)
    assert (done.stderr, word in done.stdout.splitlines()) == ("", True), done.stdout


@lines
def test_in_fish(line: str, word: str, path: str, tmp_path: Path) -> None:
    script = f"source {COMPLETION}/whydrop.fish; complete -C '{line}'"
    env = {**os.environ, "PATH": path, "HOME": str(tmp_path)}
    done = subprocess.run([shell("fish"), "-c", script], capture_output=True, text=True, env=env, cwd=ROOT)
    found = [answer.split("\t")[0] for answer in done.stdout.splitlines()]
    assert any(answer in (word, f"--cause={word}") for answer in found), done.stdout + done.stderr


def test_in_zsh_on_a_terminal(path: str) -> None:
    """Only its line editor completes: it is typed to."""
    zsh = shell("zsh")
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        os.chdir(ROOT)
        os.execve(zsh, [zsh, "-f", "-i"], {**os.environ, "PATH": path, "TERM": "dumb"})

    def shown_until(wanted: str) -> None:
        shown = b""
        while wanted.encode() not in CONTROL.sub(b"", shown):
            assert select.select([terminal], [], [], 60)[0], shown.decode(errors="replace")
            shown += os.read(terminal, 65536)

    try:
        start = (
            f"PS1='%%'; fpath=({COMPLETION} $fpath); autoload -Uz compinit; compinit -u -D; echo REA''DY\n"
        )
        os.write(terminal, start.encode())
        shown_until("READY")
        for line, word in LINES:
            os.write(terminal, f"{line}\t".encode())
            shown_until(f"{line[: line.rindex(re.split('[ =]', line)[-1])]}{word}"[-30:])
            os.write(terminal, b"\x15")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
