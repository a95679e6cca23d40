"""Which functions get probes, and when: those that are there now, those of modules that come, those that come again."""

import errno
import time
from pathlib import Path

import pytest

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.probe import attach, attach_families
from dropwatch.probe.attach import Probes
from dropwatch.probe.attach_families import FamilyProbes
from dropwatch.probe.families import CHANGES, XFRM, XFRM_OUTPUT
from dropwatch.probe.family import Family, Hook
from dropwatch.probe.netfilter_families import ENGINES
from dropwatch.probe.programs.load import Kind
from dropwatch.probe.programs.loader import Loader
from tests.unit.host.clock import Clock

TEXT, MODULES = 0xFFFFFFFF81000000, 0xFFFFFFFFC0000000
CORE = f"{TEXT:x} T _stext\n{TEXT + 16:x} T nf_queue\n{TEXT + 64:x} T _etext\n"
NOW = 1 << 62
SECOND = 1_000_000_000
CONNTRACK = [("nf_conntrack_in", "on_conntrack_return", True), ("nf_conntrack_in", "on_conntrack_in", False)]


class Kernel(Loader):
    """Notes what is attached, as (function, program, at return); refuses what it is told to, functions or programs."""

    def __init__(self) -> None:
        self.attached: list[tuple[str, str, bool]] = []
        self.refused: set[str] = set()

    def attach_kprobe(
        self, function: str, program: str, *, at_return: bool = False, address: int | None = None
    ) -> None:
        if {function, program} & self.refused:
            raise OSError(errno.EINVAL, "no")
        self.attached.append((function, program, at_return))

    def detach_kprobe(self, function: str, program: str, *, at_return: bool = False) -> None:
        if (function, program, at_return) in self.attached:
            self.attached.remove((function, program, at_return))

    def attach_whole(self, function: str, number: int, program: str) -> None:
        if program in self.refused:
            raise OSError(524, "Unknown error 524")
        self.attached.append((function, program, True))

    def detach_whole(self, function: str) -> None:
        self.attached = [hook for hook in self.attached if hook[0] != function]

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

    def start(self, *families: Family, light: bool = False) -> FamilyProbes:
        probes = Probes(self.kernel, self.symbols)
        started = FamilyProbes(probes, families, self.symbols, self.notes.append, light=light)
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


def test_modules_that_moved_meanwhile(machine: Machine) -> None:
    machine.has("nf_conntrack_in")
    machine.symbols.refresh()
    assert machine.symbols.moved() == set()
    machine.modules.write_text(f"nf_conntrack 4096 0 - Live {MODULES + 4096:#x}\n")
    assert machine.symbols.moved() == {"nf_conntrack"}
    machine.modules.write_text("")
    assert machine.symbols.moved() == {"nf_conntrack"}


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
    assert started.watched("ipv4_conntrack_local", NOW)
    assert started.watched("nf_confirm", NOW)
    assert started.watched("ip_vs_in_hook", NOW)
    assert not started.watched("ip_vs_in_hook", 0), "it was not when that packet died"
    assert not started.watched("nft_do_chain_ipv4", NOW), "its family is not there"
    assert not started.watched("nf_hook_run_bpf", NOW), "it is not there"
    assert not started.watched("somebodys_hook", NOW)


@pytest.mark.parametrize("refused", ["ip_vs_in_hook", "on_hook_answer", "on_answer_return"])
def test_half_a_probe_is_none(machine: Machine, refused: str) -> None:
    """The return of a call whose entry was not seen says nothing, nor the other way round."""
    machine.has("ip_vs_in_hook")
    machine.symbols.refresh()
    machine.kernel.refused.add(refused)
    assert not machine.start(ENGINES).watched("ip_vs_in_hook", NOW)
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


@pytest.fixture
def light(machine: Machine) -> FamilyProbes:
    machine.has("nf_conntrack_in")
    machine.symbols.refresh()
    return machine.start(CHANGES, XFRM, ENGINES, light=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    now = Clock(1000)
    monkeypatch.setattr(time, "monotonic_ns", now)
    return now


def test_light_costs_no_accepted_packet_anything(machine: Machine, light: FamilyProbes) -> None:
    """What tells of changes of configuration meets no packet."""
    assert machine.functions == {hook.function for hook in CHANGES.hooks}
    assert light.asleep == {"ipsec", "netfilter"}
    light.modules_changed({"nf_conntrack"})
    assert "nf_conntrack_in" not in machine.functions


def test_a_layer_wakes_when_a_packet_dies_there(machine: Machine, light: FamilyProbes) -> None:
    light.wake("netfilter")
    light.wake("netfilter")
    light.wake("routing")
    assert [hook for hook in machine.kernel.attached if hook[0].startswith("nf_")] == [
        *CONNTRACK,
        ("nf_queue", "on_nf_queue", False),
    ]
    assert light.asleep == {"ipsec"}
    assert "xfrm_input" not in machine.functions


def test_after_a_minute_without_it_sleeps_again(machine: Machine, light: FamilyProbes, clock: Clock) -> None:
    light.wake("netfilter")
    clock.now += 50 * SECOND
    light.wake("netfilter")
    clock.now += 59 * SECOND
    light.rest()
    assert "nf_conntrack_in" in machine.functions
    clock.now += 2 * SECOND
    light.rest()
    assert machine.functions == {hook.function for hook in CHANGES.hooks}
    assert light.asleep == {"ipsec", "netfilter"}
    light.wake("netfilter")
    assert "nf_conntrack_in" in machine.functions


def test_without_light_nothing_sleeps(machine: Machine, clock: Clock) -> None:
    machine.has("nf_conntrack_in")
    machine.symbols.refresh()
    attached = machine.start(ENGINES)
    attached.wake("netfilter")
    clock.now += 100 * SECOND
    attached.rest()
    assert "nf_conntrack_in" in machine.functions


def test_one_program_sees_call_and_return(machine: Machine) -> None:
    hook = Hook("ip_route_output_flow", whole="on_route_output")
    probes = Probes(machine.kernel, machine.symbols)
    assert probes.attach(hook) is None
    assert machine.kernel.attached == [("ip_route_output_flow", "on_route_output", True)]
    probes.detach(hook)
    assert machine.kernel.attached == []


def test_why_a_program_cannot_see_both(machine: Machine) -> None:
    probes = Probes(machine.kernel, machine.symbols)
    assert probes.attach(Hook("no_such_function", whole="any")) == "this kernel's BTF has no such function"
    machine.kernel.refused = {"on_route_output"}
    hook = Hook("ip_route_output_flow", whole="on_route_output")
    assert probes.attach(hook) == "this kernel has no BPF trampolines"
    assert not probes.is_attached(hook)
