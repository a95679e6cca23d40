"""A BPF program as the object of a finding, and who keeps it loaded."""

from dropwatch.host.bpf.keepers import Keepers
from dropwatch.host.bpf.programs import Program
from dropwatch.host.host import Host
from dropwatch.model.culprits import BpfProgram, Task
from dropwatch.model.drop import Drop, Evidence, Fix

_SHOWN = 3
_KEEPERS = "/proc/PID/fd and bpffs, after the drop"


def show(program: int) -> Fix:
    return Fix("see the program, and which process has it", f"bpftool prog show id {program}")


def keepers_of(drop: Drop, host: Host, program: int) -> Keepers | None:
    return host.program_keepers(drop.event.netns, program, drop.event.monotonic_ns)


def blamed(
    program: Program, attached_to: str | None, keepers: Keepers | None, unit: str | None = None
) -> BpfProgram:
    first = keepers.processes[0] if keepers is not None and keepers.processes else None
    return BpfProgram(
        in_words(program, attached_to),
        program.id,
        program.name,
        program.tag,
        attached_to,
        keepers.pinned[0] if keepers is not None and keepers.pinned else None,
        Task(first.pid, first.comm or "?") if first is not None and first.pid is not None else None,
        unit,
    )


def called(program: Program) -> str:
    """`id 77 name drop_all`."""
    return f"id {program.id} name {program.name}" if program.name else f"id {program.id}"


def in_words(program: Program, attached_to: str | None = None) -> str:
    """`id 77 name drop_all tag 57cd311f2e27366b at cgroup /system.slice/web.service egress`."""
    words = [called(program), *([f"tag {program.tag}"] if program.tag else [])]
    return " ".join([*words, *([f"at {attached_to}"] if attached_to else [])])


def kept_by(program: Program, keepers: Keepers | None) -> tuple[Evidence, ...]:
    """Nothing where it could not be read: a blind spot says why."""
    if keepers is None:
        return ()
    pinned = [f"is pinned as {path}" for path in keepers.pinned[:_SHOWN]]
    processes = [f"{one.comm} (pid {one.pid})" for one in keepers.processes[:_SHOWN]]
    held = [f"is kept open by {', '.join(processes)}"] if processes else []
    nobody = ["is neither pinned nor kept open by a process: what it is attached to keeps it"]
    said = "; ".join([*pinned, *held] or nobody)
    return (Evidence(_KEEPERS, f"program id {program.id} {said}", "owner"),)
