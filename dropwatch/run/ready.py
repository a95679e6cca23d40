"""The ready file: tells whoever started whydrop that every probe is attached and events are being read.

It holds the process id, stays after the end, and an old one is taken away before anything is attached: it
exists only while it is true, or after it was.
"""

import os
import re
import stat
from pathlib import Path

from dropwatch.errors import WhydropError, WrongUsage

_HINT = "name a file that does not exist yet, in a directory that does: --ready-file /run/whydrop.ready"


def refuse_bad_path(path: Path) -> None:
    """Raise WrongUsage where a ready file cannot be, or where it would replace a file that is not one."""
    if not path.parent.is_dir():
        raise WrongUsage(f"--ready-file {path}: there is no directory {path.parent}", _HINT)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise WrongUsage(f"--ready-file {path}: {error.strerror}", _HINT) from error
    if not stat.S_ISREG(mode):
        raise WrongUsage(f"--ready-file {path}: is there already and is not a plain file", _HINT)
    if not _is_ready_file(path):
        raise WrongUsage(f"--ready-file {path}: is there already and holds something else", _HINT)


def _is_ready_file(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return re.fullmatch(rb"[0-9]*\n?", file.read(32)) is not None
    except OSError:
        return False


def clear(path: Path) -> None:
    """Take away what an earlier run left. Raises WrongUsage for a file that is none of ours."""
    refuse_bad_path(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WhydropError(f"--ready-file {path}: cannot be replaced: {error.strerror}", _HINT) from error


def create(path: Path) -> None:
    """Make the file. It must not exist: nobody's link is followed, nobody's file is written to."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, 0o644), "w") as file:
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        raise WhydropError(f"--ready-file {path}: cannot be created: {error.strerror}", _HINT) from error
