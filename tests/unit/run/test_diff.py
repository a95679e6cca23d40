"""`whydrop diff`: recordings of real kernels against one another, in text and JSON, with its exit codes."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dropwatch.cli.main import main
from dropwatch.recording.members import opening, pack, read_items
from dropwatch.run import diff as module

RECORDINGS = Path(__file__).parents[2] / "replay" / "recordings"
MIXED, OLDER, SUMMARY = (
    RECORDINGS / f"linux-{name}.whydrop" for name in ("6.12-mixed", "6.1-mixed", "6.12-summary")
)
Diff = Callable[..., tuple[int, str, str]]
Cut = Callable[..., Path]


@pytest.fixture
def diff(capsys: pytest.CaptureFixture[str]) -> Diff:
    """Exit code, standard output and standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        code = main(["diff", *map(str, words)])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cut:
    """A recording of what these words leave of another."""

    def build(name: str, recording: Path, *words: str) -> Path:
        assert main(["replay", str(recording), "--write", str(tmp_path / name), *words]) == 0
        capsys.readouterr()
        return tmp_path / name

    return build


@pytest.fixture
def altered(tmp_path: Path) -> Cut:
    """A copy of a recording whose last item has these values."""

    def build(name: str, recording: Path, **end: Any) -> Path:
        *items, last = read_items(recording)
        data = opening("0.2.0") + b"".join(pack([*items, {**last, **end}]))
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return build


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_the_same_scenario_on_two_kernels_has_nothing_new(diff: Diff) -> None:
    """Functions have other names and places, rules other handles, namespaces other inodes."""
    code, out, err = diff(OLDER, MIXED)
    assert code == 0
    assert out.splitlines()[-1] == "0 new, 0 gone, 0 more, 0 fewer, 8 as before"
    assert "the kernels differ" in err
    assert "how long A and B watched is not known" in err


def test_what_is_new_ends_with_1_and_what_is_gone_does_not(diff: Diff, cut: Cut) -> None:
    part = cut("part.whydrop", MIXED, "--cause", "!netfilter.nft-rule")
    code, out, _ = diff(part, MIXED)
    assert code == 1
    assert out.splitlines()[-1] == "2 new, 0 gone, 0 more, 0 fewer, 6 as before"
    assert out.count("  NEW    3 packets\n") == 2
    assert "nftables rule in inet fw refused, handle 3: udp dport 5001 counter drop" in out
    assert "udp 10.9.24.1:35916 > 10.9.24.2:5001  in vb, netns b24" in out
    code, out, _ = diff(MIXED, part)
    assert code == 0
    assert out.count("  GONE   3 packets\n") == 2


def test_numbers_are_compared_by_time_where_it_is_known(diff: Diff, altered: Cut) -> None:
    before = altered("a.whydrop", MIXED, seconds=10.0)
    after = altered("b.whydrop", MIXED, seconds=100.0)
    code, out, err = diff(before, after, "--proto", "esp")
    assert code == 0
    assert "  FEWER  3 packets (0.3/s) before, 3 (0.03/s) after\n" in out.replace(
        "3 (0.3/s)", "3 packets (0.3/s)"
    )
    assert "A and B did not watch equally long" in err
    *changes, last = lines(diff(before, after, "--proto", "esp", "--json")[1])
    assert [change["what"] for change in changes] == ["fewer", "fewer"]
    assert changes[0]["before"]["per_second"] == 0.3
    assert (last["type"], last["fewer"], last["after"]["seconds"]) == ("difference", 2, 100.0)


def test_numbers_are_at_least_so_many_where_events_were_lost(diff: Diff, altered: Cut) -> None:
    lossy = altered("a.whydrop", MIXED, lost={"ring buffer full": 7})
    code, out, err = diff(lossy, MIXED, "--json")
    changes = lines(out)[:-1]
    assert code == 0
    assert {(change["before"]["exact"], change["after"]["exact"]) for change in changes} == {(False, True)}
    assert "A lost 7 events: its numbers are at least so many" in lines(out)[-1]["notes"][1]
    assert err == "", "it is in the JSON"
    assert "GONE   at least 3 packets" in diff(lossy, SUMMARY.with_name("linux-6.12-trace.whydrop"))[1]


def test_json_has_every_sort_and_a_filter_takes_from_both(diff: Diff) -> None:
    *changes, last = lines(diff(MIXED, OLDER, "--json", "--cause", "ipsec.*")[1])
    assert {change["what"] for change in changes} == {"same"}
    assert {change["finding"]["cause"]["id"] for change in changes} == {"ipsec.auth-failed", "ipsec.no-state"}
    assert all(change["finding"]["object"]["kind"] == "xfrm-state" for change in changes)
    assert (last["before"]["packets"], last["before"]["sorts"], last["same"]) == (5, 2, 2)
    assert last["before"]["file"] == MIXED.name


def test_summaries_are_compared_by_row(diff: Diff) -> None:
    code, out, _ = diff(SUMMARY, SUMMARY)
    assert code == 0
    assert out.splitlines()[-1] == "0 new, 0 gone, 0 more, 0 fewer, 6 as before"
    assert "55,038 dropped packets of 6 sorts" in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((MIXED,), "missing argument"),
        ((MIXED, "/nowhere.whydrop"), "there is no file"),
        ((MIXED, __file__), "is no recording"),
        ((MIXED, SUMMARY), "do not count the same sorts"),
        ((SUMMARY, SUMMARY, "--dport", "7000"), "a filter takes nothing out of what it showed"),
        ((MIXED, OLDER, "--dport", "x"), "--dport"),
        ((MIXED, OLDER, "--stack"), "no option --stack"),
    ],
)
def test_what_cannot_be_compared_ends_with_2(words: tuple[object, ...], why: str, diff: Diff) -> None:
    code, out, err = diff(*words)
    assert (code, out) == (2, "")
    assert why in err
    assert err.count("\n") == 2


def test_neither_can_a_damaged_one_nor_one_with_other_addresses(diff: Diff, cut: Cut, tmp_path: Path) -> None:
    damaged = Path(shutil.copy(MIXED, tmp_path / "d.whydrop"))
    damaged.write_bytes(damaged.read_bytes()[:-300])
    code, out, err = diff(MIXED, damaged)
    assert (code, out) == (2, "")
    assert "it cannot be compared" in err
    other = cut("o.whydrop", MIXED, "--anonymize")
    code, _, err = diff(other, MIXED)
    assert code == 2
    assert "has other addresses than its host" in err


def test_cut_short_it_says_neither(diff: Diff, monkeypatch: pytest.MonkeyPatch) -> None:
    read = module.compared

    def interrupted(*words: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return read(*words)

    monkeypatch.setattr(module, "compared", interrupted)
    assert diff(MIXED, OLDER)[:2] == (130, "")


@pytest.mark.parametrize("width", [60, 80, 132])
def test_no_line_is_broken(width: int, diff: Diff, cut: Cut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    part = cut("part.whydrop", MIXED, "--cause", "!netfilter.*")
    _, out, err = diff(part, MIXED)
    assert max(map(len, (out + err).splitlines())) <= width
    assert "\x1b" not in out
