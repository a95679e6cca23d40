"""Whether the process whose packet it is fits the filter."""

from collections.abc import Callable

from dropwatch.host.cgroups import workload
from dropwatch.model.drop import Process
from dropwatch.model.filter import Owner
from dropwatch.names.foreign import foreign


def fits(wanted: Owner, process: Process | None, control_group: Callable[[int], str]) -> bool:
    """Each kind that was asked for. Whose packet nobody knows fits none."""
    return process is not None and all(_kinds(wanted, process, control_group))


def excludes(unwanted: Owner, process: Process | None, control_group: Callable[[int], str]) -> bool:
    """Any kind of what was not to be shown."""
    return process is not None and any(_kinds(unwanted, process, control_group))


def _kinds(owner: Owner, process: Process, control_group: Callable[[int], str]) -> list[bool]:
    found = []
    if owner.pids:
        found.append(process.pid in owner.pids)
    if owner.comms:
        found.append(process.comm in owner.comms)
    if owner.units or owner.containers:
        group = control_group(process.pid) if process.pid is not None else ""
        if owner.units:
            found.append(not owner.units.isdisjoint([*map(foreign, group.split("/")), process.unit]))
        if owner.containers:
            ids = (workload(foreign(group)).container or "", process.container or "")
            by_id = any(one.startswith(begin) for one in ids for begin in owner.containers)
            found.append(by_id or process.container_name in owner.containers)
    return found
