"""Which scenarios there are: asked of pytest, which this is a plugin of, in a process of its own.

The mark `once` is for what does not depend on the kernel, and takes long: such a scenario runs on one of the wanted
kernels, chosen by its name, so that all have a like share of them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from zlib import crc32

import pytest

from lab.matrix import Kernel
from lab.report import PREFIX

REPO = Path(__file__).parents[3]
_LIST = "LAB_COLLECTED"  # the file to write to


class Scenario(NamedTuple):
    """`name` is the node id below the directory of the scenarios."""

    name: str
    once: bool


def scenarios() -> list[Scenario]:
    """In the order in which pytest would run them. Raises pytest.UsageError when they cannot be collected."""
    with TemporaryDirectory(prefix="whydrop-scenarios-") as home:
        path = Path(home, "collected")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-p",
                "lab.collected",
                "--collect-only",
                "-q",
                "--confcutdir",
                PREFIX,
                PREFIX,
            ],
            cwd=REPO,
            env={**os.environ, "PYTHONPATH": "tests/kernel", _LIST: str(path)},
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise pytest.UsageError(f"the scenarios cannot be collected:\n{done.stdout}{done.stderr}")
        return [Scenario(*entry) for entry in json.loads(path.read_text())]


def pairs(kernels: Sequence[Kernel], found: Sequence[Scenario]) -> list[tuple[Kernel, str]]:
    """What runs where."""
    return [
        (kernel, scenario.name)
        for number, kernel in enumerate(kernels)
        for scenario in found
        if not scenario.once or crc32(scenario.name.encode()) % len(kernels) == number
    ]


def pytest_collection_finish(session: pytest.Session) -> None:
    if path := os.environ.get(_LIST):
        found = [
            (item.nodeid.removeprefix(PREFIX), item.get_closest_marker("once") is not None)
            for item in session.items
        ]
        Path(path).write_text(json.dumps(found))
