"""The store that is written to: a transaction a second at most, bounded, and it goes on whatever the disk does."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Finding
from dropwatch.watch import place
from dropwatch.watch.pending import Pending
from dropwatch.watch.schema import Foreign, Newer, migrate
from dropwatch.watch.sorts import Sorts

KEEP_SECONDS = 7 * 86400.0
SIZE = 256 << 20
LEAST_SIZE = 16 << 20  # an hour of a storm
_EVERY_SECONDS = 1.0
_QUIET_SECONDS = 30.0  # between two signs of life where nothing dies
_BUSY_MS = 2000
_WAL_BYTES = 4 << 20
_STEP_SECONDS = 60.0  # by which the clock on the wall may go another way than the other one
_WAIT_AFTER_STEP = 3600.0
_FULL, _ROOM = 0.9, 0.8  # of the size: where the oldest hours begin to go, and where no more of them go

Clock = Callable[[], float]
_COUNT = (
    "INSERT INTO minute (minute, sort, packets, first, last) SELECT ?, id, ?, ?, ? FROM sort WHERE key = ? "
    "ON CONFLICT DO UPDATE SET packets = packets + excluded.packets, "
    "first = min(first, excluded.first), last = max(last, excluded.last)"
)
_FINDING = "INSERT OR IGNORE INTO finding (sort, hour, body) SELECT id, ?, ? FROM sort WHERE key = ?"


@dataclass(frozen=True, slots=True)
class Who:
    """Who writes: what a run says of itself."""

    program: str
    host: str
    own_netns: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long minutes are kept, and how large the file may become, in seconds and bytes."""

    keep: float = KEEP_SECONDS
    size: int = SIZE


class Store:
    """`say` is told, in a sentence, what was lost and when it can be written again. `wall` is seconds since 1970,
    `clock` one that only goes forward.

    Raises WrongUsage for a file that is somebody else's or a later version's, WhydropError where none can be made.
    """

    def __init__(
        self, path: Path, who: Who, bounds: Bounds, say: Callable[[str], None], *, wall: Clock, clock: Clock
    ) -> None:
        self._path, self._who, self._bounds, self._say = path, who, bounds, say
        self._wall, self._clock = wall, clock
        self._pending = Pending(Sorts(who.own_netns))
        self._database: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._run = 0
        self._trouble = ""
        self._flushed = self._told = clock()
        self._ahead = wall() - clock()
        self._steady_from = clock()
        self._pruned_hour = 0
        self._began = wall()
        place.prepare(path)
        try:
            self._open()
        except Newer as error:
            raise WrongUsage(
                f"--store {path}: a newer whydrop has made it ({error})", "use that one, or another file"
            ) from error
        except Foreign as error:
            raise WrongUsage(
                f"--store {path}: is a database of another program", "name another file"
            ) from error
        except sqlite3.OperationalError as error:
            raise WhydropError(
                f"--store {path}: cannot be opened: {error}", "is there room on that file system?"
            ) from error
        except sqlite3.ProgrammingError:  # a mistake of ours is no damage
            raise
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)

    def begin(self) -> None:
        """From now on it is watched."""
        self._began = self._wall()
        self.flush(("UPDATE run SET began = ? WHERE id = ?", (self._began, self._run)))

    def add(self, finding: Finding) -> None:
        """Counted at once, on disk with the next flush()."""
        self._pending.add(finding)

    def tick(self) -> None:
        """Writes what is due. To be called often."""
        now = self._clock()
        if now - self._flushed >= _EVERY_SECONDS and (
            self._pending.counts or now - self._told >= _QUIET_SECONDS
        ):
            self.flush()

    def end(self, lost: int | None) -> None:
        """The run is over: `lost` events could not be delivered."""
        self.flush(("UPDATE run SET ended = ?, lost = ? WHERE id = ?", (self._wall(), lost, self._run)))
        self._close()
        lost_counts = sum(one.packets for one in self._pending.counts.values()) + self._pending.unstored
        if lost_counts:
            self._say(f"{lost_counts} packets that were counted are lost: they could not be stored")

    def flush(self, *last: tuple[str, tuple[object, ...]]) -> None:
        """Everything to the disk. What cannot be written stays, and is written as soon as it can."""
        self._flushed = self._clock()
        try:
            self._look_at_file()
            if self._database is None:
                self._prepare()
                self._open()
            self._look_at_clock()
            self._prune()
            self._write(last)
        except (sqlite3.OperationalError, OSError) as error:
            self._wait(error)
        except sqlite3.ProgrammingError:  # a mistake of ours is no damage
            raise
        except (sqlite3.DatabaseError, Newer, Foreign) as error:
            self._begin_anew(error)
        else:
            self._told = self._flushed
            if self._trouble:
                self._trouble = ""
                self._say("the store can be written again; what was counted meanwhile is in it")

    def _write(self, last: tuple[tuple[str, tuple[object, ...]], ...]) -> None:
        database, pending = self._opened(), self._pending
        database.execute("BEGIN IMMEDIATE")
        try:
            keys = {key for _, key in pending.counts} | {key for _, key in pending.bodies}
            database.executemany("INSERT OR IGNORE INTO sort (key, level) VALUES (?, ?)", keys)
            database.executemany(
                _COUNT,
                (
                    (minute, one.packets, one.first, one.last, key.text)
                    for (minute, key), one in pending.counts.items()
                ),
            )
            database.executemany(
                _FINDING, ((hour, body, key.text) for (hour, key), body in pending.bodies.items())
            )
            database.execute(
                "UPDATE run SET seen = ?, unstored = unstored + ? WHERE id = ?",
                (self._wall(), pending.unstored, self._run),
            )
            for statement, values in last:
                database.execute(statement, values)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        pending.stored()

    def _opened(self) -> sqlite3.Connection:
        assert self._database is not None
        return self._database

    def _open(self) -> None:
        """The file that is there, as a run of it."""
        self._close()
        database = sqlite3.connect(
            self._path,
            timeout=_BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,  # made in one thread, written to in the one that judges: never in both at once
        )
        self._database = database
        try:
            self._set_up(database)
        except BaseException:
            self._close()
            raise

    def _set_up(self, database: sqlite3.Connection) -> None:
        found = self._path.stat()
        self._file = (found.st_dev, found.st_ino)
        database.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file only
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA temp_store = MEMORY")
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        migrate(database)
        if not self._run:
            (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if state != "ok":
                raise sqlite3.DatabaseError(state)
        (page,) = database.execute("PRAGMA page_size").fetchone()
        database.execute(f"PRAGMA max_page_count = {max(1, self._bounds.size // page)}")
        if not self._run:
            self._begin_run(database)

    def _begin_run(self, database: sqlite3.Connection) -> None:
        who = self._who
        values = (who.program, who.host, who.own_netns, self._began, self._wall())
        done = database.execute(
            "INSERT INTO run (program, host, own_netns, began, seen) VALUES (?, ?, ?, ?, ?)", values
        )
        self._run = done.lastrowid or 0

    def _close(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    def _look_at_file(self) -> None:
        """SQLite goes on writing to one that somebody has deleted or replaced."""
        if self._file is None:
            return
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._file:
            self._forget_file()
            if found is None:
                self._remove_beside()
            self._say(f"{self._path} has been deleted or replaced: what was in it is lost")

    def _forget_file(self) -> None:
        """What is written from here on begins a run of another."""
        self._close()
        self._pending.forget_stored()
        self._file, self._run, self._began = None, 0, self._wall()

    def _begin_anew(self, error: Exception) -> None:
        """What is damaged is kept beside the new one, as the only one of its kind."""
        self._forget_file()
        aside = self._path.with_name(f"{self._path.name}.damaged")
        try:
            self._path.replace(aside)
            self._remove_beside()
            self._prepare()
            self._open()
        except (OSError, sqlite3.Error) as failure:
            self._wait(failure)
        self._say(
            f"the store was damaged ({error}): it is {aside} now, and a new one is begun without what is in it"
        )

    def _remove_beside(self) -> None:
        """A log of another database would be taken for one of the new file."""
        for end in place.BESIDE:
            self._path.with_name(self._path.name + end).unlink(missing_ok=True)

    def _prepare(self) -> None:
        try:
            place.prepare(self._path)
        except WhydropError as error:
            raise OSError(0, error.message) from error

    def _wait(self, error: Exception) -> None:
        """Said once, until it can be written again."""
        why = str(getattr(error, "strerror", None) or error)
        if not self._trouble:
            self._say(f"the store cannot be written ({why}): counts are kept in memory until it can")
        self._trouble = why
        self._close()

    def _look_at_clock(self) -> None:
        """Where it was set, nothing is deleted by age for an hour: it may have been set wrong."""
        ahead = self._wall() - self._clock()
        if abs(ahead - self._ahead) > _STEP_SECONDS:
            self._say(
                f"the clock was set, or the host slept: {ahead - self._ahead:+.0f} s; minutes are by the new time"
            )
            self._steady_from = self._clock() + _WAIT_AFTER_STEP
        self._ahead = ahead

    def _prune(self) -> None:
        database = self._opened()
        oldest_hour = int((self._wall() - self._bounds.keep) // 3600)
        if oldest_hour > self._pruned_hour and self._clock() >= self._steady_from:
            self._pruned_hour = oldest_hour
            self._delete_before(oldest_hour)
        if self._used() <= _FULL * self._bounds.size:
            return
        while self._used() > _ROOM * self._bounds.size:
            (minute,) = database.execute("SELECT min(minute) FROM minute").fetchone()
            if minute is None or minute // 60 >= int(self._wall() // 3600):
                return
            self._delete_before(minute // 60 + 1)

    def _used(self) -> int:
        pages, free, size = (
            self._opened().execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _delete_before(self, hour: int) -> None:
        """Whole hours, so that whatever has a count has a finding."""
        database = self._opened()
        database.execute("BEGIN IMMEDIATE")
        try:
            gone = database.execute("DELETE FROM minute WHERE minute < ?", (hour * 60,)).rowcount
            database.execute("DELETE FROM finding WHERE hour < ?", (hour,))
            database.execute("DELETE FROM run WHERE seen < ? AND id <> ?", (hour * 3600, self._run))
            if gone:
                database.execute("DELETE FROM sort WHERE id NOT IN (SELECT sort FROM minute)")
                database.execute("INSERT OR REPLACE INTO mark VALUES ('kept_since', ?)", (hour * 3600.0,))
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        database.execute("PRAGMA incremental_vacuum").fetchall()
