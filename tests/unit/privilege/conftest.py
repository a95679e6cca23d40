"""The program as it is installed."""

import sys
from pathlib import Path

import pytest

from dropwatch.resources import resource_dir

LAUNCHER = resource_dir("bpf").parent / "packaging" / "bin" / "whydrop"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """As in a virtual environment: the program beside its Python."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "whydrop").write_text(LAUNCHER.read_text())
    (directory / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for name in ("whydrop", "python3"):
        (directory / name).chmod(0o755)
    return directory / "whydrop"
