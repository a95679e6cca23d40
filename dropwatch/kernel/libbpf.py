"""Finds libbpf, and takes its error pointers for what they are."""

import ctypes

from dropwatch.errors import CannotRunHere

_NAMES = ("libbpf.so.1", "libbpf.so.0")
_NEWEST_USED = "btf__load_module_btf"  # came with 0.5
_FIRST_ERROR = (1 << 8 * ctypes.sizeof(ctypes.c_void_p)) - 4095  # linux/err.h: MAX_ERRNO
_INSTALL = "install libbpf 1, or 0.5 and later: apt install libbpf1 (Debian 12), libbpf0 (Ubuntu 22.04)"


def find_libbpf() -> tuple[str, ctypes.CDLL]:
    """Its name, and the library. Raises CannotRunHere where there is none that can be used."""
    why: list[str] = []
    for name in _NAMES:
        try:
            found = ctypes.CDLL(name, use_errno=True)
        except OSError as error:
            why.append(str(error))
            continue
        if hasattr(found, _NEWEST_USED):
            return name, found
        why = [f"{name} is older than 0.5"]
    raise CannotRunHere(f"libbpf cannot be loaded: {why[0]}", _INSTALL)


def pointer(returned: int | None) -> int | None:
    """None for an error, also where libbpf 0 returns its number as one of the last addresses; 1 returns none."""
    return returned if returned and returned < _FIRST_ERROR else None
