"""Where the store is: a directory and a file that only root, or who runs whydrop, can have made."""

import grp
import os
import stat
from pathlib import Path

from dropwatch.errors import WhydropError, WrongUsage

DEFAULT = Path("/var/lib/whydrop/drops.sqlite")
BESIDE = ("-wal", "-shm")  # SQLite's own
_GROUP = "whydrop"  # may read, where there is such a group
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HINT = "name another file: --store FILE, in a directory of root's that nobody else may write to"


def prepare(path: Path) -> None:
    """Makes the directory (0750) and an empty file (0640) where there is none.

    Raises WrongUsage for a place that others could have chosen, WhydropError where nothing can be made.
    """
    try:
        if not os.path.lexists(path.parent):
            path.parent.mkdir(mode=0o750)
            _give_to_group(path.parent)
        _refuse_untrusted(path)
        if not os.path.lexists(path):
            make(path)
    except OSError as error:
        raise WhydropError(f"--store {path}: cannot be made: {error.strerror}", _HINT) from error


def make(path: Path) -> None:
    """An empty file. Raises OSError, also where there is one."""
    os.close(os.open(path, _NEW, 0o640))
    path.chmod(0o640)  # whatever the umask is
    _give_to_group(path)


def why_untrusted(path: Path) -> str | None:
    """In words; None where only root and this user can have put the file there. Raises OSError."""
    owners = {0, os.geteuid()}
    parent = path.parent.lstat()
    if not stat.S_ISDIR(parent.st_mode):
        return f"{path.parent} is a link, or no directory"
    if parent.st_uid not in owners:
        return f"{path.parent} belongs to another user"
    if parent.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to {path.parent}"
    for above in path.parent.resolve().parents:
        found = above.stat()
        if found.st_uid not in owners:
            return f"{above} belongs to another user"
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX:
            return f"others may write to {above}"
    for name in (path, *(path.with_name(path.name + end) for end in BESIDE)):
        if os.path.lexists(name) and (why := _why_no_file_of(name, owners)) is not None:
            return why
    return None


def _why_no_file_of(path: Path, owners: set[int]) -> str | None:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is a link, or no plain file"
    if found.st_uid not in owners:
        return f"{path} belongs to another user"
    return f"others may write to {path}" if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else None


def _refuse_untrusted(path: Path) -> None:
    why = why_untrusted(path)
    if why is not None:
        raise WrongUsage(f"--store {path}: {why}", _HINT)


def _give_to_group(path: Path) -> None:
    try:
        group = grp.getgrnam(_GROUP).gr_gid
        os.chown(path, -1, group)
    except (KeyError, PermissionError):
        return
    if path.is_dir():
        path.chmod(0o2750)
