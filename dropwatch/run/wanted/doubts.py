"""What a filter asks for that is not there now: it may come later, or it was typed wrong."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from dropwatch.errors import CannotRunHere
from dropwatch.host.cgroups import read_path_of, workload
from dropwatch.host.containers import Containers
from dropwatch.host.interfaces import seen_interfaces
from dropwatch.kernel.reasons import ReasonNames
from dropwatch.model.filter import Filter, Owner
from dropwatch.names.foreign import foreign

_PROC = Path("/proc")


def doubts(wanted: Filter) -> tuple[str, ...]:
    """A sentence for each value that no packet has as things are now; of namespaces there are only such as exist."""
    return (*_interfaces(wanted), *_owners(wanted.owner or Owner()), *_reasons(wanted))


def reasons_of_this_kernel() -> frozenset[str]:
    """In upper case; empty where it has none, or where nobody may look."""
    try:
        return frozenset(reason.upper() for reason in ReasonNames().known)
    except CannotRunHere:
        return frozenset()


def _interfaces(wanted: Filter) -> Iterator[str]:
    if not wanted.ifaces:
        return
    names, all_seen = seen_interfaces(wanted.netns)
    where = "the network namespaces asked for" if wanted.netns else "any network namespace"
    for name in wanted.ifaces:
        if name not in names and all_seen:
            yield f"--iface {name}: there is no such interface now in {where}{_meant(name, names)}"


def _owners(owner: Owner) -> Iterator[str]:
    for pid in sorted(owner.pids):
        if not (_PROC / str(pid)).exists():
            yield f"--pid {pid}: there is no such process now"
    if not (owner.comms or owner.units or owner.containers):
        return
    pids = [int(path.name) for path in _PROC.iterdir() if path.name.isdecimal()]
    if owner.comms:
        names = set(map(_comm, pids))
        for name in sorted(owner.comms - names):
            yield f"--comm {name}: no process of this name is seen now{_meant(name, names)}"
    paths = {foreign(read_path_of(pid)) for pid in pids}
    units = {part for path in paths for part in path.split("/") if "." in part}
    for unit in sorted(owner.units - units):
        yield f"--unit {unit}: no process is seen in it now{_meant(unit, units)}"
    containers = {workload(path).container or "" for path in paths}
    called = Containers()
    called_so = {found.name for one in containers if (found := called.find(one)) is not None}
    for begin in sorted(owner.containers):
        if begin not in called_so and not any(one.startswith(begin) for one in containers):
            yield f"--container {begin}: no process is seen in it now"


def _reasons(wanted: Filter) -> Iterator[str]:
    if not wanted.reasons:
        return
    known = reasons_of_this_kernel()
    for reason in sorted(wanted.reasons - known):
        yield f"--reason {reason}: this kernel {'does not have it' if known else 'gives no drop reasons'}"


def _comm(pid: int) -> str:
    try:
        return foreign((_PROC / str(pid) / "comm").read_bytes().removesuffix(b"\n"))
    except OSError:
        return ""


def _meant(name: str, names: frozenset[str] | set[str]) -> str:
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.7)
    return f"; did you mean {' or '.join(close)}?" if close else ""
