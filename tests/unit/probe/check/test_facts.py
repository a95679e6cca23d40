"""What a live run can explain here: each answer of the kernel becomes its own sentence."""

import errno
from collections.abc import Callable

import pytest

from dropwatch.model.fact import Fact
from dropwatch.privilege.capabilities import CAP_BPF, CAP_PERFMON
from dropwatch.probe.check import facts as facts_module
from dropwatch.probe.check import trial
from dropwatch.probe.check.facts import all_facts, can_run
from dropwatch.probe.check.preflight import User
from dropwatch.probe.families import FAMILIES

ROOT = User(0, (1 << 41) - 1, in_user_namespace=False)
NOBODY = User(65534, 0, in_user_namespace=False)
TRACER = User(65534, 1 << CAP_BPF | 1 << CAP_PERFMON, in_user_namespace=False)
Kprobes = Callable[..., None]
FAMILY = FAMILIES[0].name
FUNCTIONS = list(dict.fromkeys(hook.function for hook in FAMILIES[0].hooks))


@pytest.fixture
def kprobes(monkeypatch: pytest.MonkeyPatch) -> Kprobes:
    """Says what each function's kprobe gives; the others work."""

    def answer(lockdown: str | None = "none", **errors: int) -> None:
        monkeypatch.setattr(trial, "kprobe", lambda function: trial.Outcome(errors.get(function, 0)))
        monkeypatch.setattr(trial, "trampoline", lambda function: trial.Outcome(errors.get(function, 0)))
        monkeypatch.setattr(trial, "has_kprobes", lambda: errno.ENODEV not in errors.values())
        monkeypatch.setattr(facts_module, "lockdown_mode", lambda: lockdown)

    return answer


def facts(user: User) -> dict[str, Fact]:
    return {fact.name: fact for fact in facts_module._extra_facts(user)}


def test_a_family_works_with_all_its_hooks(kprobes: Kprobes) -> None:
    kprobes()
    family = facts(ROOT)[FAMILY]
    assert family.works
    assert family.text == f"kprobes on {FUNCTIONS[0]} and {len(FUNCTIONS) - 1} more functions"


def test_a_family_works_without_a_lesser_hook_and_names_it(kprobes: Kprobes) -> None:
    kprobes(**{FUNCTIONS[1]: errno.ENOENT})
    family = facts(ROOT)[FAMILY]
    assert family.works
    assert family.text.endswith(f"not on {FUNCTIONS[1]}")


@pytest.mark.parametrize(
    ("error", "lockdown", "text", "todo"),
    [
        (errno.ENODEV, "none", "this kernel has no kprobes", None),
        (errno.ENOENT, "none", "no such function, or its module is not loaded yet", None),
        (errno.EACCES, "none", "Permission denied", "perf_event_paranoid"),
        (errno.EPERM, "confidentiality", "Operation not permitted", "lockdown refuses kprobes"),
        (errno.EINVAL, "none", "Invalid argument", None),
    ],
)
def test_why_a_family_does_not_work(
    error: int, lockdown: str, text: str, todo: str | None, kprobes: Kprobes
) -> None:
    kprobes(lockdown, **{FUNCTIONS[0]: error})
    family = facts(ROOT)[FAMILY]
    assert family.works is False
    assert not family.vital
    assert text in family.text
    assert (todo is None and family.todo is None) or (todo is not None and todo in (family.todo or ""))


def test_a_kernel_without_kprobes_is_told_once_with_what_to_do(kprobes: Kprobes) -> None:
    kprobes(**{FUNCTIONS[0]: errno.ENODEV})
    assert "CONFIG_KPROBES=y" in (facts(ROOT)["kprobes"].todo or "")


def test_without_rights_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(function: str) -> None:
        raise AssertionError("a kprobe was tried")

    monkeypatch.setattr(trial, "kprobe", forbidden)
    found = facts(NOBODY)
    assert found[FAMILY].works is None
    assert (found["configuration"].works, found["namespaces"].works) == (False, False)


def test_each_capability_gives_its_own_part(kprobes: Kprobes) -> None:
    kprobes()
    found = facts(TRACER)
    assert (found[FAMILY].works, found["configuration"].works, found["namespaces"].works) == (
        True,
        False,
        False,
    )
    found = facts(ROOT)
    assert (found["configuration"].works, found["namespaces"].works) == (True, True)


@pytest.mark.parametrize(
    ("mode", "works"), [("none", True), ("integrity", True), ("confidentiality", False), (None, None)]
)
def test_lockdown(mode: str | None, works: bool | None, kprobes: Kprobes) -> None:
    kprobes(mode)
    assert facts(ROOT)["lockdown"].works is works


def test_it_can_run_only_when_all_that_is_vital_was_tried_and_works() -> None:
    def fact(works: bool | None, vital: bool) -> Fact:
        return Fact("x", works, "", vital=vital)

    assert can_run((fact(True, True), fact(False, False), fact(None, False)))
    assert not can_run((fact(True, True), fact(False, True)))
    assert not can_run((fact(True, True), fact(None, True)))


def test_every_fact_of_this_machine_has_words_and_an_own_name() -> None:
    found = all_facts()
    assert len({fact.name for fact in found}) == len(found)
    assert all(fact.text for fact in found)
    assert found[0].name == "kernel"
