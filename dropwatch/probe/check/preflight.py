"""What a live run cannot do without, and whether this machine and this user have it: tried, never guessed."""

import os
import platform
import pwd
from collections.abc import Iterator
from pathlib import Path

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf_file
from dropwatch.kernel.libbpf import find_libbpf
from dropwatch.model.dataclass import dataclass
from dropwatch.model.fact import Fact
from dropwatch.privilege.capabilities import CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN
from dropwatch.probe.check import brought, trial
from dropwatch.probe.check.lockdown import lockdown_mode
from dropwatch.probe.families import FAMILIES
from dropwatch.probe.programs import numbers
from dropwatch.probe.programs.bcc_package import find_bcc
from dropwatch.probe.programs.release import carried
from dropwatch.probe.programs.text import MODES, Mode, join

_NO_BPF_HINT = "in a container: run it on the host, or allow the container CAP_SYS_ADMIN and bpf(2) (seccomp)"
_OUTSIDE_HINT = "run it as root of the host, outside of this user namespace (container)"


@dataclass(frozen=True, slots=True)
class User:
    """Who runs this: effective user id, effective capabilities as a bit set, and whether root here is root outside."""

    uid: int
    capabilities: int
    in_user_namespace: bool

    def has(self, *capabilities: int) -> bool:
        """CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON (capabilities(7))."""
        wide = self.capabilities >> CAP_SYS_ADMIN & 1
        return all(
            self.capabilities >> one & 1 or (wide and one in (CAP_BPF, CAP_PERFMON)) for one in capabilities
        )


def read_user(process: Path = Path("/proc/self")) -> User:
    """`status` tells the capabilities, `uid_map` whether root is root outside. Raises CannotRunHere without /proc."""
    capabilities = 0
    try:
        status, outside = (process / "status").read_text(), (process / "uid_map").read_text().split()
    except FileNotFoundError as error:
        raise CannotRunHere(
            f"{process} is not there: whydrop reads in /proc what it may do, and the names of the kernel's functions",
            "mount -t proc proc /proc; in a container: start it with /proc",
        ) from error
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            capabilities = int(line.split()[1], 16)
    return User(os.geteuid(), capabilities, outside != ["0", "0", "4294967295"])


def first_obstacle() -> CannotRunHere | None:
    """What keeps a live run from starting, the one to remove first; None when nothing is in sight."""
    for fact in vital_facts(read_user(), MODES[:1]):
        if fact.works is False:
            return CannotRunHere(fact.text, fact.todo or "run whydrop check")
    return None


def vital_facts(user: User, modes: tuple[Mode, ...] = MODES) -> Iterator[Fact]:
    """What a live run cannot do without, in the order in which a user can do something about them."""
    may = user.has(CAP_BPF, CAP_PERFMON)
    yield _privilege(user, may)
    yield _programs(modes)
    yield _libbpf()
    yield _btf()
    if may:
        yield from _bpf_facts(_OUTSIDE_HINT if user.in_user_namespace else _NO_BPF_HINT)
    else:
        yield Fact("BPF programs", None, "not tried: takes the right to load them", vital=True)


def _privilege(user: User, may: bool) -> Fact:
    name = _user_name(user.uid) + (" of a user namespace" if user.in_user_namespace else "")
    if may:
        return Fact("user", True, f"{name}, with the capabilities to load BPF programs", vital=True)
    if user.uid:
        return Fact(
            "user", False, f"{name} may not load BPF programs", "run it as root: sudo whydrop", vital=True
        )
    return Fact("user", False, f"{name} lacks CAP_BPF and CAP_PERFMON here", _NO_BPF_HINT, vital=True)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _programs(modes: tuple[Mode, ...]) -> Fact:
    """What a release carries fits its own text on its architecture; bcc is needed for any other."""
    machine = platform.machine()
    if all(carried(join(FAMILIES, mode)) is not None for mode in modes):
        return Fact("programs", True, f"compiled already, for every kernel on {machine}", vital=True)
    found = find_bcc()
    if found.problem is not None:
        text = f"whydrop carries none that fit ({machine}), and bcc cannot compile them here: {found.problem}"
        return Fact("programs", False, text, found.todo, vital=True)
    bcc = f"bcc {found.version or ''}".strip()
    text = (
        f"whydrop carries none that fit ({machine}): {bcc} in {found.directory} compiles them at each start"
    )
    return Fact("programs", True, text, vital=True)


def _libbpf() -> Fact:
    try:
        name, _ = find_libbpf()
    except CannotRunHere as error:
        return Fact("libbpf", False, error.message, error.hint, vital=True)
    return Fact("libbpf", True, name, vital=True)


def _btf() -> Fact:
    """Whether the kernel tells where its fields are: those that every run reads."""
    try:
        left_out = numbers.build(FAMILIES).left_out
    except CannotRunHere as error:
        return Fact("BTF", False, error.message, error.hint, vital=True)
    if btf_file.brought():
        if wrong := brought.difference():
            return Fact("BTF", False, f"--btf: {wrong}", "bring the file of exactly this kernel", vital=True)
        text = f"the file of --btf tells the layout of structures; {brought.DOUBT}"
    else:
        text = "this kernel tells the layout of its structures"
    for name, why in left_out.items():
        text += f"; not for {name}: {why}"
    return Fact("BTF", True, text, vital=True)


def _bpf_facts(hint: str) -> Iterator[Fact]:
    loading = trial.program(reading=False)
    yield _tried("BPF programs", loading, "can be loaded", "the kernel refuses to load BPF programs", hint)
    if not loading.worked:
        return
    reading = trial.program(reading=True)
    yield _tried(
        "reading memory",
        reading,
        "BPF programs may read kernel memory",
        f"BPF programs may not read kernel memory; lockdown is {lockdown_mode() or 'not readable here'}",
        "boot without lockdown=confidentiality (lockdown=integrity, as with Secure Boot, is fine)",
    )
    yield _tried(
        "ring buffer",
        trial.ring_buffer(),
        "can be made",
        "this kernel has no BPF ring buffer",
        "run a kernel that has them (Linux 5.8 or later)",
    )
    yield _tried(
        "drops",
        trial.raw_tracepoint("kfree_skb"),
        "skb:kfree_skb can be watched: every drop with its place and stack",
        "the tracepoint skb:kfree_skb cannot be watched",
        "run a kernel built with CONFIG_TRACEPOINTS and CONFIG_BPF_EVENTS",
    )


def _tried(name: str, outcome: trial.Outcome, good: str, bad: str, todo: str) -> Fact:
    if outcome.worked:
        return Fact(name, True, good, vital=True)
    if outcome.error is None:
        return Fact(
            name,
            None,
            f"not tried: whydrop does not know this architecture ({platform.machine()})",
            vital=True,
        )
    return Fact(name, False, f"{bad} ({outcome.log or outcome.words})", todo, vital=True)
