"""A window of the store as a recording, a page, and one side of a comparison: with the numbers of `whydrop last`."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

import dropwatch
from dropwatch.cli.main import main
from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Finding, Process
from dropwatch.recording.members import opening, pack, read_items
from dropwatch.watch import sorts
from dropwatch.watch.store import Store
from tests.unit.watch.clocks import NOON, Clocks

Find = Callable[..., Finding]
Open = Callable[..., Store]
Run = Callable[..., tuple[int, str, str]]
RULE = NftRule(family="inet", table="filter", chain="input", text="udp dport 5000 drop", handle=7)
HOUR = "2026-11-20 21:00..22:00"
NEXT = "2026-11-20 22:00..23:00"
AT_NOON = ("--since", "2026-11-20T21:00:00Z", "--until", "2026-11-20T22:00:00Z")


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, standard output and standard error of a command line."""

    def build(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return (code, *capsys.readouterr())

    return build


@pytest.fixture
def kept(open_store: Open, find: Find, clocks: Clocks) -> Store:
    """Two hours: a rule in both, after a reload in the second, a socket in the first, an SA in the second."""
    store = open_store()
    store.add(find(NOON + 30, count=40, cause_id="netfilter.nft-rule", title="a rule", culprit=RULE))
    store.add(find(NOON + 90, 53, count=5, cause_id="socket.full", owner=Process(812, "named")))
    clocks.step(3600)
    again = replace(RULE, handle=9)
    store.add(find(NOON + 3700, count=42, cause_id="netfilter.nft-rule", title="a rule", culprit=again))
    store.add(find(NOON + 4000, 4500, count=3))
    clocks.step(3600)
    store.end(0)
    return store


def lines_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in out.splitlines()]


@pytest.mark.usefixtures("kept")
def test_a_recording_shows_what_last_showed(run: Run, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.whydrop"
    for words in ((), ("-v",), ("--json",), ("-c", "1")):
        _, shown, _ = run("last", "--no-color", "--store", path, *AT_NOON, *words, "--write", file)
        code, again, err = run("replay", "--no-color", file, *words)
        assert (code, again.startswith(shown)) == (0, True), err
        assert ("45 dropped packets matched" in " ".join(err.split())) == ("--json" not in words), err
        assert (file.stat().st_mode & 0o777) == 0o600


@pytest.mark.usefixtures("kept")
def test_the_filter_of_last_is_that_of_the_recording(run: Run, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.whydrop"
    run("last", "--store", path, *AT_NOON, "--dport", "53", "--write", file)
    *died, window, end = lines_of(run("replay", "--json", file)[1])
    assert [(one["packets"], one["finding"]["packet"]["dport"]) for one in died] == [(5, 53)]
    assert (window["packets"], end["drops_matched"]) == (5, 5)
    code, out, err = run("replay", file, "--dport", "53")
    assert (code, out, err.count("\n")) == (2, "", 2)


@pytest.mark.usefixtures("kept")
def test_its_findings_one_by_one(run: Run, path: Path, tmp_path: Path) -> None:
    """Also for a program, and for agents, who ask for nothing else."""
    file = tmp_path / "x.whydrop"
    run("last", "--store", path, *AT_NOON, "--write", file)
    *found, end = lines_of(run("replay", "--json", "--findings", file)[1])
    assert [(one["cause"]["id"], one["count"]) for one in found] == [
        ("netfilter.nft-rule", 40),
        ("socket.full", 5),
    ]
    assert end["drops_matched"] == 45
    with dropwatch.replay(file) as findings:
        assert [finding.count for finding in findings] == [40, 5]


@pytest.mark.usefixtures("kept")
def test_a_copy_of_a_recording_with_other_addresses(run: Run, path: Path, tmp_path: Path) -> None:
    file, copy = tmp_path / "x.whydrop", tmp_path / "y.whydrop"
    run("last", "--store", path, *AT_NOON, "--write", file)
    assert run("replay", file, "--write", copy, "--anonymize")[0] == 0
    _, out, _ = run("replay", copy)
    assert "45 dropped packets" in out
    assert "10.9.0.1" in run("replay", file)[1]
    assert "10.9.0.1" not in out


@pytest.mark.usefixtures("kept")
def test_a_capture_and_a_page(run: Run, path: Path, tmp_path: Path) -> None:
    capture, page = tmp_path / "x.pcapng", tmp_path / "x.html"
    for file in (capture, page):
        assert run("last", "--store", path, *AT_NOON, "--write", file)[0] == 0
    assert capture.read_bytes().count(b"netfilter.nft-rule") >= 1
    assert "udp dport 5000 drop" in page.read_text()


@pytest.mark.usefixtures("kept")
def test_a_report_of_a_window(run: Run, path: Path, tmp_path: Path) -> None:
    code, out, err = run("report", HOUR, "--store", path)
    assert (code, out, err) == (0, "", "whydrop: last.html: 45 dropped packets of 2 sorts\n"), err
    page = (tmp_path / "last.html").read_text()
    assert "udp dport 5000 drop" in page
    assert "socket.full" in page
    assert "ipsec.auth-failed" not in page.partition("<script")[0]
    assert "Linux" not in page.partition("<dl")[2].partition("</dl>")[0]  # the store does not know
    code, out, _ = run("report", HOUR, "--store", path, "--dport", "53", "-o", "-")
    assert (code, "socket.full" in out, "nft-rule" in out) == (0, True, False)


@pytest.mark.usefixtures("kept")
def test_two_windows_differ_in_what_is_new(run: Run, path: Path) -> None:
    code, out, err = run("diff", HOUR, NEXT, "--store", path)
    assert (code, err) == (1, "")
    assert (
        out.splitlines()[-1] == "1 new, 1 gone, 0 more, 0 fewer, 1 as before"
    )  # not the rule's other handle
    assert "  NEW    3 packets" in out
    *_, last = lines_of(run("diff", HOUR, NEXT, "--store", path, "--json")[1])
    assert [last[side]["packets"] for side in ("before", "after")] == [45, 45]
    code, out, _ = run("diff", HOUR, NEXT, "--store", path, "--cause", "netfilter.*")
    assert (code, out.splitlines()[-1]) == (0, "0 new, 0 gone, 0 more, 0 fewer, 1 as before")


@pytest.mark.usefixtures("kept")
def test_a_recording_of_a_window_and_a_window(run: Run, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.whydrop"
    run("last", "--store", path, *AT_NOON, "--write", file)
    code, out, _ = run("diff", file, HOUR, "--store", path)
    assert (code, out.splitlines()[-1]) == (0, "0 new, 0 gone, 0 more, 0 fewer, 2 as before")


def test_windows_that_end_where_the_next_begins_have_no_minute_in_common(
    open_store: Open, find: Find, clocks: Clocks, run: Run, path: Path
) -> None:
    """`0..1h` ends now, in the middle of a minute."""
    now = time.time()
    clocks.wall = now - 7200
    store = open_store()
    for minutes in range(1, 120):
        store.add(find(now - 60 * minutes, count=10))
    clocks.step(7200)
    store.end(0)
    *_, last = lines_of(run("diff", "1h..2h", "0..1h", "--store", path, "--json")[1])
    packets = [last[side]["packets"] for side in ("before", "after")]
    assert sum(packets) in (1190, 1180)  # the first minute may be that of the second before
    assert max(packets) <= 600


def test_of_more_flows_than_are_told_apart(
    open_store: Open, find: Find, clocks: Clocks, run: Run, path: Path
) -> None:
    store = open_store()
    for number in range(sorts.MOST_FLOWS + 7):
        store.add(find(saddr=IPv4Address(0x0B000000 + number)))
    clocks.step(1800)
    store.end(0)
    code, out, _ = run("report", HOUR, "--store", path, "-o", "-")
    assert (code, "of more flows than the recorder tells apart" in out) == (0, True)
    *changes, last = lines_of(run("diff", HOUR, HOUR, "--store", path, "--json")[1])
    assert (last["same"], sum(one["after"]["packets"] for one in changes)) == (
        sorts.MOST_FLOWS + 1,
        sorts.MOST_FLOWS + 7,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("report", "25:00"),
        ("report", "1h", "udp port 53"),
        ("report", "1h", "--mark", "1"),
        ("report", "x.whydrop", "--store", "y.sqlite"),
        ("report", "1h", "--store", "missing.sqlite"),
        ("diff", "1h..2h", "0..25:00"),
        ("diff", "1h..2h", "no.whydrop"),
        ("diff", "1h..2h", "0..1h", "--store", "missing.sqlite"),
        ("last", "1h", "--anonymize"),
    ],
)
@pytest.mark.usefixtures("kept")
def test_what_cannot_be_is_told_in_two_lines(words: tuple[str, ...], run: Run, path: Path) -> None:
    store = () if "--store" in words else ("--store", path)
    code, out, err = run(*words, *store)
    assert (code, out, err.count("\n")) == (2, "", 2), err


@pytest.mark.usefixtures("kept")
def test_the_store_is_not_replaced(run: Run, path: Path) -> None:
    before = path.read_bytes()
    assert run("last", "--store", path, *AT_NOON, "--write", path)[0] == 2
    assert path.read_bytes() == before


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    "change", [{"since": -1.0}, {"until": 1e300}, {"since": 2e9, "until": 1e9}, {"watched": 7}]
)
def test_a_window_that_cannot_be(change: dict[str, Any], run: Run, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.whydrop"
    run("last", "--store", path, *AT_NOON, "--write", file)
    items = [one | (change if one["item"] == "window" else {}) for one in read_items(file)]
    file.write_bytes(opening("0.2.0") + b"".join(pack(items)))
    code, _, err = run("replay", file)
    assert (code, "damaged" in err) == (1, True), err


@pytest.mark.usefixtures("kept")
def test_a_window_of_a_thousand_years_takes_no_memory(run: Run, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.whydrop"
    run("last", "--store", path, *AT_NOON, "--write", file)
    items = [
        one | ({"since": 0.0, "until": 3e10} if one["item"] == "window" else {}) for one in read_items(file)
    ]
    file.write_bytes(opening("0.2.0") + b"".join(pack(items)))
    begun = time.monotonic()
    assert run("replay", file)[0] == 0
    assert time.monotonic() - begun < 5
