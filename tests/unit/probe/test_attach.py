"""Which functions get probes, and when: those that are there now, those of modules that come, those that come again."""

import errno
from pathlib import Path

import pytest

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.probe import attach, attach_families
from dropwatch.probe.attach import Probes
from dropwatch.probe.attach_families import FamilyProbes
from dropwatch.probe.families import ENGINES, XFRM, XFRM_OUTPUT
from dropwatch.probe.family import Family
from dropwatch.probe.programs.loader import Kind, Loader

TEXT, MODULES = 0xFFFFFFFF81000000, 0xFFFFFFFFC0000000
CORE = f"{TEXT:x} T _stext\n{TEXT + 16:x} T nf_queue\n{TEXT + 64:x} T _etext\n"
CONNTRACK = [("nf_conntrack_in", "on_answer_return", True), ("nf_conntrack_in", "on_conntrack_in", False)]


class Kernel(Loader):
    """Notes what is attached, as (function, program, at return); refuses what it is told to, functions or programs."""

    def __init__(self) -> None:
        self.attached: list[tuple[str, str, bool]] = []
        self.refused: set[str] = set()

    def attach_kprobe(self, function: str, program: str, *, at_return: bool = False) -> None:
        if {function, program} & self.refused:
            raise OSError(errno.EINVAL, "no")
        self.attached.append((function, program, at_return))

    def detach_kprobe(self, function: str, program: str, *, at_return: bool = False) -> None:
        if (function, program, at_return) in self.attached:
            self.attached.remove((function, program, at_return))

    def load(self, program: str, kind: Kind) -> int:
        return 3

    def write(self, table: str, index: int, value: object) -> None:
        pass


class Machine:
    def __init__(self, directory: Path) -> None:
        self.kallsyms, self.modules = directory / "kallsyms", directory / "modules"
        self.has()
        self.symbols = Kallsyms(self.kallsyms, self.modules)
        self.kernel = Kernel()
        self.notes: list[str] = []

    def has(self, *functions: str) -> None:
        lines = [f"{MODULES + 16 * at:x} t {name}\t[nf_conntrack]\n" for at, name in enumerate(functions)]
        self.kallsyms.write_text(CORE + "".join(lines))
        self.modules.write_text(f"nf_conntrack 4096 0 - Live {MODULES:#x}\n" if functions else "")

    def start(self, *families: Family) -> FamilyProbes:
        probes = Probes(self.kernel, self.symbols)
        started = FamilyProbes(probes, families, self.symbols, self.notes.append)
        started.start()
        return started

    @property
    def functions(self) -> set[str]:
        return {function for function, _, _ in self.kernel.attached}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(attach_families, "read_layout", lambda _: None)
    monkeypatch.setattr(attach, "KPROBE_PMU", tmp_path)
    return Machine(tmp_path)


def test_what_is_not_loaded_is_no_lack(machine: Machine) -> None:
    machine.start(ENGINES)
    assert machine.functions == {"nf_queue"}
    assert machine.notes == []


def test_what_every_kernel_should_have_is_one(machine: Machine) -> None:
    machine.kernel.refused = {"xfrm_input"}
    machine.start(XFRM)
    assert machine.functions == set(), "the others lean on the first"
    assert machine.notes == ["probe xfrm_input: not attached: no"]


def test_a_module_that_comes_gets_its_probes(machine: Machine) -> None:
    attached = machine.start(ENGINES)
    machine.has("nf_conntrack_in")
    attached.modules_changed({"nf_conntrack"})
    attached.modules_changed({"other"})
    assert sorted(machine.kernel.attached) == sorted([("nf_queue", "on_nf_queue", False), *CONNTRACK]), (
        "once each"
    )


@pytest.mark.parametrize("seen_without", [True, False])
def test_a_module_that_comes_again_gets_them_again(machine: Machine, seen_without: bool) -> None:
    """Also where it comes to lie at the same address, and was gone for a moment only."""
    machine.has("nf_conntrack_in")
    machine.symbols.refresh()
    attached = machine.start(ENGINES)
    first = list(machine.kernel.attached)
    if seen_without:
        machine.has()
        attached.modules_changed({"nf_conntrack"})
        assert machine.functions == {"nf_queue"}
        machine.has("nf_conntrack_in")
    machine.kernel.attached = [hook for hook in first if hook[0] == "nf_queue" or not seen_without]
    attached.modules_changed({"nf_conntrack"})
    assert sorted(machine.kernel.attached) == sorted(first)


def test_a_function_that_takes_no_probe_is_told_once(machine: Machine) -> None:
    machine.kernel.refused = {"nf_conntrack_in"}
    machine.has("nf_conntrack_in")
    machine.symbols.refresh()
    attached = machine.start(ENGINES)
    attached.modules_changed({"nf_conntrack"})
    assert set(machine.notes) == {"probe nf_conntrack_in: not attached: no"}
    assert machine.functions == {"nf_queue"}


def test_whose_answers_are_watched(machine: Machine) -> None:
    machine.has("nf_conntrack_in", "__nf_conntrack_confirm", "ip_vs_in_hook")
    machine.symbols.refresh()
    started = machine.start(ENGINES)
    assert started.watches("ipv4_conntrack_local")
    assert started.watches("nf_confirm")
    assert started.watches("ip_vs_in_hook")
    assert not started.watches("nft_do_chain_ipv4"), "its family is not there"
    assert not started.watches("nf_hook_run_bpf"), "it is not there"
    assert not started.watches("somebodys_hook")


@pytest.mark.parametrize("refused", ["ip_vs_in_hook", "on_hook_answer", "on_answer_return"])
def test_half_a_probe_is_none(machine: Machine, refused: str) -> None:
    """The return of a call whose entry was not seen says nothing, nor the other way round."""
    machine.has("ip_vs_in_hook")
    machine.symbols.refresh()
    machine.kernel.refused.add(refused)
    assert not machine.start(ENGINES).watches("ip_vs_in_hook")
    assert machine.functions == {"nf_queue"}


def test_a_family_that_every_packet_would_meet_waits_for_what_configures_it(machine: Machine) -> None:
    kallsyms = f"{TEXT:x} T _stext\n{TEXT + 16:x} T xfrm_lookup_with_ifid\n{TEXT + 64:x} T _etext\n"
    machine.kallsyms.write_text(kallsyms)
    machine.symbols = Kallsyms(machine.kallsyms, machine.modules)
    attached = machine.start(XFRM_OUTPUT)
    assert not machine.functions
    attached.modules_changed({"other"})
    assert not machine.functions
    attached.modules_changed({"xfrm_user"})
    assert machine.functions == {"xfrm_lookup_with_ifid"}
    assert not machine.notes
