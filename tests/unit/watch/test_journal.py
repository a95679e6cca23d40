"""What journald gets: a real socket in its place, and its format as its own documentation has it."""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dropwatch.cli.main import main
from dropwatch.errors import CannotRunHere
from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Evidence, Finding, Process
from dropwatch.model.pattern import pattern
from dropwatch.watch import journal
from dropwatch.watch.events import Notice
from dropwatch.watch.journal import Journal, datagram
from dropwatch.watch.sender import Delivered
from dropwatch.watch.sorts import ONE_FLOW
from dropwatch.watch.teller import Teller
from tests.unit.watch.clocks import NOON, Clocks

Find = Callable[..., Finding]
HOSTILE = "x\nCAUSE=made.up\nPRIORITY\n\x08\0\0\0\0\0\0\0"
FIELD_NAME = pattern(r"[A-Z][A-Z0-9_]{0,63}")
PATIENCE_SECONDS = 20.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "socket")


@pytest.fixture
def journald(path: str) -> Iterator[socket.socket]:
    with bound(path) as listening:
        yield listening


def bound(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(path)
    listening.settimeout(PATIENCE_SECONDS)
    return listening


def fields(raw: bytes) -> list[tuple[str, str]]:
    """As journald reads it: NAME=value, or NAME, the length and the value."""
    found = []
    while raw:
        line, _, rest = raw.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
            raw = rest
        else:
            name, (length,) = line, struct.unpack("<Q", rest[:8])
            value, raw = rest[8 : 8 + length], rest[8 + length :]
            assert raw.startswith(b"\n")
            raw = raw[1:]
        found.append((name.decode(), value.decode()))
    return found


def test_a_finding_is_an_entry_with_fields(journald: socket.socket, path: str, find: Find) -> None:
    rule = NftRule(text="udp dport 53 drop", family="ip", table="filter", chain="input", handle=7, number=1)
    seen = (Evidence("probe", "one"), Evidence("packet", "two"))
    finding = find(culprit=rule, owner=Process(7, "dig"), evidence=seen)
    assert Journal(path).deliver([Notice(finding, 5, ONE_FLOW, NOON)], 9) == Delivered()
    raw = journald.recv(1 << 16)
    known = dict(fields(raw))
    assert b"EVIDENCE\n" + struct.pack("<Q", 22) + b"probe: one\npacket: two\n" in raw
    assert {
        name: known[name] for name in ("SYSLOG_IDENTIFIER", "PRIORITY", "CAUSE", "CONFIDENCE", "COUNT")
    } == {
        "SYSLOG_IDENTIFIER": "whydrop",
        "PRIORITY": "4",
        "CAUSE": "ipsec.auth-failed",
        "CONFIDENCE": "certain",
        "COUNT": "5",
    }
    flow = ("SADDR", "DADDR", "SPORT", "DPORT", "PROTO", "NETNS", "INTERFACE", "PID", "COMM")
    assert [known[name] for name in flow] == [
        "10.9.0.1",
        "10.9.0.2",
        "40000",
        "5000",
        "udp",
        "b",
        "vb",
        "7",
        "dig",
    ]
    assert known["TIME"] == "2026-11-20T21:00:00.000000Z"
    assert known["MESSAGE"].startswith("udp 10.9.0.1 > 10.9.0.2:5000: Authentication failed; by nft")
    harmless = Notice(find(cause_id="benign.tap-copy"), 1, ONE_FLOW, NOON)
    assert dict(fields(datagram(harmless)))["PRIORITY"] == "6"


def test_a_name_makes_no_field(find: Find) -> None:
    rule = NftRule(text=HOSTILE, family="ip", table=HOSTILE, chain=HOSTILE, handle=7, number=1)
    owner = Process(7, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    plain = find(
        culprit=replace(rule, text="x"), owner=Process(7, "x", "x", "x", "x"), evidence=(Evidence("x", "x"),)
    )
    finding = find(title=HOSTILE, culprit=rule, owner=owner, evidence=(Evidence(HOSTILE, HOSTILE),) * 2)
    expected = [name for name, _ in fields(datagram(Notice(plain, 1, ONE_FLOW, NOON)))]
    found = fields(datagram(Notice(finding, 1, ONE_FLOW, NOON)))
    assert [name for name, _ in found] == expected
    assert len(set(expected)) == len(expected) > 20
    assert all(FIELD_NAME.fullmatch(name) for name in expected)
    assert dict(found)["CAUSE"] == "ipsec.auth-failed"
    assert len(dict(found)["EVIDENCE"].splitlines()) == 2


def test_it_stays_far_below_what_a_datagram_may_be(find: Find) -> None:
    name = "ä" * 100_000
    finding = find(
        title=name, owner=Process(7, name, name, name, name), evidence=(Evidence(name, name),) * 100
    )
    assert len(datagram(Notice(finding, 1, ONE_FLOW, NOON))) < 1 << 15


def test_one_that_goes_away_is_counted_and_one_that_comes_is_found(
    path: str, find: Find, clocks: Clocks
) -> None:
    said: list[str] = []
    first = bound(path)
    teller = Teller([Journal(path)], 1, said.append, lambda: clocks.since_boot)
    teller.start()
    teller.add(find(cause_id="a"))
    assert dict(fields(first.recv(1 << 16)))["CAUSE"] == "a"
    first.close()
    for name in ("b", "c"):
        teller.add(find(cause_id=name))
    wait_for(lambda: teller.undelivered() == {"journal": 2})
    teller.tick()
    Path(path).unlink()
    with bound(path) as second:
        teller.add(find(cause_id="d"))
        assert dict(fields(second.recv(1 << 16)))["CAUSE"] == "d"
        wait_for(lambda: len(said_after(teller, said)) == 2)
        teller.end(lambda: False)
    assert said == [
        "the journal: events are not delivered: Connection refused",
        "the journal: events are delivered again",
        "the journal: 2 events could not be delivered",
    ]


def said_after(teller: Teller, said: list[str]) -> list[str]:
    teller.tick()
    return said


def wait_for(what: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_one_that_does_not_read_holds_nobody_up(
    journald: socket.socket, path: str, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_ROOM_SECONDS", 0.1)
    delivered = Journal(path).deliver([Notice(find(), 1, ONE_FLOW, NOON)] * 5000, 9)
    assert 0 < delivered.refused < 5000
    assert delivered.why == "Connection timed out"
    for _ in range(5000 - delivered.refused):
        assert journald.recv(1 << 16)


def test_a_storm_beside_three_single_ones(journald: socket.socket, path: str, find: Find) -> None:
    teller = Teller([Journal(path)], 1, print)
    teller.start()
    for number in range(5000):
        teller.add(find(cause_id="storm"))
        if number in (1, 2000, 4999):
            teller.add(find(cause_id=f"single-{number}"))
    teller.end(lambda: False)
    told = [dict(fields(journald.recv(1 << 16))) for _ in range(5)]
    assert {one["CAUSE"] for one in told} == {"storm", "single-1", "single-2000", "single-4999"}
    assert sum(int(one["COUNT"]) for one in told) == 5003


def test_without_journald_it_says_so(
    path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CannotRunHere, match=f"there is no journald at {path}: No such file or directory"):
        Journal(path)
    bound(path).close()
    with pytest.raises(CannotRunHere, match="Connection refused"):
        Journal(path)
    monkeypatch.setattr(journal, "SOCKET", path)
    assert main(["watch", "--journal"]) == 3
    assert capsys.readouterr().err.count("\n") == 2
