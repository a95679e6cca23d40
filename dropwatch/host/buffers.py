"""The largest receive buffer that a socket may ask for: a setting of the host, the same for every network namespace."""

from pathlib import Path

_RMEM_MAX = Path("/proc/sys/net/core/rmem_max")


def read_rmem_max() -> int:
    """In bytes, of which the kernel gives twice as many.

    Raises OSError where this namespace does not show it: on older kernels only the first one does.
    """
    return int(_RMEM_MAX.read_text())
