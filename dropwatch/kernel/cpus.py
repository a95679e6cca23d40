"""Which CPUs the kernel reckons with."""

import os
import re
from pathlib import Path

_POSSIBLE = Path("/sys/devices/system/cpu/possible")
_ONLINE = Path("/sys/devices/system/cpu/online")


def possible_cpus() -> int:
    """nr_cpu_ids: one more than the highest CPU number that may ever come; at least 1."""
    try:
        return int(_POSSIBLE.read_text().strip().rpartition("-")[2].rpartition(",")[2]) + 1
    except (OSError, ValueError):
        return os.cpu_count() or 1


def an_online_cpu() -> int:
    """A CPU that runs: the list is `0-3,8`, and the first may have been taken off."""
    try:
        return int(re.split("[-,]", _ONLINE.read_text().strip())[0])
    except (OSError, ValueError):
        return 0
