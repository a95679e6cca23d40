"""How many CPUs the kernel reckons with."""

import os
from pathlib import Path

_POSSIBLE = Path("/sys/devices/system/cpu/possible")


def possible_cpus() -> int:
    """nr_cpu_ids: one more than the highest CPU number that may ever come; at least 1."""
    try:
        return int(_POSSIBLE.read_text().strip().rpartition("-")[2].rpartition(",")[2]) + 1
    except (OSError, ValueError):
        return os.cpu_count() or 1
