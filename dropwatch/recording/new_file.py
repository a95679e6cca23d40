"""Makes the file of `--write`: readable by its owner only, through nobody's link, over nobody's data.

An earlier recording (capture, page) of whydrop is replaced, as tcpdump does, and so is an empty file. Anything else
that is there already is left alone.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.privilege.caller import is_own_process
from dropwatch.privilege.deputy import Deputy
from dropwatch.recording.members import LOOKED_AT, is_recording

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HINT = "name a file that does not exist yet, in a directory that does"
_OTHER_CAPTURES = frozenset({".pcap", ".cap", ".erf", ".snoop"})
_PAGES = frozenset({".html", ".htm"})
_PAGE_BEGINS, _PAGE_OURS = b"<!doctype html>", b'<meta name="generator" content="whydrop '
_SECTION_HEADER, _APPLICATION = b"\x0a\x0d\x0d\x0a", b"whydrop"


class _Place:
    """Where a file is to be: opens it, or one beside it that takes its place later. Raises OSError."""

    def __init__(self, path: Path, option: str) -> None:
        self._path, self._option = path, option
        self._beside: Path | None = None

    def create(self) -> int:
        """A descriptor of the new file, which only grows."""
        refuse_bad_path(self._path, self._option)
        self._path.unlink(missing_ok=True)
        return os.open(self._path, _NEW | os.O_APPEND, 0o600)

    def refuse(self) -> None:
        """Raises what a later begin() would."""
        refuse_bad_path(self._path, self._option)
        os.close(self.begin())
        self.forget()

    def begin(self) -> int:
        """A descriptor of a new file in the same directory, under a name that nobody can guess."""
        beside = self._path.with_name(f".whydrop-{os.urandom(8).hex()}")
        descriptor = os.open(beside, _NEW, 0o600)
        self._beside = beside
        return descriptor

    def put(self) -> None:
        """It takes the place of what was there; not of a link's target."""
        if self._beside is not None:
            self._beside.replace(self._path)
            self._beside = None

    def forget(self) -> None:
        if self._beside is not None:
            self._beside.unlink(missing_ok=True)
            self._beside = None


class _PlaceOfRoot:
    """The same, by a process that stays root when this one gives it up."""

    def __init__(self, path: Path, option: str) -> None:
        place = _Place(path, option)

        def refuse() -> None:  # tasks give a descriptor or None
            place.refuse()

        self._deputy = Deputy(
            {
                "create": place.create,
                "refuse": refuse,
                "begin": place.begin,
                "put": place.put,
                "forget": place.forget,
            },
            place.forget,
        )

    def create(self) -> int:
        return self._descriptor("create")

    def refuse(self) -> None:
        self._deputy.ask("refuse")

    def begin(self) -> int:
        return self._descriptor("begin")

    def put(self) -> None:
        self._deputy.ask("put")

    def forget(self) -> None:
        self._deputy.ask("forget")

    def _descriptor(self, task: str) -> int:
        descriptor = self._deputy.ask(task)
        assert descriptor is not None
        return descriptor


_of_root: dict[Path, _PlaceOfRoot] = {}


def stay_root_for(path: Path | None, option: str = "--write") -> None:
    """To be called before root is given up: the file at `path` is root's, in a directory that may be root's."""
    if path is not None and is_own_process() and os.geteuid() == 0:
        _of_root[path] = _PlaceOfRoot(path, option)


def _place(path: Path, option: str) -> _Place | _PlaceOfRoot:
    return _of_root.get(path) or _Place(path, option)


class NewFile:
    """A file that only grows. Raises WhydropError where it cannot be made.

    `failure` says why it is not written to any more (disk full), and close() raises it: what was written before stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.failure: WhydropError | None = None
        try:
            self._descriptor = _place(path, "--write").create()
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


class WholeFile:
    """A file that is there as a whole or not at all: what was there before stays until write() has all of it.

    It is its owner's only. Raises WhydropError where it cannot be made, at once and not only when it is written.
    """

    def __init__(self, path: Path, option: str = "--write") -> None:
        self._path, self._option = path, option
        self._place = _place(path, option)
        with self._refusal("created"):
            self._place.refuse()

    def write(self, data: bytes) -> None:
        """Everything."""
        with self._refusal("written"):
            descriptor = self._place.begin()
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                self._place.put()
            except OSError:
                self._place.forget()
                raise

    @contextlib.contextmanager
    def _refusal(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WhydropError(
                f"{self._option} {self._path}: cannot be {what}: {error.strerror}",
                "name a file in a directory that you may write to, where there is room",
            ) from error


def is_capture(path: Path) -> bool:
    """True when the name asks for a capture instead of a recording."""
    return path.suffix.lower() == ".pcapng"


def is_page(path: Path) -> bool:
    """True when the name asks for an HTML page instead of a recording."""
    return path.suffix.lower() in _PAGES


def refuse_bad_path(path: Path, option: str = "--write") -> None:
    """Raise WrongUsage where the file cannot be, or where it would replace something that is none of ours."""
    if str(path) == "-":
        raise WrongUsage("--write -: standard output has the findings, and what is written is a file", _HINT)
    if path.suffix.lower() in _OTHER_CAPTURES:
        raise WrongUsage(
            f"{option} {path}: this format has no place for comments",
            f"Wireshark opens {path.with_suffix('.pcapng')}",
        )
    if not path.parent.is_dir():
        raise WrongUsage(f"{option} {path}: there is no directory {path.parent}", _HINT)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise WrongUsage(f"{option} {path}: {getattr(error, 'strerror', None) or error}", _HINT) from error
    if not stat.S_ISREG(found.st_mode):
        raise WrongUsage(f"{option} {path}: is there already and is not a plain file", _HINT)
    if found.st_size and not _is_ours(path):
        raise WrongUsage(f"{option} {path}: is there already and holds something else", _HINT)


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(LOOKED_AT)
    except OSError:
        return False
    if is_page(path):
        return start.startswith(_PAGE_BEGINS) and _PAGE_OURS in start
    if is_capture(path):
        return start.startswith(_SECTION_HEADER) and _APPLICATION in start
    return is_recording(start)
