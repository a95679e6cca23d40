"""Reads a store: also while it is written to, also one of another host; nothing in it is believed."""

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dropwatch.errors import CannotRunHere, WhydropError, WrongUsage
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Finding
from dropwatch.names.foreign import printable
from dropwatch.recording.decode import Malformed, decode
from dropwatch.watch.schema import VERSIONS, Foreign, Newer, version_of

_BUSY_MS = 5000
_LARGEST_BODY = 4 << 20
_LATEST = float(1 << 35)  # seconds since 1970
_HINT = "whydrop watch makes a store; --store FILE reads another"

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Count:
    """Packets of a sort in some minutes, with the times of the first and the last of them.

    `minute` is the first of these in which there were any, `last_minute` the last.
    """

    sort: int
    minute: int
    last_minute: int
    packets: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the recorder: `seen` is the last time that it was there; `ended` None: it goes on, or was killed."""

    host: str
    own_netns: int
    began: float
    seen: float
    ended: float | None
    lost: int | None
    unstored: int


class Reader:
    """An open store. Raises WrongUsage for what is none, CannotRunHere for one that may not be read, else WhydropError.

    What is asked may raise WhydropError, too: a part of it may be damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _refuse_missing(path)
        try:
            self._database = _opened(path)
        except Newer as error:
            raise WhydropError(
                f"{path}: a newer whydrop has made it ({error}; this one knows {len(VERSIONS)})",
                "read it with that version",
            ) from error
        except Foreign as error:
            raise WrongUsage(f"{path} is a database of another program", _HINT) from error
        except sqlite3.OperationalError as error:
            raise WhydropError(f"{path} cannot be read: {error}", "is it there as a whole?") from error
        except sqlite3.DatabaseError as error:
            raise _damaged(path, error) from error

    def close(self) -> None:
        self._database.close()

    def counts(self, since: int, until: int, each: int) -> Iterator[Count]:
        """From one minute to another, that included, in stretches of `each`; the last one ends where these do."""
        if each == 1:
            rows = (
                "SELECT sort, minute, minute, packets, first, last FROM minute WHERE minute BETWEEN ? AND ?"
            )
            return self._rows(_count, rows, since, until)
        # A million of rows in a second, which Python does not; extremes are of another type where a value is.
        statement = (
            "SELECT sort, min(minute), max(minute), sum(packets), min(first), max(last), "
            "max(packets), max(first), min(last) FROM minute WHERE minute BETWEEN ? AND ? "
            "GROUP BY sort, (? - minute) / ?"
        )
        return self._rows(_counts, statement, since, until, until, each)

    def levels(self) -> dict[int, int]:
        """What each sort is: see schema.py."""
        return dict(self._rows(_level, "SELECT id, level FROM sort"))

    def finding(self, sort: int, since: int, until: int) -> Finding | None:
        """The first of the latest of these hours, both included, in which there is one."""
        statement = (
            "SELECT body FROM finding WHERE sort = ? AND hour BETWEEN ? AND ? ORDER BY hour DESC LIMIT 1"
        )
        return next(self._rows(_finding, statement, sort, since, until), None)

    def runs(self) -> list[Run]:
        """The oldest first."""
        statement = "SELECT host, own_netns, began, seen, ended, lost, unstored FROM run ORDER BY began"
        return list(self._rows(_run, statement))

    def kept_since(self) -> float | None:
        """What was before has been deleted."""
        return next(self._rows(_time, "SELECT value FROM mark WHERE name = 'kept_since'"), None)

    def _rows(self, make: Callable[..., Made], statement: str, *values: int) -> Iterator[Made]:
        try:
            for row in self._database.execute(statement, values):
                yield make(*row)
        except (sqlite3.Error, Malformed, UnicodeError) as error:
            raise _damaged(self._path, error) from error


def _refuse_missing(path: Path) -> None:
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError as error:
        raise WrongUsage(f"there is no store {path}", _HINT) from error
    except PermissionError as error:
        raise CannotRunHere(
            f"{path} may not be read by this user", "run it with sudo, or as a member of the group whydrop"
        ) from error
    except OSError as error:
        raise WrongUsage(f"{path} cannot be read: {error.strerror}", _HINT) from error
    if empty:
        raise WrongUsage(f"{path} is empty, and no store", _HINT)


def _opened(path: Path) -> sqlite3.Connection:
    """Where nothing can be made beside a file that nobody writes to, it is read as it stands."""
    try:
        return _connected(path, "mode=ro")
    except sqlite3.OperationalError:
        if path.with_name(f"{path.name}-wal").exists():
            raise
        return _connected(path, "mode=ro&immutable=1")


def _connected(path: Path, how: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=_BUSY_MS / 1000)
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA temp_store = MEMORY")
        database.execute("PRAGMA query_only = ON")
        if not version_of(database):
            raise Foreign
    except BaseException:
        database.close()
        raise
    return database


def _damaged(path: Path, error: Exception) -> WhydropError:
    return WhydropError(
        f"{path} is damaged, or no store: {error}",
        "whydrop watch moves a damaged one aside and begins a new one",
    )


def _count(
    sort: object, minute: object, last_minute: object, packets: object, first: object, last: object
) -> Count:
    whole = _whole(sort), _whole(minute), _whole(last_minute), _whole(packets)
    return Count(*whole, _time(first), _time(last))


def _counts(
    sort: object,
    minute: object,
    last_minute: object,
    packets: object,
    first: object,
    last: object,
    most: object,
    *times: object,
) -> Count:
    _whole(most)
    for time in times:
        _time(time)
    return _count(sort, minute, last_minute, packets, first, last)


def _level(sort: object, level: object) -> tuple[int, int]:
    return _whole(sort), _whole(level)


def _run(
    host: object, own: object, began: object, seen: object, ended: object, lost: object, unstored: object
) -> Run:
    return Run(
        printable(str(host)),
        _whole(own),
        _time(began),
        _time(seen),
        None if ended is None else _time(ended),
        None if lost is None else _whole(lost),
        _whole(unstored),
    )


def _whole(value: object) -> int:
    if isinstance(value, int) and abs(value) < 1 << 62:
        return value
    raise Malformed("no number")


def _time(value: object) -> float:
    if isinstance(value, int | float) and 0 <= value < _LATEST:
        return float(value)
    raise Malformed("no time")


def _finding(body: object) -> Finding:
    if not isinstance(body, bytes):
        raise Malformed("no finding")
    try:
        unpacked = zlib.decompressobj().decompress(body, _LARGEST_BODY)
        found: Finding = decode(json.loads(unpacked), Finding)
    except (zlib.error, ValueError, RecursionError) as error:
        raise Malformed("a finding that cannot be read") from error
    _time(found.drop.time)
    return found
