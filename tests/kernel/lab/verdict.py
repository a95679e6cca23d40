"""Judges what came back from a guest: what counts as passed, as skipped and as a complaint of the kernel."""

import re

import pytest

from lab.farm import Outcome
from lab.matrix import Kernel

COMPLAINTS = re.compile(r"BUG:|WARNING:|Oops|general protection|UBSAN|refcount_t:|Kernel panic|Call Trace")


def settle(kernel: Kernel, outcome: Outcome) -> None:
    """Pass, fail or skip like the scenario did; a skip for anything that the kernel is not known to lack fails."""
    if outcome.outcome == "skipped":
        feature = re.match(r"feature (\S+):", outcome.text)
        if feature and feature[1] in kernel.lacks:
            pytest.skip(outcome.text)
        pytest.fail(
            f"skipped, but matrix.toml does not say that {kernel.label} lacks it: {outcome.text}", False
        )
    if outcome.outcome != "passed":
        pytest.fail(outcome.text, False)
