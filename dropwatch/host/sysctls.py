"""A setting of the kernel below net, as it is in a network namespace."""

import time
from pathlib import Path

from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass

# What is below /proc/sys/net is that of the namespace which the reading thread is in.
_SYSCTLS = Path("/proc/sys")


@dataclass(frozen=True, slots=True)
class SysctlValue:
    """Read at the monotonic time `read_at_ns` or later."""

    value: int
    read_at_ns: int


def read_sysctl(netns_inode: int, name: str) -> SysctlValue | None:
    """`name` as sysctl(8) takes it, without a name that others chose in it. None where the kernel has none."""
    with entered(netns_inode):
        read_at = time.monotonic_ns()
        try:
            return SysctlValue(int((_SYSCTLS / name.replace(".", "/")).read_text()), read_at)
        except (FileNotFoundError, ValueError):
            return None
