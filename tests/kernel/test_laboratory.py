"""The laboratory, tried without a guest: nothing that goes wrong in one may look like a pass."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from lab import farm
from lab.arrange import arrange
from lab.collected import Scenario, of_ipv4, pairs, scenarios
from lab.farm import Farm, Outcome
from lab.fetch import CannotFetch
from lab.machine import ARM64
from lab.matrix import Kernel, kernels, userlands
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
    every = [kernel for kernel in kernels() if not kernel.choice]
    runs = pairs(every, found)
    for scenario in found:
        expected = len(every) if scenario.kernels is None else scenario.kernels
        assert [name for _, name in runs].count(scenario.name) == expected, scenario
    assert pairs([KERNEL], [Scenario("a"), Scenario("b", 1), Scenario("c", 2)]) == [
        (KERNEL, name) for name in "abc"
    ]


def test_the_same_for_ipv6_runs_on_two_kernels() -> None:
    assert of_ipv4("test_a.py::test_keys[6-transport]") == "test_a.py::test_keys[4-transport]"
    assert of_ipv4("test_a.py::test_service[tcp-v6]") == "test_a.py::test_service[tcp-v4]"
    assert of_ipv4("test_a.py::test_6") == "test_a.py::test_6"
    kernels_of = {scenario.name: scenario.kernels for scenario in scenarios()}
    assert kernels_of["test_ipsec.py::test_keys_that_differ[6-transport]"] == 2
    assert kernels_of["test_ipsec.py::test_keys_that_differ[4-transport]"] is None


def test_what_needs_a_feature_runs_once_where_it_is() -> None:
    old, new = (
        replace(KERNEL, label=label, lacks=frozenset(lacks)) for label, lacks in (("1", {"x"}), ("2", set()))
    )
    found = [Scenario(f"scenario {number}", 1, "x") for number in range(9)]
    assert {kernel for kernel, _ in pairs([old, new], found)} == {new}
    assert len(pairs([old, new], found)) == 9
    assert pairs([old], found) == []


def test_a_kernel_with_a_choice_runs_that_and_counts_nowhere_else() -> None:
    chooser = replace(KERNEL, label="other", machine=ARM64, choice=("test_a.py::test_keys", "test_b.py"))
    found = [
        Scenario("test_a.py::test_keys_that_differ"),
        Scenario("test_a.py::test_other"),
        Scenario("test_b.py::test_once", 1),
        Scenario("test_c.py::test_once", 1),
    ]
    runs = pairs([KERNEL, chooser], found)
    assert [name for kernel, name in runs if kernel == chooser] == [found[0].name, found[2].name]
    assert [name for kernel, name in runs if kernel == KERNEL] == [scenario.name for scenario in found]


def test_what_is_chosen_for_a_kernel_exists_and_what_runs_alone_is_chosen() -> None:
    found = scenarios()
    begins = [begin for kernel in kernels() for begin in kernel.choice]
    for begin in begins:
        assert any(scenario.name.startswith(begin) for scenario in found), begin
    for scenario in found:
        assert scenario.kernels != 0 or any(map(scenario.name.startswith, begins)), f"{scenario} runs nowhere"


def test_every_scenario_runs_on_another_processor_when_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARCH", ARM64)
    assert {kernel.machine for kernel in kernels()} == {ARM64}
    assert not any(kernel.choice for kernel in kernels()), "all of them"
    monkeypatch.setenv("ARCH", "vax")
    with pytest.raises(ValueError, match=r"'vax': amd64 arm64"):
        kernels()


def test_a_suite_of_userlands_has_a_kernel() -> None:
    assert {"trixie", "sid"} <= {suite for suite, _ in userlands()}


def test_a_root_file_system_whose_packages_only_lie_there_gets_its_names(tmp_path: Path) -> None:
    """What the packages' scripts would have done, without an emulator of their processor."""
    for name in ("usr/share/base-passwd/passwd.master", "usr/share/base-passwd/group.master"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("root:*:0:0:root:/root:/bin/bash\n")
    for name in ("usr/share/libc-bin", "usr/sbin", "usr/bin", "usr/lib/python3", "etc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "usr/share/libc-bin/nsswitch.conf").write_text("hosts: files dns\n")
    (tmp_path / "usr/bin/python3").symlink_to(Path(sys.executable).resolve().name)
    module = tmp_path / "usr/lib/python3/some.py"
    module.write_text("x = 1\n")
    arrange(tmp_path)
    assert (tmp_path / "usr/sbin/iptables-save").readlink() == Path("iptables-nft-save")
    assert (tmp_path / "etc/passwd").read_text().startswith("root:")
    assert list(module.parent.glob("__pycache__/some.*.pyc"))


def test_kernels_are_chosen_by_label() -> None:
    assert [kernel.label for kernel in kernels("6.12, 6.1")] == ["6.1", "6.12"]
    assert [kernel.label for kernel in kernels("6.12-rt")] == ["6.12-rt"]
    assert "6.12-rt" not in {kernel.label for kernel in kernels("")}
    assert len(kernels("")) >= 4
    with pytest.raises(ValueError, match=r"6\.3"):
        kernels("6.1 6.3")
