"""Whether /proc shows the processes of the whole host, as it does not in a container."""

import os
from pathlib import Path

from dropwatch.model.fact import Fact

_NAME = "processes"
_LOST = "who holds a socket is not told, and of a namespace that only they are in neither name nor rules"
_TODO = "run it on the host, or in a container with its processes (docker run --pid=host, hostPID: true)"


def processes(proc: Path = Path("/proc"), pid: int | None = None, uid: int | None = None) -> Fact:
    """By the thread that makes the kernel's threads: pid 2 where processes are counted from the first one on."""
    pid, uid = os.getpid() if pid is None else pid, os.geteuid() if uid is None else uid
    try:
        own = os.readlink(proc / "self")  # noqa: PTH115  # a Path would be made absolute
    except OSError:
        own = ""
    if own != str(pid):
        return Fact(_NAME, False, f"{proc} is not of the processes that whydrop is among: {_LOST}", _TODO)
    try:
        status = (proc / "2/status").read_text(errors="replace")
    except FileNotFoundError:
        if uid:
            return Fact(_NAME, None, f"{proc} may hide those of other users (hidepid)", "run as root")
        status = ""
    except OSError as error:
        return Fact(_NAME, None, f"{proc}/2 cannot be read: {error.strerror}", "run as root")
    if _is_of_the_kernel(status):
        return Fact(_NAME, True, f"{proc} shows those of the whole host")
    text = f"this is a container without the host's: {_LOST}"
    return Fact(_NAME, False, text, _TODO)


def _is_of_the_kernel(status: str) -> bool:
    """A thread of the kernel has no memory of its own, as no process has but a dead one (proc_pid_status(5))."""
    fields = dict(line.partition(":")[::2] for line in status.splitlines())
    dead = fields.get("State", "").strip()[:1] in ("Z", "X")
    return fields.get("Name", "").strip() == "kthreadd" and "VmSize" not in fields and not dead
