"""Which bcc is it: the BPF Compiler Collection, something else of that name, an old one, or none."""

import subprocess
import sys
from pathlib import Path

import pytest

from dropwatch.probe.programs.bcc_package import find_bcc

GOOD = "class BPF:\n    def ring_buffer_poll(self): ...\n    def attach_raw_tracepoint(self): ...\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory `bcc` that comes first on the path; importing it would fail, and nobody does."""
    directory = tmp_path / "bcc"
    directory.mkdir()
    (directory / "__init__.py").write_text(f"{GOOD}raise SystemExit('bcc was imported')\n")
    (directory / "version.py").write_text("__version__ = '0.31.0+ds'\n")
    (directory / "libbcc.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bcc", raising=False)
    return directory


def test_a_good_one_is_found_without_importing_it(package: Path) -> None:
    found = find_bcc()
    assert (found.version, found.directory, found.problem) == ("0.31.0+ds", package, None)


def test_what_pypi_calls_bcc_is_something_else(package: Path) -> None:
    (package / "libbcc.py").unlink()
    found = find_bcc()
    assert "not the BPF Compiler Collection" in (found.problem or "")
    assert "pip uninstall bcc" in (found.todo or "")


def test_one_that_lacks_what_is_needed_is_too_old(package: Path) -> None:
    (package / "__init__.py").write_text("class BPF: ...\n")
    (package / "version.py").write_text("__version__ = '0.12.0'\n")
    found = find_bcc()
    assert "bcc 0.12.0 is too old: it has no ring_buffer_poll" in (found.problem or "")


def test_a_version_that_is_not_told_is_no_obstacle(package: Path) -> None:
    (package / "version.py").unlink()
    found = find_bcc()
    assert (found.version, found.problem) == (None, None)


def test_without_site_packages_there_is_none() -> None:
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from dropwatch.probe.programs.bcc_package import find_bcc\n"
        "found = find_bcc(); print(found.problem, '|', found.todo)"
    )
    root = __file__.partition("/tests/")[0]
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, root], check=True, capture_output=True, text=True
    )
    problem, _, todo = run.stdout.partition("|")
    assert "is not installed" in problem or "does not look" in problem
    assert "python3-bpfcc" in todo or "--system-site-packages" in todo
