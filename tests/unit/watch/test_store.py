"""The recorder's store: exact through damage, full disks and set clocks, bounded, and only where root alone writes."""

import os
import resource
import shutil
import signal
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.model.drop import Finding
from dropwatch.watch import pending, schema, sorts
from dropwatch.watch.store import Store
from tests.unit.watch.clocks import NOON, Clocks

Find = Callable[..., Finding]
Open = Callable[..., Store]


def asked(path: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(question).fetchall()


def packets(path: Path) -> int:
    ((count,),) = asked(path, "SELECT coalesce(sum(packets), 0) FROM minute")
    assert isinstance(count, int)
    return count


def test_counts_are_by_minute_and_sort(open_store: Open, find: Find, path: Path, clocks: Clocks) -> None:
    store = open_store()
    for time, port, count in ((1, 5000, 3), (2, 53, 1), (59, 5000, 4), (61, 5000, 6)):
        store.add(find(NOON + time, port, count=count))
    clocks.step(1)
    store.tick()
    rows = asked(path, "SELECT minute, packets, first, last FROM minute ORDER BY minute, packets DESC")
    minute = NOON / 60
    assert rows == [
        (minute, 7, NOON + 1, NOON + 59),
        (minute, 1, NOON + 2, NOON + 2),
        (minute + 1, 6, NOON + 61, NOON + 61),
    ]
    assert asked(path, "SELECT count(*) FROM finding") == [(2,)]


def test_a_second_run_adds_to_the_same_minute(open_store: Open, find: Find, path: Path) -> None:
    for _ in range(2):
        store = open_store()
        store.add(find(count=5))
        store.end(0)
    assert asked(path, "SELECT packets FROM minute") == [(10,)]
    assert asked(path, "SELECT lost, ended FROM run") == [(0, NOON), (0, NOON)]


def test_it_is_watched_from_the_moment_on_when_all_probes_are_attached(
    open_store: Open, path: Path, clocks: Clocks
) -> None:
    store = open_store()
    clocks.step(20)
    store.begin()
    clocks.step(5)
    store.end(0)
    assert asked(path, "SELECT began, seen, ended FROM run") == [(NOON + 20, NOON + 25, NOON + 25)]


def test_a_write_a_second_at_most(open_store: Open, find: Find, path: Path, clocks: Clocks) -> None:
    store = open_store()
    store.add(find())
    clocks.step(0.5)
    store.tick()
    assert packets(path) == 0
    clocks.step(0.5)
    store.tick()
    assert packets(path) == 1


def test_who_only_dies_in_the_middle_leaves_what_was_written(
    open_store: Open, find: Find, path: Path
) -> None:
    store = open_store()
    store.add(find(count=7))
    store.flush()
    store.add(find(count=11))  # never written: it was killed
    open_store()
    assert packets(path) == 7
    assert [ended for (ended,) in asked(path, "SELECT ended FROM run")] == [None, None]


def test_only_its_owner_and_its_group_may_read(open_store: Open, path: Path) -> None:
    open_store()
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o750, 0o640)
    assert path.with_name("drops.sqlite-wal").stat().st_mode & 0o777 == 0o640


def test_what_others_could_have_made_is_refused(open_store: Open, path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    (tmp_path / "elsewhere").touch()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WrongUsage, match="is a link"):
        open_store()
    path.unlink()
    path.parent.chmod(0o777)
    with pytest.raises(WrongUsage, match="others may write"):
        open_store()
    path.parent.rmdir()
    (tmp_path / "real").mkdir()
    path.parent.symlink_to(tmp_path / "real")
    with pytest.raises(WrongUsage, match="is a link"):
        open_store()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_directory_of_another_user_is_refused(open_store: Open, path: Path) -> None:
    path.parent.mkdir()
    os.chown(path.parent, 65534, 65534)
    with pytest.raises(WrongUsage, match="another user"):
        open_store()


def test_a_newer_store_and_a_foreign_database_are_left_alone(open_store: Open, path: Path) -> None:
    open_store().end(0)
    asked(path, "PRAGMA user_version = 99")
    with pytest.raises(WrongUsage, match="newer whydrop"):
        open_store()
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE mail (text)")
    path.chmod(0o640)
    with pytest.raises(WrongUsage, match="another program"):
        open_store()


def test_an_older_store_is_migrated(
    open_store: Open, find: Find, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.add(find(count=5))
    store.end(0)
    later = (*schema.VERSIONS, ("ALTER TABLE sort ADD COLUMN note TEXT",))
    monkeypatch.setattr(schema, "VERSIONS", later)
    open_store().end(0)
    assert asked(path, "PRAGMA user_version") == [(2,)]
    assert asked(path, "SELECT note FROM sort") == [(None,)]
    assert packets(path) == 5


def test_a_migration_that_fails_changes_nothing(
    open_store: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store().end(0)
    later = (*schema.VERSIONS, ("ALTER TABLE sort ADD COLUMN note TEXT", "NONSENSE"))
    monkeypatch.setattr(schema, "VERSIONS", later)
    with pytest.raises(WhydropError):
        open_store()
    assert asked(path, "PRAGMA user_version") == [(1,)]
    assert [name for _, name, *_ in asked(path, "PRAGMA table_info(sort)")] == ["id", "key", "level"]


def test_what_is_too_old_is_deleted(open_store: Open, find: Find, path: Path, clocks: Clocks) -> None:
    store = open_store(keep=86400.0)
    for hour in range(50):
        store.add(find(clocks.wall, dport=1000 + hour))
        clocks.step(3600)
        store.tick()
    ((first, last),) = asked(path, "SELECT min(minute), max(minute) FROM minute")
    assert isinstance(first, int)
    assert isinstance(last, int)
    assert 23 * 60 <= last - first <= 25 * 60
    assert asked(path, "SELECT count(*) FROM sort") == asked(path, "SELECT count(*) FROM minute")
    assert asked(path, "SELECT count(*) FROM finding") == asked(path, "SELECT count(*) FROM minute")


def test_a_clock_that_is_set_wrong_deletes_nothing(
    open_store: Open, find: Find, path: Path, clocks: Clocks, said: list[str]
) -> None:
    store = open_store()
    store.add(find(count=3))
    store.flush()
    clocks.wall += 10 * 365 * 86400.0
    clocks.step(60)
    store.flush()
    assert packets(path) == 3
    assert "the clock was set, or the host slept" in said[0]
    clocks.wall -= 10 * 365 * 86400.0
    clocks.step(2 * 3600)
    store.flush()
    assert packets(path) == 3


def test_the_size_is_bounded(open_store: Open, find: Find, path: Path, clocks: Clocks) -> None:
    store, size = open_store(size=1 << 20), 1 << 20
    for hour in range(60):
        for flow in range(20):
            store.add(find(clocks.wall, dport=flow + 1, title=f"{hour} {os.urandom(400).hex()}"))
        clocks.step(3600)
        store.tick()
    store.end(0)
    assert path.stat().st_size <= size
    ((first, last),) = asked(path, "SELECT min(minute), max(minute) FROM minute")
    assert last == (clocks.wall - 3600) // 60
    assert asked(path, "SELECT value FROM mark") == [(first * 60.0,)]  # type: ignore[operator]


@pytest.mark.parametrize("what", ["header", "middle", "text"])
def test_a_damaged_one_is_put_aside(
    what: str, open_store: Open, find: Find, path: Path, said: list[str]
) -> None:
    store = open_store()
    store.add(find(count=3))
    store.end(0)
    data = bytearray(path.read_bytes())
    if what == "text":
        data = bytearray(b"hello" * 1000)
    else:
        begin = 0 if what == "header" else 4096
        data[begin : begin + 4096] = b"\xa5" * 4096
    path.write_bytes(data)
    store = open_store()
    store.add(find(count=5))
    store.end(0)
    assert packets(path) == 5
    assert "damaged" in said[0]
    assert path.with_name("drops.sqlite.damaged").stat().st_size == len(data)


def test_one_that_is_deleted_is_begun_anew(
    open_store: Open, find: Find, path: Path, clocks: Clocks, said: list[str]
) -> None:
    store = open_store()
    store.add(find(count=3))
    store.flush()
    shutil.rmtree(path.parent)
    store.add(find(count=5))
    clocks.step(1)
    store.tick()
    assert packets(path) == 5
    assert asked(path, "SELECT count(*) FROM finding") == [(1,)]
    assert [one for one in said if "deleted or replaced" in one] == said


def test_a_full_disk_loses_no_count(
    open_store: Open, find: Find, path: Path, clocks: Clocks, said: list[str]
) -> None:
    store = open_store()
    store.add(find(count=3))
    store.flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        for _ in range(5):
            store.add(find(count=5))
            clocks.step(1)
            store.tick()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert len(said) == 1
    assert "cannot be written" in said[0]
    clocks.step(1)
    store.tick()
    assert packets(path) == 28
    assert "can be written again" in said[1]
    assert asked(path, "SELECT count(*) FROM run") == [(1,)]


def test_what_never_found_room_is_told(
    open_store: Open, find: Find, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.add(find(count=7))

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store, "_write", full)
    store.end(0)
    assert said[-1].startswith("7 packets that were counted are lost")


def test_a_storm_of_addresses_hides_no_other_sort(open_store: Open, find: Find, path: Path) -> None:
    store = open_store()
    for number in range(2000):
        for cause in ("tcp.refused", "netfilter.nft-rule"):
            store.add(find(saddr=IPv4Address(0x0B000000 + number), cause_id=cause))
    for cause in ("a.a", "b.b", "c.c"):
        store.add(find(cause_id=cause))
    store.end(0)
    assert packets(path) == 4003
    assert asked(path, "SELECT count(*) FROM sort") == [(2 * (sorts.MOST_FLOWS + 1) + 3,)]


def test_memory_is_bounded_while_nothing_can_be_written(
    open_store: Open, find: Find, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "MOST_COUNTS", 8)
    monkeypatch.setattr(sorts, "MOST_FLOWS", 1000)
    store = open_store()
    for number in range(100):
        store.add(find(dport=number + 1))
    for minute in range(1, 20):
        store.add(find(NOON + 60 * minute))
    store.end(0)
    ((unstored,),) = asked(path, "SELECT unstored FROM run")
    assert isinstance(unstored, int)
    assert packets(path) + unstored == 119
    assert asked(path, "SELECT count(*) FROM minute") == [(16,)]


def test_it_is_written_to_in_another_thread_than_it_was_made_in(
    open_store: Open, find: Find, path: Path, said: list[str]
) -> None:
    """As in a run: drops are judged beside the first thread, and the store ends in the first one again."""
    store = open_store()
    with ThreadPoolExecutor(1) as judging:
        judging.submit(store.add, find(count=3)).result()
        judging.submit(store.flush).result()
    store.end(0)
    assert (said, packets(path)) == ([], 3)


def test_a_mistake_of_ours_is_no_damage(
    open_store: Open, find: Find, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.add(find(count=3))
    store.flush()

    def misuse(last: object) -> None:
        raise sqlite3.ProgrammingError

    monkeypatch.setattr(store, "_write", misuse)
    store.add(find(count=1))
    with pytest.raises(sqlite3.ProgrammingError):
        store.flush()
    assert packets(path) == 3
