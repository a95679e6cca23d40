"""Every scenario on every kernel: each pair is a test here, run in a guest by the farm."""

import os
from functools import cache

import pytest
from lab.collected import pairs, scenarios
from lab.farm import Farm
from lab.matrix import Kernel, kernels
from lab.verdict import COMPLAINTS, settle

MOST_UNSTEADY = 3  # of a kernel's scenarios: more than that is no accident


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" in metafunc.fixturenames:
        wanted = pairs(_kernels(), scenarios())
        ids = [f"{kernel.label}-{scenario}" for kernel, scenario in wanted]
        metafunc.parametrize(("kernel", "scenario"), wanted, ids=ids)
    elif "kernel" in metafunc.fixturenames:
        metafunc.parametrize("kernel", _kernels(), ids=lambda kernel: kernel.label)


def test_kernel(kernel: Kernel, scenario: str, farm: Farm) -> None:
    settle(kernel, farm.outcome(kernel.label, scenario))


def test_kernel_had_nothing_to_complain_about(kernel: Kernel, farm: Farm) -> None:
    console = _console(kernel, farm)
    if COMPLAINTS.search(console):
        pytest.fail(console, pytrace=False)


def test_kernel_was_steady(kernel: Kernel, farm: Farm) -> None:
    _console(kernel, farm)  # its guest has ended
    unsteady = [scenario for label, scenario, _ in farm.unsteady() if label == kernel.label]
    if len(unsteady) > MOST_UNSTEADY:
        pytest.fail("\n".join([f"{len(unsteady)} passed at the second attempt only:", *unsteady]), False)


def _console(kernel: Kernel, farm: Farm) -> str:
    try:
        return farm.console(kernel.label)
    except KeyError:
        pytest.skip("none of this kernel's scenarios was selected")


@cache
def _kernels() -> tuple[Kernel, ...]:
    try:
        return kernels(os.environ.get("KERNELS", ""))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
