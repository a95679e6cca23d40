"""The tables of the store, and how a store of an earlier version becomes one of this."""

import sqlite3

APPLICATION = 0x77686470  # in the header of the file: it is a store of whydrop

# A version is the statements that lead to it from the one before. None is ever changed: stores have been made by it.
#   sort     what is counted as one: `level` 0 one flow of one sort, 1 many flows, 2 many sorts of one cause
#   minute   packets of a sort in a minute (minutes since 1970), with the first and the last time in it
#   finding  the first finding of a sort in an hour (hours since 1970), as zlib of JSON
#   run      from when to when somebody watched: `seen` is the last time it was still there, `ended` null: killed
#   mark     one number by name: `kept_since`, before which minutes were deleted
VERSIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE sort (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, level INTEGER NOT NULL)",
        "CREATE TABLE minute (minute INTEGER NOT NULL, sort INTEGER NOT NULL, packets INTEGER NOT NULL, "
        "first REAL NOT NULL, last REAL NOT NULL, PRIMARY KEY (minute, sort)) WITHOUT ROWID",
        "CREATE TABLE finding (sort INTEGER NOT NULL, hour INTEGER NOT NULL, body BLOB NOT NULL, "
        "UNIQUE (sort, hour))",
        "CREATE INDEX finding_hour ON finding (hour)",
        "CREATE TABLE run (id INTEGER PRIMARY KEY, program TEXT NOT NULL, host TEXT NOT NULL, "
        "own_netns INTEGER NOT NULL, began REAL NOT NULL, seen REAL NOT NULL, ended REAL, lost INTEGER, "
        "unstored INTEGER NOT NULL DEFAULT 0)",
        "CREATE TABLE mark (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID",
    ),
)


class Newer(Exception):
    """A later whydrop has made it: `version` is not known here."""

    def __init__(self, version: int) -> None:
        super().__init__(f"schema {version}")
        self.version = version


class Foreign(Exception):
    """A database of another program."""


def version_of(database: sqlite3.Connection) -> int:
    """0: an empty one. Raises Newer, Foreign, and sqlite3.DatabaseError for what is no database."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION and (tables or version):
        raise Foreign
    if version > len(VERSIONS):
        raise Newer(version)
    return int(version)


def migrate(database: sqlite3.Connection) -> None:
    """To this version, each step whole or not at all."""
    for version in range(version_of(database), len(VERSIONS)):
        database.execute("BEGIN IMMEDIATE")
        try:
            for statement in VERSIONS[version]:
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION}")
            database.execute(f"PRAGMA user_version = {version + 1}")
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
