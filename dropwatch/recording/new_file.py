"""Makes the file of `--write`: readable by its owner only, through nobody's link, over nobody's data.

An earlier recording (or capture) of whydrop is replaced, as tcpdump does, and so is an empty file. Anything else that
is there already is left alone.
"""

import os
import stat
from pathlib import Path

from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.recording.members import LOOKED_AT, is_recording

_HINT = "name a file that does not exist yet, in a directory that does: --write drops.whydrop"
_OTHER_CAPTURES = frozenset({".pcap", ".cap", ".erf", ".snoop"})
_SECTION_HEADER, _APPLICATION = b"\x0a\x0d\x0d\x0a", b"whydrop"


class NewFile:
    """A file that only grows. Raises WhydropError where it cannot be made.

    `failure` says why it is not written to any more (disk full), and close() raises it: what was written before stays.
    """

    def __init__(self, path: Path) -> None:
        refuse_bad_path(path)
        self._path = path
        self.failure: WhydropError | None = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            path.unlink(missing_ok=True)
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise WhydropError(f"--write {path}: cannot be created: {error.strerror}", _HINT) from error

    def write(self, data: bytes) -> None:
        """All of it, or as much as there was room for; nothing after a failure."""
        rest = memoryview(b"" if self.failure else data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self.failure = WhydropError(
                f"--write {self._path}: cannot be written: {error.strerror}",
                "what was written before can be read; make room, or write to another file system",
            )

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            if self.failure is not None:
                raise self.failure


def is_capture(path: Path) -> bool:
    """True when the name asks for a capture instead of a recording."""
    return path.suffix.lower() == ".pcapng"


def refuse_bad_path(path: Path) -> None:
    """Raise WrongUsage where the file cannot be, or where it would replace something that is none of ours."""
    if path.suffix.lower() in _OTHER_CAPTURES:
        raise WrongUsage(
            f"--write {path}: this format has no place for comments",
            f"Wireshark opens {path.with_suffix('.pcapng')}",
        )
    if not path.parent.is_dir():
        raise WrongUsage(f"--write {path}: there is no directory {path.parent}", _HINT)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise WrongUsage(f"--write {path}: {getattr(error, 'strerror', None) or error}", _HINT) from error
    if not stat.S_ISREG(found.st_mode):
        raise WrongUsage(f"--write {path}: is there already and is not a plain file", _HINT)
    if found.st_size and not _is_ours(path):
        raise WrongUsage(f"--write {path}: is there already and holds something else", _HINT)


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(LOOKED_AT)
    except OSError:
        return False
    if is_capture(path):
        return start.startswith(_SECTION_HEADER) and _APPLICATION in start
    return is_recording(start)
