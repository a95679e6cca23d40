"""A pytest plugin for the guest: one JSON line for each test, written as the test ends.

Shape: {"scenario": node id below SCENARIOS, "outcome": "passed|failed|skipped", "seconds": float, "text": str};
`text` is the reason of a skip or the whole report of a failure; of one that passed: how its first attempt failed, if
it had one (pytest-rerunfailures). The file is what LAB_RESULTS names.
"""

import json
import os
from pathlib import Path

import pytest

PREFIX = "tests/kernel/scenarios/"


class Reporter:
    """Adds up the phases of each test: the worst outcome counts, the times are summed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._phases: list[pytest.TestReport] = []
        self._first: list[pytest.TestReport] = []  # what failed at the first attempt

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "setup":
            self._first += filter(_is_tried_again, self._phases)
            self._phases = []
        self._phases.append(report)
        if report.when == "teardown" and not any(map(_is_tried_again, self._phases)):
            self._write(self._phases, self._first)
            self._first = []

    def _write(self, phases: list[pytest.TestReport], first: list[pytest.TestReport]) -> None:
        bad = [phase for phase in phases if phase.failed] or [phase for phase in phases if phase.skipped]
        line = {
            "scenario": phases[0].nodeid.removeprefix(PREFIX),
            "outcome": bad[0].outcome if bad else "passed",
            "seconds": round(sum(phase.duration for phase in phases), 2),
            "text": "\n".join(_text(phase) for phase in bad or first),
        }
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    if path := os.environ.get("LAB_RESULTS"):
        config.pluginmanager.register(Reporter(Path(path)))


def _is_tried_again(report: pytest.TestReport) -> bool:
    return str(report.outcome) == "rerun"  # an outcome that pytest itself does not know


def _text(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    sections = (f"--- {title} ---\n{content}" for title, content in report.sections)
    return "\n".join([f"[{report.when}] {report.longreprtext}", *sections])
