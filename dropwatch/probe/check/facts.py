"""What `whydrop check` says beyond the bare necessities: how much of a drop a live run can explain here."""

import errno
import platform
from collections.abc import Iterator
from pathlib import Path

from dropwatch.errors import CannotRunHere
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.kernel.memory import Memory
from dropwatch.kernel.reasons import ReasonNames
from dropwatch.model.fact import Fact
from dropwatch.privilege.capabilities import CAP_BPF, CAP_PERFMON, USES
from dropwatch.probe import kernel_numbers
from dropwatch.probe.check import trial
from dropwatch.probe.check.lockdown import lockdown_mode
from dropwatch.probe.check.preflight import User, read_user, vital_facts
from dropwatch.probe.check.processes import processes
from dropwatch.probe.families import FAMILIES
from dropwatch.probe.family import Family

_TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_KALLSYMS_BYTES = 1 << 16
_GIVE = "run it as root, with {}"


def all_facts() -> tuple[Fact, ...]:
    """Everything there is to know, in the order to read it."""
    user = read_user()
    return (_kernel(), *vital_facts(user), *_extra_facts(user))


def can_run(facts: tuple[Fact, ...]) -> bool:
    """Everything that a live run needs was tried and works."""
    return all(fact.works for fact in facts if fact.vital)


def can_explain(facts: tuple[Fact, ...]) -> bool:
    """And so do the probes that tell how a subsystem came to drop a packet."""
    return can_run(facts) and all(fact.works for fact in facts if fact.probe)


def _extra_facts(user: User) -> Iterator[Fact]:
    yield _lockdown()
    yield _names()
    yield _addresses(user)
    yield _reasons()
    yield _tracefs()
    yield from _capabilities(user)
    yield processes()
    yield _kprobes()
    for family in FAMILIES:
        if family.hooks:
            yield _family(family, user)


def _kernel() -> Fact:
    return Fact("kernel", True, f"Linux {platform.release()} on {platform.machine()}")


def _lockdown() -> Fact:
    mode = lockdown_mode()
    if mode is None:
        return Fact("lockdown", None, "cannot be found out: no securityfs, or no permission to read it")
    if mode == "confidentiality":
        return Fact(
            "lockdown", False, "confidentiality: nothing in the kernel may be read", "boot without it"
        )
    return Fact("lockdown", True, f"{mode}: reading is allowed")


def _names() -> Fact:
    """Hidden addresses are all zero (kernel.kptr_restrict); the first lines are enough to see it."""
    try:
        with Path("/proc/kallsyms").open("rb") as file:
            shown = any(line.split(b" ")[0].strip(b"0") for line in file.read(_KALLSYMS_BYTES).splitlines())
    except OSError as error:
        return Fact("kernel names", False, f"/proc/kallsyms cannot be read: {error.strerror}")
    if shown:
        return Fact("kernel names", True, "/proc/kallsyms shows addresses: places and stacks have names")
    restrict = _sysctl("kptr_restrict")
    text = f"/proc/kallsyms hides addresses (kernel.kptr_restrict={restrict}): places have no names"
    todo = (
        "sysctl kernel.kptr_restrict=1: with 2 not even root sees them"
        if restrict == "2"
        else _GIVE.format("CAP_SYSLOG")
    )
    return Fact("kernel names", False, text, todo)


def _addresses(user: User) -> Fact:
    """What the programs go by, found as a run finds it."""
    name = "kernel addresses"
    if not user.has(CAP_BPF, CAP_PERFMON):
        return Fact(name, None, "not tried: takes the right to load BPF programs")
    try:
        with Memory() as memory:
            found = kernel_numbers.find(Kallsyms().address, memory, memory.per_cpu_array())
    except (OSError, CannotRunHere) as error:
        return Fact(name, False, f"cannot be looked for: {error}")
    if found.blind_spots:
        return Fact(name, False, "; ".join(found.blind_spots))
    return Fact(name, True, "all that the programs go by are found")


def _reasons() -> Fact:
    try:
        known = len(ReasonNames().known)
    except CannotRunHere as error:
        return Fact("drop reasons", None, error.message)
    if known:
        return Fact("drop reasons", True, f"this kernel knows {known}")
    text = "this kernel gives none (they came with 5.17): whydrop goes by the place and what the probes see"
    return Fact("drop reasons", False, text)


def _tracefs() -> Fact:
    try:
        mounted = any((directory / "events").is_dir() for directory in _TRACEFS)
    except PermissionError:
        return Fact("tracefs", None, "only root can see whether it is mounted; whydrop does not need it")
    return Fact("tracefs", True, "mounted" if mounted else "not mounted; whydrop does not need it")


def _capabilities(user: User) -> Iterator[Fact]:
    for use in USES:
        if user.has(use.capability):
            yield Fact(use.row, True, use.can)
        else:
            yield Fact(use.row, False, f"{use.name} is missing: {use.cannot}", _GIVE.format(use.name))


def _kprobes() -> Fact:
    if trial.has_kprobes():
        paranoid = _sysctl("perf_event_paranoid")
        return Fact("kprobes", True, f"the kernel has them (kernel.perf_event_paranoid={paranoid})")
    text = "this kernel was built without: how a subsystem came to drop a packet cannot be watched"
    todo = "run a kernel with CONFIG_KPROBES=y and CONFIG_KPROBE_EVENTS=y, as distributions build it"
    return Fact("kprobes", False, text, todo)


def _family(family: Family, user: User) -> Fact:
    """A family works when the first of its hooks does."""
    name = family.name
    if not user.has(CAP_BPF, CAP_PERFMON):
        return Fact(name, None, "not tried: takes the right to load BPF programs", probe=True)
    first, *others = dict.fromkeys(hook.function for hook in family.hooks)
    whole = family.hooks[0].whole is not None
    probe, what = (trial.trampoline, "BPF trampoline") if whole else (trial.kprobe, "kprobe")
    outcome = probe(first)
    if family.comes_and_goes and outcome.error in (0, errno.ENOENT):
        return _module_family(name, (first, *others))
    if outcome.worked:
        missing = [function for function in others if not probe(function).worked]
        text = f"{what}s on {first} and {len(others) - len(missing)} more functions"
        return Fact(name, True, f"{text}; not on {', '.join(missing)}" if missing else text, probe=True)
    if outcome.error is None:
        return Fact(
            name, None, "not tried: whydrop does not know the system calls of this architecture", probe=True
        )
    return Fact(name, False, f"no {what} on {first}: {_why_no_kprobe(outcome)}", _todo(outcome), probe=True)


def _module_family(name: str, functions: tuple[str, ...]) -> Fact:
    """What is not loaded can drop nothing."""
    found = [function for function in functions if trial.kprobe(function).worked]
    if not found:
        return Fact(name, True, "not loaded: probes come with the module", probe=True)
    return Fact(name, True, f"kprobes on {found[0]} and {len(found) - 1} more functions", probe=True)


def _why_no_kprobe(outcome: trial.Outcome) -> str:
    if outcome.error == errno.ENODEV:
        return "this kernel has no kprobes"
    if outcome.error == errno.ENOENT:
        return outcome.log or "this kernel has no such function, or its module is not loaded yet"
    return outcome.words


def _todo(outcome: trial.Outcome) -> str | None:
    if not outcome.refused:
        return None
    if lockdown_mode() == "confidentiality":
        return "lockdown refuses kprobes: boot without lockdown=confidentiality"
    return "run as root with CAP_SYS_ADMIN, or sysctl kernel.perf_event_paranoid=2"


def _sysctl(name: str) -> str:
    try:
        return Path("/proc/sys/kernel", name).read_text().strip()
    except OSError:
        return "?"
