"""Who has a socket: the process that holds it, and the unit, the container and the pod that it was made in."""

from dropwatch.host.cgroups import placed
from dropwatch.host.host import Host
from dropwatch.model.drop import Evidence, Process


def owned(holder: Process | None, cgroup: int, host: Host) -> Process | None:
    """With what its cgroup of this number says, 0: unknown."""
    return placed(holder, host.cgroup(cgroup) if cgroup else None, host)


def owner_evidence(owner: Process | None, inode: int) -> Evidence:
    """Who had the socket open when the processes were looked through, if anybody."""
    if owner is None:
        fact = f"after the drop: no process was found that owns the socket, inode {inode}"
    else:
        fact = f"after the drop: {owner.comm} (pid {owner.pid}) owns the socket, inode {inode}"
    return Evidence("/proc/PID/fd", fact)
