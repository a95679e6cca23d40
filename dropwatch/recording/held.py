"""Recordings that are opened before root is given up: only root may open what root has recorded."""

import os
from io import BufferedReader
from pathlib import Path

_held: dict[Path, list[BufferedReader | OSError]] = {}
_status: dict[Path, os.stat_result] = {}


def hold(path: Path) -> None:
    """Opens it for the next opened(), which raises what fails; waits where it is a pipe that nobody writes to yet."""
    found: BufferedReader | OSError
    try:
        found = path.open("rb")
        _status[path] = os.fstat(found.fileno())
    except OSError as error:
        found = error
    _held.setdefault(path, []).append(found)


def opened(path: Path) -> BufferedReader:
    """Raises OSError."""
    held = _held.get(path)
    found = held.pop(0) if held else path.open("rb")
    if isinstance(found, OSError):
        raise found
    return found


def status(path: Path) -> os.stat_result:
    """Of the file that was opened. Raises OSError."""
    return _status.get(path) or path.stat()
