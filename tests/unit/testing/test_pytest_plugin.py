"""The fixture `no_drops` in a pytest of its own: what fails, with which words, what passes, what is skipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dropwatch.names import toml
from dropwatch.resources import resource_dir

PLUGIN = "dropwatch.testing.pytest_plugin"
RECORDING = sorted((resource_dir("bpf").parent / "tests/replay/recordings").glob("*-mixed.whydrop"))[0]
# A run on this host is replaced by one of a recording: the same findings, without root.
CONFTEST = f"""
import pytest
from dropwatch.errors import CannotRunHere
from dropwatch.run import api

@pytest.fixture(autouse=True)
def recorded(request, monkeypatch):
    def live(*, duration, **wanted):
        if "cannot" in request.node.name:
            class Refused(api.Run):
                def __init__(self): pass
                def __enter__(self): raise CannotRunHere("whydrop needs root", "sudo")
                def _open(self, contexts): ...
                def _read(self): ...
            return Refused()
        run = api.replay({str(RECORDING)!r}, **wanted)
        if "lost" in request.node.name:
            end = run._end
            def losing(*told):
                end(*told)
                run.totals.lost["ring buffer full"] = 7
            run._end = losing
        return run
    monkeypatch.setattr(api, "live", live)
"""


def run(tmp_path: Path, test: str, *words: str) -> str:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_x.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *words, str(tmp_path)]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": PLUGIN}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout


def test_drops_fail_it_with_the_findings(tmp_path: Path) -> None:
    out = run(tmp_path, "def test_it(no_drops):\n    with no_drops(proto='udp'):\n        pass\n")
    assert "1 failed" in out
    assert "packets were dropped:" in out
    for word in ("[ipsec.auth-failed]", "by ", "proof", "try", "whydrop: "):
        assert word in out, out
    assert "Traceback" not in out


def test_what_does_not_fit_passes(tmp_path: Path) -> None:
    out = run(
        tmp_path, "def test_it(no_drops):\n    with no_drops(dport=1, host='192.0.2.1'):\n        pass\n"
    )
    assert "1 passed" in out


def test_what_was_lost_fails_it(tmp_path: Path) -> None:
    test = "def test_lost(no_drops):\n    with no_drops(dport=1, host='192.0.2.1'):\n        pass\n"
    out = run(tmp_path, test)
    assert "1 failed" in out
    assert "lost: 7 events lost on the way to whydrop" in out


def test_a_failure_of_the_block_is_its_own(tmp_path: Path) -> None:
    out = run(tmp_path, "def test_it(no_drops):\n    with no_drops():\n        raise KeyError('mine')\n")
    assert "KeyError: 'mine'" in out
    assert "packets were dropped" not in out


def test_where_it_cannot_run_the_test_is_skipped(tmp_path: Path) -> None:
    out = run(tmp_path, "def test_cannot(no_drops):\n    with no_drops():\n        raise AssertionError\n")
    assert "1 skipped" in out
    assert "whydrop needs root; sudo" in out


@pytest.mark.parametrize("words", [[], ["-W", "error"]])
def test_who_does_not_ask_for_it_notices_nothing(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "conftest.py").write_text("")
    test = """
import sys

def test_it():
    assert {name for name in sys.modules if name.startswith("dropwatch.")} <= {
        "dropwatch.testing", "dropwatch.testing.pytest_plugin"
    }
"""
    (tmp_path / "test_x.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", PLUGIN, *words]
    done = subprocess.run(
        [*command, "--noconftest", str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_pytest_finds_it_by_itself() -> None:
    project = toml.loads((resource_dir("bpf").parent / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {PLUGIN: PLUGIN}
