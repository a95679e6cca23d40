"""Addresses in the kernel that the programs go by, each found without the list of symbols where that can be done.

Not every kernel lists its data (CONFIG_KALLSYMS_ALL), and none does under kernel.kptr_restrict=2.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from dropwatch.kernel import btf
from dropwatch.model.dataclass import dataclass

Address = Callable[[str], int | None]

# static before 5.12: net/ipv4/route.c and net/ipv6/route.c; since then net/core/dst.c has one for both (c4c877b27324)
_BLACKHOLE_MTU = (("ipv4_blackhole_mtu", "dst_blackhole_mtu"), ("ip6_blackhole_mtu", "dst_blackhole_mtu"))
_CURRENT_KPROBE, _PROG_ACTIVE = "current_kprobe", "bpf_prog_active"
SYMBOLS = (*_BLACKHOLE_MTU[0], *_BLACKHOLE_MTU[1], _CURRENT_KPROBE, _PROG_ACTIVE)


class Reader(Protocol):
    """dropwatch.kernel.memory.Memory"""

    def current_task(self) -> int: ...
    def word(self, address: int) -> int: ...
    def half(self, address: int) -> int: ...
    def map(self, descriptor: int) -> int: ...
    def value(self, descriptor: int, cpu: int) -> int: ...


@dataclass(frozen=True, slots=True)
class KernelNumbers:
    """0: not found. `netns_operations` tells a struct net from garbage; `blackhole_mtu` are the functions of the two
    routes that IPsec gives packets without an SA; `per_cpu_value` is what the kernel adds a CPU's offset to for the
    first value of a map of ours; `current_kprobe` and `bpf_prog_active` are variables of each CPU.
    """

    netns_operations: int = 0
    blackhole_mtu: tuple[int, int] = (0, 0)
    per_cpu_value: int = 0
    current_kprobe: int = 0
    bpf_prog_active: int = 0

    def missing(self) -> Iterator[tuple[str, str]]:
        """What was not found, and what whydrop knows less surely without it."""
        if not self.netns_operations:
            yield "netns_operations", "no packet can be told its namespace and its interface"
        if not all(self.blackhole_mtu):
            yield "dst_blackhole_mtu", "packets that wait for an SA are not told from those whose device went"
        if not self.per_cpu_value:
            yield (
                "bpf_array.pptrs",
                "counters of the CPUs cannot be read: no rules of legacy tables, and causes of IPsec only where a "
                "probe tells them",
            )
        if not (self.current_kprobe and self.bpf_prog_active):
            name = _PROG_ACTIVE if self.current_kprobe else _CURRENT_KPROBE
            yield (
                name,
                "what came while no probe could run is not told from the rest: what probes noted of it is likely, not "
                "certain",
            )

    @property
    def blind_spots(self) -> tuple[str, ...]:
        return tuple(f"{name} is not found in this kernel: {less}" for name, less in self.missing())


def find(address: Address, memory: Reader, per_cpu_array: int) -> KernelNumbers:
    """`address` knows the kernel's symbols, as far as they are listed; `per_cpu_array` is a map of that kind."""
    per_cpu = _per_cpu_value(memory, per_cpu_array)
    start = _start_of_variables(memory, per_cpu_array, per_cpu)
    return KernelNumbers(
        _netns_operations(memory),
        (_first(address, _BLACKHOLE_MTU[0]), _first(address, _BLACKHOLE_MTU[1])),
        per_cpu,
        _variable(_CURRENT_KPROBE, address, start),
        _variable(_PROG_ACTIVE, address, start),
    )


def _first(address: Address, names: tuple[str, ...]) -> int:
    return next((found for name in names if (found := address(name))), 0)


def _netns_operations(memory: Reader) -> int:
    """What our own namespace has: current->nsproxy->net_ns->ns.ops."""
    with contextlib.suppress(OSError, LookupError):
        nsproxy = memory.word(memory.current_task() + _offset("task_struct", "nsproxy"))
        net = memory.word(nsproxy + _offset("nsproxy", "net_ns"))
        return memory.word(net + _offset("net", "ns", "ops"))
    return 0


def _per_cpu_value(memory: Reader, per_cpu_array: int) -> int:
    """pptrs[0] of struct bpf_array (include/linux/bpf.h)."""
    with contextlib.suppress(OSError, LookupError):
        return memory.word(memory.map(per_cpu_array) + _offset("bpf_array", "pptrs"))
    return 0


def _variable(name: str, address: Address, start: int | None) -> int:
    """A variable of each CPU, as kallsyms has it, or by its place among them."""
    listed, at = address(name), btf.vmlinux().per_cpu_offset(name)
    if listed is None and start is not None and at is not None:
        return start + at
    return listed or 0


def _start_of_variables(memory: Reader, per_cpu_array: int, per_cpu_value: int) -> int | None:
    """__per_cpu_start. A task knows the run queue of its CPU, which is one of these variables (struct rq)."""
    runqueues = btf.vmlinux().per_cpu_offset("runqueues")
    if runqueues is None or not per_cpu_value:
        return None
    with contextlib.suppress(OSError, LookupError):
        queue = memory.word(memory.current_task() + _offset("task_struct", "se", "cfs_rq"))
        runs = memory.word(queue + _offset("cfs_rq", "rq"))
        cpu = memory.half(runs + _offset("rq", "cpu"))
        offset = memory.value(per_cpu_array, cpu) - per_cpu_value
        return (runs - offset - runqueues) & 0xFFFFFFFFFFFFFFFF
    return None


def _offset(struct_name: str, *path: str) -> int:
    found = btf.vmlinux().offset(struct_name, path)
    if found is None:
        raise LookupError(f"{struct_name}.{'.'.join(path)}")
    return found
