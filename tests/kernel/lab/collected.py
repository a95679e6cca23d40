"""Which scenarios there are: asked of pytest, which this is a plugin of, in a process of its own.

The mark `once` is for what does not depend on the kernel, and takes long: such a scenario runs on one of the wanted
kernels, chosen by its name, so that all have a like share of them. With `needs` it is one that has this feature.
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
    needs: str | None = None


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
            # What pytest makes of the scenarios is kept for the guests, whose tree is not writable.
            env={
                **os.environ,
                "PYTHONPATH": "tests/kernel",
                "PYTHONDONTWRITEBYTECODE": "",
                _LIST: str(path),
            },
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
        if not scenario.once or number == _chosen(kernels, scenario)
    ]


def _chosen(kernels: Sequence[Kernel], scenario: Scenario) -> int | None:
    """The place of the one kernel that it runs on; None where all lack what it needs."""
    able = [number for number, kernel in enumerate(kernels) if scenario.needs not in kernel.lacks]
    return able[crc32(scenario.name.encode()) % len(able)] if able else None


def pytest_collection_finish(session: pytest.Session) -> None:
    if path := os.environ.get(_LIST):
        Path(path).write_text(json.dumps([_scenario(item) for item in session.items]))


def _scenario(item: pytest.Item) -> Scenario:
    once = item.get_closest_marker("once")
    needs = once.kwargs.get("needs") if once is not None else None
    return Scenario(item.nodeid.removeprefix(PREFIX), once is not None, needs)
