"""`whydrop last`: what a store says of a window, in text and JSON; what is no store, in two lines."""

import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from dropwatch.cli.main import main
from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Finding, Process
from dropwatch.render.lines.schema import schema
from dropwatch.watch import sorts
from dropwatch.watch.store import Store
from tests.unit.watch.clocks import NOON, Clocks

Find = Callable[..., Finding]
Open = Callable[..., Store]
Last = Callable[..., tuple[int, str, str]]
RULE = NftRule(family="inet", table="filter", chain="input", text="udp dport 5000 drop", handle=7)
DAY = ("--since", "2026-11-20T21:00:00Z", "--until", "2026-11-20T21:30:00Z")


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def last(path: Path, capsys: pytest.CaptureFixture[str]) -> Last:
    """Exit code, standard output and standard error, of half an hour from noon on unless told otherwise."""

    def run(*words: str) -> tuple[int, str, str]:
        window = () if any(word in ("--since", "--until") for word in words) else DAY
        code = main(["last", "--store", str(path), *window, *words])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def kept(open_store: Open, find: Find, clocks: Clocks) -> Store:
    """Three things in half an hour that was watched: a rule with two flows, a socket, an SA."""
    store = open_store()
    store.add(find(NOON + 30, count=40, cause_id="netfilter.nft-rule", title="a rule", culprit=RULE))
    store.add(find(NOON + 700, 6000, count=2, cause_id="netfilter.nft-rule", title="a rule", culprit=RULE))
    store.add(
        find(NOON + 90, 53, count=5, cause_id="socket.full", owner=Process(812, "named", "named.service"))
    )
    store.add(find(NOON + 1700, 4500))
    clocks.step(1800)
    store.end(0)
    return store


def lines_of(out: str) -> list[dict[str, Any]]:
    lines = [json.loads(text) for text in out.splitlines()]
    for one in lines:
        Draft202012Validator(schema(strict=True)).validate(one)
    return lines


@pytest.mark.usefixtures("kept")
def test_text(last: Last) -> None:
    code, out, err = last("--no-color")
    assert (code, err) == (0, "")
    head, rule, socket, state = out.rstrip("\n").split("\n\n")
    assert head == "2026-11-20 21:00:00 to 2026-11-20 21:30:00 on router: 48 dropped packets"
    assert rule.splitlines()[0] == "42 packets, 21:00:30 to 21:11:40"
    assert "|█          ▁                  |" in rule
    assert "inet filter input, handle 7: udp dport 5000 drop" in rule
    assert "and 1 more" in rule
    assert "of named (pid 812), unit named.service" in socket
    assert state.splitlines()[0] == "1 packet, 21:28:20"


@pytest.mark.usefixtures("kept")
def test_json(last: Last) -> None:
    code, out, _ = last("--json")
    assert code == 0
    *died, window = lines_of(out)
    assert [(one["finding"]["cause"]["id"], one["packets"], one["flows"]) for one in died] == [
        ("netfilter.nft-rule", 42, 2),
        ("socket.full", 5, 1),
        ("ipsec.auth-failed", 1, 1),
    ]
    assert died[0]["minutes"] == [
        {"time": "2026-11-20T21:00:00.000000Z", "packets": 40},
        {"time": "2026-11-20T21:11:00.000000Z", "packets": 2},
    ]
    assert died[0]["finding"]["object"]["handle"] == 7
    assert (window["packets"], window["seconds"], window["events_lost"], window["killed"]) == (
        48,
        1800,
        0,
        False,
    )


@pytest.mark.usefixtures("kept")
def test_in_full(last: Last) -> None:
    _, out, _ = last("-v", "--cause", "ipsec.auth-failed")
    assert "1 packet, 21:28:20" in out
    assert re.search(r"^ +21:28:20\.000000 ", out, re.M), out
    assert "xfrm_input" in out


@pytest.mark.parametrize(
    ("words", "packets"),
    [
        (("--dport", "5000"), 40),
        (("--port", "6000,53"), 7),
        (("--sport", "40000"), 0),
        (("--host", "10.9.0.1"), 48),
        (("--host", "!10.9.0.1"), 0),
        (("--comm", "named"), 5),
        (("--unit", "!named.service"), 43),
        (("--netns", "b"), 48),
        (("--netns", "c"), 0),
        (("--iface", "vb"), 48),
        (("--cause", "!netfilter.*"), 6),
        (("-6",), 0),
    ],
)
@pytest.mark.usefixtures("kept")
def test_filters(words: tuple[str, ...], packets: int, last: Last) -> None:
    _, out, _ = last("--json", *words)
    assert lines_of(out)[-1]["packets"] == packets


@pytest.mark.parametrize(
    "words", [("--mark", "1"), ("--reason", "NO_SOCKET"), ("--pid", "812"), ("--netns", "4026532234")]
)
@pytest.mark.usefixtures("kept")
def test_what_a_sort_does_not_know(words: tuple[str, ...], last: Last) -> None:
    code, out, err = last(*words)
    assert (code, out, err.count("\n")) == (2, "", 2)
    assert words[0] in err


@pytest.mark.usefixtures("kept")
def test_another_window(last: Last) -> None:
    _, out, _ = last("--json", "--since", "2026-11-20T21:11:30Z", "--until", "2026-11-20T21:12:00Z")
    *died, window = lines_of(out)
    assert [one["packets"] for one in died] == [2]
    assert window["since"] == "2026-11-20T21:11:00.000000Z"


@pytest.mark.usefixtures("kept")
def test_nothing_died_and_nobody_watched(last: Last) -> None:
    code, out, err = last("--since", "2026-11-20T10:00:00Z", "--until", "2026-11-20T11:00:00Z")
    assert (code, out) == (
        0,
        "2026-11-20 10:00:00 to 2026-11-20 11:00:00: no dropped packet that fits was seen\n",
    )
    assert err.startswith("whydrop: nobody watched in this time")


def test_one_that_was_killed(open_store: Open, find: Find, clocks: Clocks, last: Last) -> None:
    store = open_store()
    store.add(find(count=3))
    clocks.step(60)
    store.flush()
    clocks.step(600)
    open_store().end(0)
    code, out, err = last("--no-color")
    assert (code, "3 packets" in out) == (0, True)
    assert "watched for 1 min 0 s of 30 min 0 s only:" in " ".join(err.split())
    assert "was killed" in err


def test_a_storm_is_told_as_what_it_is(open_store: Open, find: Find, clocks: Clocks, last: Last) -> None:
    store = open_store()
    for number in range(sorts.MOST_FLOWS + 7):
        store.add(find(saddr=IPv4Address(0x0B000000 + number)))
    clocks.step(1800)
    store.end(0)
    _, out, _ = last("--json")
    *died, window = lines_of(out)
    assert window["packets"] == sorts.MOST_FLOWS + 7
    assert [(one["packets"], one["flows"]) for one in died if one["packets"] > 1] == [(7, None)]
    _, out, err = last("--saddr", "11.0.0.0/8")
    assert f"{sorts.MOST_FLOWS} dropped packets" in out
    assert "7 packets more may fit or not" in err


def test_while_it_is_written_to(open_store: Open, find: Find, last: Last) -> None:
    store = open_store()
    store.add(find(count=3))
    store.flush()
    assert lines_of(last("--json")[1])[-1]["packets"] == 3


@pytest.mark.usefixtures("kept")
def test_a_copy_that_nobody_may_write_beside(path: Path, last: Last) -> None:
    path.chmod(0o440)
    path.parent.chmod(0o550)
    assert last()[0] == 0


def test_there_is_none(last: Last, path: Path) -> None:
    code, out, err = last()
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"whydrop: error: there is no store {path}",
        "hint: whydrop watch makes a store; --store FILE reads another",
    ]


@pytest.mark.parametrize("content", [b"", b"hello" * 1000, b"SQLite format 3\0" + b"\xa5" * 8000])
def test_what_is_no_store(content: bytes, last: Last, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    code, out, err = last()
    assert (code in (1, 2), out, err.count("\n")) == (True, "", 2), err


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE minute SET packets = 'many'",
        "UPDATE minute SET first = 1e300",
        "UPDATE finding SET body = x'00ff'",
        "UPDATE finding SET body = 'text'",
        "DELETE FROM finding",
        "UPDATE run SET began = 'noon'",
        "DROP TABLE minute",
    ],
)
def test_nothing_in_it_is_believed(change: str, last: Last, path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(change)
        database.commit()
    code, out, err = last()
    assert (code, out, err.count("\n")) == (1, "", 2), err
    assert "damaged" in err


@pytest.mark.usefixtures("kept")
def test_a_newer_one(last: Last, path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    code, _, err = last()
    assert (code, err.count("\n")) == (1, 2)
    assert "newer whydrop" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can do what others may not")
def test_who_may_not_read_it(last: Last, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    code, _, err = last()
    assert (code, err.count("\n")) == (3, 2)


@pytest.mark.parametrize("words", [("watch", "--size", "1M"), ("watch", "--keep", "long"), ("last", "soon")])
def test_words_that_cannot_be_meant(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_names_are_data(open_store: Open, find: Find, clocks: Clocks, last: Last) -> None:
    store = open_store()
    store.add(find(owner=Process(1, "\x1b[31m\nred", "\u202eunit")))
    clocks.step(1800)
    store.end(0)
    for words in ((), ("-v",), ("--json",)):
        out = last(*words)[1]
        assert not {"\x1b", "\u202e"} & set(out)


@pytest.mark.parametrize(("minutes", "columns"), [(5, 5), (30, 30), (31, 16), (61, 21)])
@pytest.mark.usefixtures("kept")
def test_the_bars_are_the_whole_window(minutes: int, columns: int, last: Last) -> None:
    until = f"2026-11-20T{21 + minutes // 60}:{minutes % 60:02}:00Z"
    _, out, _ = last("--since", DAY[1], "--until", until)
    (bars, *_) = [line.strip() for line in out.splitlines() if line.strip().startswith("|")]
    assert len(bars) == columns + 2
    assert bars[1] != " "
