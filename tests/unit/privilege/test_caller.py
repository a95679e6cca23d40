"""The caller's environment, and the program that is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dropwatch import __version__
from dropwatch.privilege.caller import environment_of_caller, started_anew

WORDS = ["/usr/bin/python3", "/usr/bin/whydrop", "--dport", "53"]


def said(program: Path, environment: dict[str, str], *words: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(program), *(words or ("version",))],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return done.stdout


def test_what_is_clean_goes_on() -> None:
    assert started_anew(WORDS, True, {"PATH": "/bin", "PYTHONPATH": "/x"}) is None


def test_what_python_takes_from_the_environment_is_ignored() -> None:
    assert started_anew(WORDS, False, {"A": "b"}) == ([WORDS[0], "-I", *WORDS[1:]], {"A": "b"})


def test_libraries_are_the_systems_and_the_command_is_the_callers() -> None:
    given = {"PATH": "/bin", "LD_PRELOAD": "/x.so", "LD_LIBRARY_PATH": "/lib/mine"}
    anew = started_anew(WORDS, True, given)
    assert anew is not None
    words, left = anew
    assert words == WORDS
    assert not [name for name in left if name.startswith("LD_")]
    assert started_anew(WORDS, True, left) is None
    assert environment_of_caller(left) == given


def test_it_is_started_from_anywhere(installed: Path, tmp_path: Path) -> None:
    expected = f"whydrop {__version__}\n"
    assert said(installed, {}) == expected
    link = tmp_path / "elsewhere"
    link.symlink_to("bin/whydrop")
    assert said(link, {"PATH": "/nowhere"}) == expected
    assert said(Path("bin/whydrop"), {}, cwd=tmp_path) == expected


def test_words_arrive_as_they_are(installed: Path) -> None:
    assert said(installed, {}, "explain", "policy  *").startswith("policy  *  (search)\n")


@pytest.mark.parametrize(
    "module", ["sitecustomize.py", "encodings/__init__.py", "dropwatch/__init__.py", "re.py"]
)
def test_no_module_of_the_callers_is_run(module: str, installed: Path, tmp_path: Path) -> None:
    mine, proof = tmp_path / "mine", tmp_path / "proof"
    (mine / module).parent.mkdir(parents=True)
    (mine / module).write_text(f"import posix\nposix.open({str(proof)!r}, posix.O_CREAT)\n")
    trapped = [sys.executable, "-c", "import re, dropwatch"]
    subprocess.run(trapped, env={"PYTHONPATH": str(mine)}, cwd=mine, capture_output=True, check=False)
    assert proof.exists(), "the trap works"
    proof.unlink()
    environment = {"PYTHONPATH": str(mine), "PYTHONHOME": "/nowhere", "PYTHONSTARTUP": str(mine / module)}
    assert said(installed, environment, cwd=mine).startswith("whydrop")
    assert not proof.exists()


def test_no_function_of_the_callers_shell_is_run(installed: Path) -> None:
    names = ("exec", "readlink", "/usr/bin/readlink", ":", "exit", "python3")
    mine = {f"BASH_FUNC_{name}%%": "() { echo mine; }" for name in names}
    assert said(installed, {**mine, "ENV": "/nowhere/x", "BASH_ENV": "/nowhere/x"}).startswith("whydrop")


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root decides what he runs")
def test_as_root_nothing_of_the_loader_is_left(installed: Path) -> None:
    show = installed.with_name("show")
    show.write_text(
        "import json, os, sys\nfrom dropwatch.privilege.caller import environment_of_caller, isolate\nisolate()\n"
        "comm = open('/proc/self/comm').read()\n"
        "print(json.dumps([dict(os.environ), environment_of_caller(), sys.flags.isolated, comm, sys.argv[1:]]))\n"
    )
    given = {"LD_LIBRARY_PATH": "/nowhere", "LD_BIND_NOW": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [sys.executable, str(show), "a", "b"], env=given, capture_output=True, text=True, check=True
    )
    left, callers, isolated, comm, words = json.loads(done.stdout)
    assert not [name for name in left if name.startswith("LD_")]
    assert (callers, isolated, comm, words) == (given, 1, "whydrop\n", ["a", "b"])
