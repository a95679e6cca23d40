"""The wheel: it holds bpf/ and symbols/, and works where there is no checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(directory),
        str(REPO),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (found,) = directory.glob("whydrop-*.whl")
    return found


def test_it_holds_every_file_of_bpf_and_symbols(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for directory in ("bpf", "symbols"):
        files = [path for path in (REPO / directory).rglob("*") if path.is_file()]
        assert files
        missing = {f"dropwatch/data/{path.relative_to(REPO)}" for path in files} - inside
        assert not missing


def test_it_installs_the_manual_page_and_the_completions(wheel: Path) -> None:
    inside = {name.partition(".data/data/")[2] for name in zipfile.ZipFile(wheel).namelist()}
    assert {
        "share/man/man1/whydrop.1",
        "share/bash-completion/completions/whydrop",
        "share/zsh/site-functions/_whydrop",
        "share/fish/vendor_completions.d/whydrop.fish",
    } <= inside


def test_it_works_when_installed(wheel: Path, tmp_path: Path) -> None:
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(tmp_path),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "from dropwatch import resources; from dropwatch.cli.main import main;"
        f"assert str(resources.resource_dir('bpf')).startswith({str(tmp_path)!r});"
        "sys.exit(main(['explain', 'NO_SOCKET']))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd="/", check=False
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "no socket matches this packet" in shown.stdout
