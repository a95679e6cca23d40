"""Which scenarios there are: asked of pytest, which this is a plugin of, in a process of its own.

The mark `once` is for what does not depend on the kernel, and takes long: such a scenario runs on one of the wanted
kernels, chosen by its name, so that all have a like share of them. `twice` is for what depends on it little: it runs on
an older and a newer one. With `needs` they are kernels that have this feature. `alone` runs only where the matrix
chooses it: what it does to its guest cannot be undone. Of scenarios for IPv4 and IPv6 (`[4-...]`, `[6-...]`) those for
IPv4 run on every kernel, the same for IPv6 as if they had `twice`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence, Set
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from zlib import crc32

import pytest

from lab.matrix import Kernel
from lab.report import PREFIX

REPO = Path(__file__).parents[3]
_LIST = "LAB_COLLECTED"  # the file to write to
_OF_IPV4 = {"6": "4", "v6": "v4"}  # parameters
_FEW = {"once": 1, "twice": 2, "alone": 0}  # marks, and on how many kernels such a scenario runs


class Scenario(NamedTuple):
    """`name` is the node id below the directory of the scenarios, `kernels` on how many it runs; None: on all."""

    name: str
    kernels: int | None = None
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
    """What runs where. A kernel with a choice runs all of that, and is not counted where few kernels run something."""
    whole = [kernel for kernel in kernels if not kernel.choice]
    return [
        (kernel, scenario.name)
        for kernel in kernels
        for scenario in found
        if (
            scenario.name.startswith(kernel.choice)
            if kernel.choice
            else scenario.kernels is None or kernel in _chosen(whole, scenario, scenario.kernels)
        )
    ]


def _chosen(kernels: Sequence[Kernel], scenario: Scenario, count: int) -> list[Kernel]:
    """The kernels that it runs on, as far apart in the list as there are; none where all lack what it needs."""
    able = [kernel for kernel in kernels if scenario.needs not in kernel.lacks]
    first = crc32(scenario.name.encode())
    return [able[(first + turn * len(able) // count) % len(able)] for turn in range(count)] if able else []


def pytest_collection_finish(session: pytest.Session) -> None:
    if path := os.environ.get(_LIST):
        names = {item.nodeid for item in session.items}
        Path(path).write_text(json.dumps([_scenario(item, names) for item in session.items]))


def _scenario(item: pytest.Item, names: Set[str]) -> Scenario:
    name = item.nodeid.removeprefix(PREFIX)
    for word, kernels in _FEW.items():
        mark = item.get_closest_marker(word)
        if mark is not None:
            return Scenario(name, kernels, mark.kwargs.get("needs"))
    first = of_ipv4(item.nodeid)
    return Scenario(name, _FEW["twice"] if first != item.nodeid and first in names else None)


def of_ipv4(name: str) -> str:
    """The same scenario for IPv4, if there is one."""
    function, bracket, parameters = name.partition("[")
    words = parameters.removesuffix("]").split("-")
    return function + bracket + "-".join(_OF_IPV4.get(word, word) for word in words) + "]" * bool(bracket)
