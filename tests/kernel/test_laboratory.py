"""The laboratory, tried without a guest: nothing that goes wrong in one may look like a pass."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from lab import farm
from lab.collected import Scenario, pairs, scenarios
from lab.farm import Farm, Outcome
from lab.fetch import CannotFetch
from lab.matrix import Kernel, kernels
from lab.verdict import COMPLAINTS, settle

KERNEL = Kernel("6.1", ("bookworm",), frozenset({"reasons"}))
SCENARIOS = """
import pytest

@pytest.fixture
def breaks_at_the_end():
    yield
    raise RuntimeError("teardown broke")

@pytest.fixture
def breaks_at_once():
    raise RuntimeError("setup broke")

def test_passes(): pass
def test_fails(): print("printed before"); assert 1 == 2
attempts = []
def test_passes_at_last(): attempts.append(1); assert len(attempts) == 2
def test_skips(): pytest.skip("feature reasons: none here")
def test_teardown(breaks_at_the_end): pass
def test_setup(breaks_at_once): pass
@pytest.mark.xfail
def test_is_expected_to_fail(): assert False
"""


def test_the_report_has_the_worst_phase_of_each_test(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SCENARIOS)
    results = tmp_path / "results.jsonl"
    lab = Path(farm.__file__).parents[1]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "lab.report",
            "--reruns",
            "1",
            "-c",
            "/dev/null",
            "--rootdir",
            tmp_path,
            tmp_path,
        ],
        env={**os.environ, "PYTHONPATH": str(lab), "LAB_RESULTS": str(results)},
        capture_output=True,
    )
    lines = {line["scenario"]: line for line in map(json.loads, results.read_text().splitlines())}
    assert {name.partition("::")[2]: line["outcome"] for name, line in lines.items()} == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_passes_at_last": "passed",
        "test_skips": "skipped",
        "test_teardown": "failed",
        "test_setup": "failed",
        "test_is_expected_to_fail": "skipped",
    }
    assert lines["test_it.py::test_passes"]["text"] == ""
    assert "assert 1 == 2" in lines["test_it.py::test_passes_at_last"]["text"]
    assert "printed before" in lines["test_it.py::test_fails"]["text"]
    assert lines["test_it.py::test_skips"]["text"] == "feature reasons: none here"
    assert "teardown broke" in lines["test_it.py::test_teardown"]["text"]
    assert "setup broke" in lines["test_it.py::test_setup"]["text"]


@pytest.mark.parametrize(
    "reason", ["no time", "feature btf: none here", "I lack feature reasons: really", ""]
)
def test_a_skip_that_the_matrix_does_not_name_is_a_failure(reason: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"matrix\.toml"):
        settle(KERNEL, Outcome("skipped", 0.1, reason))


def test_a_skip_for_what_the_kernel_lacks_is_a_skip() -> None:
    with pytest.raises(pytest.skip.Exception, match="none here"):
        settle(KERNEL, Outcome("skipped", 0.1, "feature reasons: none here"))


def test_a_second_attempt_is_told() -> None:
    tried = Farm({KERNEL: ["a", "b", "c"]}, print)
    tried._outcomes = {
        ("6.1", "a"): Outcome("passed", 0.1, ""),
        ("6.1", "b"): Outcome("passed", 0.1, "how it failed"),
        ("6.1", "c"): Outcome("skipped", 0.1, "feature reasons: none here"),
    }
    assert tried.unsteady() == [("6.1", "b", "how it failed")]


@pytest.mark.parametrize("outcome", ["failed", "error", ""])
def test_only_passed_passes(outcome: str) -> None:
    settle(KERNEL, Outcome("passed", 0.1, ""))
    with pytest.raises(pytest.fail.Exception, match="what happened"):
        settle(KERNEL, Outcome(outcome, 0.1, "what happened"))


def test_a_kernel_that_cannot_be_had_fails_all_its_scenarios(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kernel: Kernel) -> None:
        raise CannotFetch("the mirror is on holiday")

    monkeypatch.setattr(farm, "fetch", refuse)
    said: list[str] = []
    tried = Farm({KERNEL: ["test_a.py::test_one", "test_a.py::test_two"]}, said.append)
    tried.start()
    outcomes = [tried.outcome("6.1", f"test_a.py::test_{name}") for name in ("one", "two")]
    tried.close()
    assert {outcome.outcome for outcome in outcomes} == {"failed"}
    assert "the mirror is on holiday" in outcomes[0].text
    assert "the mirror is on holiday: see test_a.py::test_one" in outcomes[1].text
    assert said[-1].startswith("6.1: 2 failed")


def test_a_complaint_of_the_kernel_is_seen() -> None:
    assert COMPLAINTS.search("[    7.1] WARNING: CPU: 0 PID: 1 at net/core/skbuff.c:1 skb_unref+0x1/0x2\n")
    assert not COMPLAINTS.search("[    0.4] PCI: System does not support PCI\n[    2.0] reboot: Power down\n")


def test_every_scenario_runs_on_every_kernel_or_on_few() -> None:
    found = scenarios()
    once = {scenario.name for scenario in found if scenario.kernels == 1}
    assert 0 < len(once) < len(found) / 6
    twice = {scenario.name for scenario in found if scenario.kernels == 2}
    assert 0 < len(twice) < len(found) / 3
    every = kernels()
    runs = pairs(every, found)
    for scenario in found:
        expected = scenario.kernels or len(every)
        assert [name for _, name in runs].count(scenario.name) == expected, scenario
    assert pairs([KERNEL], [Scenario("a"), Scenario("b", 1), Scenario("c", 2)]) == [
        (KERNEL, name) for name in "abc"
    ]


def test_what_needs_a_feature_runs_once_where_it_is() -> None:
    old, new = (
        replace(KERNEL, label=label, lacks=frozenset(lacks)) for label, lacks in (("1", {"x"}), ("2", set()))
    )
    found = [Scenario(f"scenario {number}", 1, "x") for number in range(9)]
    assert {kernel for kernel, _ in pairs([old, new], found)} == {new}
    assert len(pairs([old, new], found)) == 9
    assert pairs([old], found) == []


def test_kernels_are_chosen_by_label() -> None:
    assert [kernel.label for kernel in kernels("6.12, 6.1")] == ["6.1", "6.12"]
    assert len(kernels("")) >= 4
    with pytest.raises(ValueError, match=r"6\.3"):
        kernels("6.1 6.3")
