"""Addresses in the kernel: each is found in its way, or it is said what is less sure without it."""

from dataclasses import fields, replace

import pytest

from dropwatch.kernel import btf
from dropwatch.probe import kernel_numbers
from dropwatch.probe.kernel_numbers import KernelNumbers, find

OFFSETS = {
    ("task_struct", "nsproxy"): 0x10,
    ("nsproxy", "net_ns"): 0x20,
    ("net", "ns", "ops"): 0x30,
    ("bpf_array", "pptrs"): 0x40,
    ("task_struct", "se", "cfs_rq"): 0x50,
    ("cfs_rq", "rq"): 0x60,
    ("rq", "cpu"): 0x70,
}
TASK, NSPROXY, NET, OPERATIONS = 0x1000, 0x2000, 0x3000, 0x4000
MAP, VALUE, QUEUE, OFFSET, START = 0x5000, 0x600, 0x7000, 1 << 63, 0x100
VARIABLES = {"runqueues": 0x80, "current_kprobe": 0x8, "bpf_prog_active": 0x18}
RUNS = OFFSET + START + VARIABLES["runqueues"]
MEMORY = {
    TASK + 0x10: NSPROXY,
    NSPROXY + 0x20: NET,
    NET + 0x30: OPERATIONS,
    MAP + 0x40: VALUE,
    TASK + 0x50: QUEUE,
    QUEUE + 0x60: RUNS,
    RUNS + 0x70: 3,
}
SYMBOLS = {"ipv4_blackhole_mtu": 0x11, "ip6_blackhole_mtu": 0x12}
ALL = KernelNumbers(OPERATIONS, (0x11, 0x12), VALUE, START + 0x8, START + 0x18)


class Kernel:
    """One that runs on CPU 3, and whose BTF knows OFFSETS and VARIABLES."""

    def __init__(self, *, runs_programs: bool = True) -> None:
        self.runs_programs = runs_programs

    def current_task(self) -> int:
        if not self.runs_programs:
            raise PermissionError(1, "no")
        return TASK

    def word(self, address: int) -> int:
        return MEMORY.get(address, 0)

    half = word

    def map(self, descriptor: int) -> int:
        if not self.runs_programs:
            raise PermissionError(1, "no")
        return MAP if descriptor == 9 else 0

    def value(self, descriptor: int, cpu: int) -> int:
        return OFFSET + VALUE if (descriptor, cpu) == (9, 3) else 0


class Types:
    offsets, variables = OFFSETS, VARIABLES

    def offset(self, struct_name: str, path: tuple[str, ...]) -> int | None:
        return self.offsets.get((struct_name, *path))

    def per_cpu_offset(self, name: str) -> int | None:
        return self.variables.get(name)


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Types:
    made = Types()
    monkeypatch.setattr(btf, "vmlinux", lambda: made)
    return made


def test_without_a_list_of_the_kernels_data_all_is_found(types: Types) -> None:
    found = find(SYMBOLS.get, Kernel(), 9)
    assert found == ALL
    assert found.blind_spots == ()


def test_one_function_serves_both_blackholes_since_5_12(types: Types) -> None:
    assert find({"dst_blackhole_mtu": 0x13}.get, Kernel(), 9).blackhole_mtu == (0x13, 0x13)


def test_what_is_listed_is_taken_where_btf_has_no_variables(types: Types) -> None:
    types.variables = {}
    listed = SYMBOLS | {"current_kprobe": 0x21, "bpf_prog_active": 0x22}
    assert find(listed.get, Kernel(), 9) == replace(ALL, current_kprobe=0x21, bpf_prog_active=0x22)
    assert find(SYMBOLS.get, Kernel(), 9) == replace(ALL, current_kprobe=0, bpf_prog_active=0)


def test_a_struct_that_is_another_costs_its_number_only(types: Types) -> None:
    for path, field in (
        (("net", "ns", "ops"), "netns_operations"),
        (("cfs_rq", "rq"), "current_kprobe"),
        (("bpf_array", "pptrs"), "per_cpu_value"),
    ):
        types.offsets = {known: at for known, at in OFFSETS.items() if known != path}
        found = find(SYMBOLS.get, Kernel(), 9)
        assert not getattr(found, field), path
        assert found.blind_spots
        assert found.blackhole_mtu == ALL.blackhole_mtu


def test_a_kernel_that_runs_no_such_programs(types: Types) -> None:
    assert find(lambda name: None, Kernel(runs_programs=False), 9) == KernelNumbers()


@pytest.mark.parametrize("field", [field.name for field in fields(KernelNumbers)])
def test_what_is_not_found_is_named_with_what_is_less_sure(field: str) -> None:
    (sentence,) = replace(ALL, **{field: getattr(KernelNumbers(), field)}).blind_spots
    assert " is not found in this kernel: " in sentence
    assert kernel_numbers.KernelNumbers().blind_spots
