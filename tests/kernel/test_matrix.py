"""Every scenario on every kernel: each pair is a test here, run in a guest by the farm."""

import os
import subprocess
import sys
from functools import cache

import pytest
from lab.farm import REPO, Farm
from lab.matrix import Kernel, kernels
from lab.report import PREFIX
from lab.verdict import COMPLAINTS, settle


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" in metafunc.fixturenames:
        pairs = [(kernel, scenario) for kernel in _kernels() for scenario in _scenarios()]
        ids = [f"{kernel.label}-{scenario}" for kernel, scenario in pairs]
        metafunc.parametrize(("kernel", "scenario"), pairs, ids=ids)
    elif "kernel" in metafunc.fixturenames:
        metafunc.parametrize("kernel", _kernels(), ids=lambda kernel: kernel.label)


def test_kernel(kernel: Kernel, scenario: str, farm: Farm) -> None:
    settle(kernel, farm.outcome(kernel.label, scenario))


def test_kernel_had_nothing_to_complain_about(kernel: Kernel, farm: Farm) -> None:
    try:
        console = farm.console(kernel.label)
    except KeyError:
        pytest.skip("none of this kernel's scenarios was selected")
    if COMPLAINTS.search(console):
        pytest.fail(console, pytrace=False)


@cache
def _kernels() -> tuple[Kernel, ...]:
    try:
        return kernels(os.environ.get("KERNELS", ""))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


@cache
def _scenarios() -> tuple[str, ...]:
    """The node ids below tests/kernel/scenarios, in the order in which pytest would run them."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "--confcutdir", PREFIX, PREFIX],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": "tests/kernel"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise pytest.UsageError(f"the scenarios cannot be collected:\n{done.stdout}{done.stderr}")
    return tuple(line.removeprefix(PREFIX) for line in done.stdout.splitlines() if line.startswith(PREFIX))
