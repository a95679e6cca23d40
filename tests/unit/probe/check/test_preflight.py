"""The self-test: the first obstacle is the one to remove first, and no answer is a guess."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dropwatch.errors import CannotRunHere
from dropwatch.model.fact import Fact
from dropwatch.privilege.capabilities import CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN
from dropwatch.probe.check import preflight, trial
from dropwatch.probe.check.preflight import (
    User,
    vital_facts,
)
from dropwatch.probe.family import Family
from dropwatch.probe.programs import numbers
from dropwatch.probe.programs.bcc_package import BccPackage
from dropwatch.probe.programs.numbers import Program
from dropwatch.probe.programs.text import join

ROOT = User(0, (1 << 41) - 1, in_user_namespace=False)
NOBODY = User(65534, 0, in_user_namespace=False)


@pytest.fixture(autouse=True)
def furnished_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled programs, bcc, libbpf and BTF are there, whatever this machine has; a test says what is not."""
    monkeypatch.setattr(preflight, "carried", lambda text: text)
    monkeypatch.setattr(preflight, "find_bcc", lambda: BccPackage("0.26.0"))
    monkeypatch.setattr(preflight, "find_libbpf", lambda: ("libbpf.so.1", None))
    monkeypatch.setattr(preflight, "lockdown_mode", lambda: "none")
    text = join((), "findings")
    monkeypatch.setattr(numbers, "build", lambda families: Program(text, {}, {}, families, {}))


@pytest.fixture
def capable_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every trial works; a test says which one does not."""
    works = trial.Outcome(0)
    monkeypatch.setattr(trial, "program", lambda *, reading: works)
    monkeypatch.setattr(trial, "ring_buffer", lambda: works)
    monkeypatch.setattr(trial, "raw_tracepoint", lambda name: works)


def failing(user: User) -> dict[str, Fact]:
    return {fact.name: fact for fact in vital_facts(user) if fact.works is False}


def test_without_proc_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotRunHere, match="is not there") as told:
        preflight.read_user(tmp_path / "self")
    assert told.value.hint.startswith("mount -t proc proc /proc")


def test_everything_there(capable_kernel: None) -> None:
    assert all(fact.works and fact.vital for fact in vital_facts(ROOT))


def test_who_is_not_root_is_told_so_and_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(**_: object) -> None:
        raise AssertionError("a program was loaded")

    monkeypatch.setattr(trial, "program", forbidden)
    facts = list(vital_facts(NOBODY))
    assert facts[0].works is False
    assert "nobody may not load BPF programs" in facts[0].text
    assert "sudo" in (facts[0].todo or "")
    assert facts[-1].works is None


@pytest.mark.parametrize(
    ("capabilities", "may"),
    [
        ((), False),
        ((CAP_BPF,), False),
        ((CAP_PERFMON,), False),
        ((CAP_NET_ADMIN,), False),
        ((CAP_BPF, CAP_PERFMON), True),
        ((CAP_SYS_ADMIN,), True),
    ],
)
def test_capabilities_count_not_the_user_id(
    capabilities: tuple[int, ...], may: bool, capable_kernel: None
) -> None:
    bits = sum(1 << one for one in capabilities)
    for uid in (0, 1000):
        facts = list(vital_facts(User(uid, bits, in_user_namespace=False)))
        assert facts[0].works is may


def test_sys_admin_does_not_stand_for_net_admin() -> None:
    assert not User(0, 1 << CAP_SYS_ADMIN, in_user_namespace=False).has(CAP_NET_ADMIN)


def test_lockdown_is_recognised_by_what_the_verifier_says(
    capable_kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = trial.Outcome(errno.EINVAL, "unknown func bpf_probe_read_kernel#113")
    monkeypatch.setattr(trial, "program", lambda *, reading: refused if reading else trial.Outcome(0))
    monkeypatch.setattr(preflight, "lockdown_mode", lambda: "confidentiality")
    fact = failing(ROOT)["reading memory"]
    assert "lockdown is confidentiality" in fact.text
    assert "unknown func bpf_probe_read_kernel#113" in fact.text
    assert "lockdown=integrity" in (fact.todo or "")


def test_a_refused_load_is_told_once_and_a_user_namespace_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "program", lambda *, reading: trial.Outcome(errno.EPERM))
    contained = User(0, ROOT.capabilities, in_user_namespace=True)
    for user, words in ((ROOT, "seccomp"), (contained, "user namespace")):
        found = failing(user)
        assert list(found) == ["BPF programs"]
        assert "Operation not permitted" in found["BPF programs"].text
        assert words in (found["BPF programs"].todo or "")


def test_an_unknown_machine_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ring_buffer", "raw_tracepoint"):
        monkeypatch.setattr(trial, name, lambda *_: trial.Outcome(None))
    monkeypatch.setattr(trial, "program", lambda *, reading: trial.Outcome(None))
    facts = list(vital_facts(ROOT))
    assert facts[-1].works is None
    assert "not tried" in facts[-1].text


@pytest.mark.parametrize(("broken", "name"), [("ring_buffer", "ring buffer"), ("raw_tracepoint", "drops")])
def test_each_trial_decides_its_own_line(
    broken: str, name: str, capable_kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, broken, lambda *_: trial.Outcome(errno.EINVAL))
    assert list(failing(ROOT)) == [name]


def test_the_obstacles_come_in_the_order_in_which_a_user_can_remove_them(
    capable_kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def obstacle() -> str | None:
        error = preflight.first_obstacle()
        return error.message if error else None

    monkeypatch.setattr(trial, "program", lambda *, reading: trial.Outcome(errno.EPERM))
    monkeypatch.setattr(preflight, "carried", lambda text: None)
    monkeypatch.setattr(preflight, "find_bcc", lambda: BccPackage(problem="no bcc", todo="get it"))
    monkeypatch.setattr(preflight, "read_user", lambda: NOBODY)
    assert obstacle() == "nobody may not load BPF programs"
    monkeypatch.setattr(preflight, "read_user", lambda: ROOT)
    assert (obstacle() or "").endswith("and bcc cannot compile them here: no bcc")
    monkeypatch.setattr(preflight, "find_bcc", lambda: BccPackage("0.26.0"))
    assert "refuses to load" in (obstacle() or "")
    monkeypatch.setattr(trial, "program", lambda *, reading: trial.Outcome(0))
    assert obstacle() is None


def test_without_btf_or_libbpf_nothing_can_be_read(
    capable_kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_btf(families: tuple[Family, ...]) -> None:
        raise CannotRunHere("this kernel carries no BTF", "run another")

    def no_library() -> None:
        raise CannotRunHere("libbpf cannot be loaded: libbpf.so.1: cannot open", "install it")

    monkeypatch.setattr(numbers, "build", no_btf)
    monkeypatch.setattr(preflight, "find_libbpf", no_library)
    found = failing(ROOT)
    assert (found["BTF"].text, found["BTF"].todo) == ("this kernel carries no BTF", "run another")
    assert "libbpf.so.1: cannot open" in found["libbpf"].text


def test_a_family_that_btf_does_not_know_is_told_but_no_obstacle(
    capable_kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out = {"ipsec input": "this kernel's BTF has no xfrm_state"}
    monkeypatch.setattr(
        numbers, "build", lambda families: Program(join((), "findings"), {}, {}, (), left_out)
    )
    btf = next(fact for fact in vital_facts(ROOT) if fact.name == "BTF")
    assert btf.works
    assert "not for ipsec input: this kernel's BTF has no xfrm_state" in btf.text


def test_the_user_is_read_from_proc(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\twhydrop\nCapPrm:\t0000000000000000\nCapEff:\t000000c000000000\n")
    (tmp_path / "uid_map").write_text("         0       1000          1\n")
    user = preflight.read_user(tmp_path)
    assert user == User(os.geteuid(), 0xC000000000, in_user_namespace=True)
    assert user.has(CAP_BPF, CAP_PERFMON)
    (tmp_path / "uid_map").write_text("         0          0 4294967295\n")
    assert not preflight.read_user(tmp_path).in_user_namespace


def test_neither_preflight_nor_check_imports_bcc() -> None:
    script = (
        "import sys; from dropwatch.probe.check import facts; facts.all_facts();"
        "sys.exit('bcc' in sys.modules or 'pyroute2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
