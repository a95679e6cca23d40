"""`whydrop report`, and `--write x.html` of a replay: where the page goes, what it holds, what is refused."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dropwatch.cli.main import main
from dropwatch.model.drop import Finding
from dropwatch.run.folded import FoldingListener

RECORDINGS = Path(__file__).parents[2] / "replay" / "recordings"
MIXED, SUMMARY, TRACE = (RECORDINGS / f"linux-6.12-{name}.whydrop" for name in ("mixed", "summary", "trace"))
Report = Callable[..., tuple[int, str, str]]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Exit code, standard output and standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        code = main(["report", *map(str, words)])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return Path(shutil.copy(MIXED, tmp_path / "x.whydrop"))


def details(page: str) -> list[dict[str, Any]]:
    found = re.search(r'id="details">(.*?)</script>', page, re.S)
    assert found is not None
    sorts: list[dict[str, Any]] = json.loads(found.group(1))["sorts"]
    return sorts


def numbers(page: str) -> dict[str, int]:
    rows = re.findall(r'<th scope="row">([^<]*)</th><td class="number">([\d,]+)</td>', page)
    return {name: int(number.replace(",", "")) for name, number in rows}


def test_the_page_is_beside_the_recording(report: Report, recording: Path) -> None:
    code, out, err = report(recording)
    page = recording.with_suffix(".html")
    assert (code, out) == (0, "")
    assert err == f"whydrop: {page}: 19 dropped packets of 8 sorts\n"
    text = page.read_text()
    assert {line["cause"]["id"] for line in details(text)} >= {"ipsec.auth-failed", "netfilter.nft-rule"}
    found = numbers(text)
    assert found["seen in all"] == found["on this page"] + found["harmless, left out"] == 20
    packets = [int(count) for count in re.findall(r'<span class="packets">(\d+) ×', text)]
    assert (sum(packets), len(packets)) == (19, 8)
    assert report(recording)[0] == 0, "a page of whydrop is replaced"


def test_it_goes_where_it_is_told_to(report: Report, recording: Path, tmp_path: Path) -> None:
    assert report(recording, "-o", tmp_path / "other.html")[0] == 0
    assert report(recording, "--output", tmp_path / "third.htm")[0] == 0
    code, out, err = report(recording, "-o", "-")
    assert (code, err) == (0, "")
    for name in ("other.html", "third.htm"):
        page = (tmp_path / name).read_text().split("\n")
        different = [line for line, other in zip(page, out.split("\n"), strict=True) if line != other]
        assert [line for line in different if name not in line] == [], "but for the words of the command line"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.html", "third.htm", "x.whydrop"]


def test_a_filter_takes_from_it_and_says_so(report: Report, recording: Path) -> None:
    _, out, _ = report(recording, "-o", "-", "--proto", "esp", "--cause", "!ipsec.no-state")
    assert {line["cause"]["id"] for line in details(out)} == {"ipsec.auth-failed"}
    assert numbers(out)["on this page"] == 3
    assert f"whydrop report {recording} -o - --proto esp --cause &#39;!ipsec.no-state&#39;" in out


@pytest.mark.parametrize(("path", "packets"), [(SUMMARY, 55038), (TRACE, 238)])
def test_a_summary_and_a_trace_have_one_too(path: Path, packets: int, report: Report) -> None:
    code, out, _ = report(path, "-o", "-")
    assert code == 0
    assert numbers(out)["on this page"] == packets
    assert ("packets followed" in numbers(out)) == (path == TRACE)
    assert len(re.findall(r'<li id="packet-\d+"', out)) == (
        numbers(out)["packets followed"] if path == TRACE else 0
    )


def test_a_packet_that_died_leads_to_why(report: Report) -> None:
    """Without a script: the way is in the page, and the link leads to the sort that it died of."""
    _, out, _ = report(TRACE, "-o", "-")
    (packet,) = re.findall(r'<li id="packet-7".*?</li>', out, re.S)
    assert "nftables ip gate.forward: drop" in packet
    found = re.search(r'href="#(sort-\d+)">why it died', packet)
    assert found is not None
    (sort,) = re.findall(rf'<li id="{found[1]}".*?</li>', out, re.S)
    assert "udp dport 6001 counter drop" in sort


def test_ways_have_other_addresses_as_well(report: Report) -> None:
    _, out, _ = report(TRACE, "-o", "-", "--anonymize")
    assert out.count('<li id="packet-') == 357
    assert "10.78.43." not in out


def test_of_very_many_packets_the_first_are_there(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dropwatch.run.page.MOST_WAYS", 7)
    _, out, _ = report(TRACE, "-o", "-")
    assert out.count('<li id="packet-') == 7
    assert "350 more packets were followed" in out


def test_other_addresses(report: Report) -> None:
    _, out, _ = report(MIXED, "-o", "-", "--anonymize")
    assert "10.9.24." not in out
    assert "replaced by others" in out
    assert report(MIXED, "-o", "-", "--anonymize", "--payload")[0] == 2


def test_write_of_a_replay_is_the_same_page(
    report: Report, replay: Callable[..., tuple[int, str, str]], recording: Path, tmp_path: Path
) -> None:
    code, out, _ = replay(recording, "--write", tmp_path / "y.html", "--json")
    assert code == 0
    assert len(out.splitlines()) == 20
    page = (tmp_path / "y.html").read_text()
    assert len(details(page)) == 8
    assert f"whydrop replay {recording} --write {tmp_path}/y.html --json" in page
    assert (tmp_path / "y.html").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("{x}", "-o", "{d}/y.txt"), "--output {d}/y.txt: the page is HTML"),
        (("{x}", "-o", "{d}/no/y.html"), "--output {d}/no/y.html: there is no directory"),
        (("{x}", "-o", "{d}/diary.html"), "holds something else"),
        (("{d}/none.whydrop",), "there is no file"),
        (("{x}", "--dport", "x"), "--dport"),
        ((), "missing argument"),
    ],
)
def test_what_cannot_be_is_refused(
    words: tuple[str, ...], error: str, report: Report, recording: Path, tmp_path: Path
) -> None:
    (tmp_path / "diary.html").write_text("my diary")
    places = {"x": str(recording), "d": str(tmp_path)}
    code, out, err = report(*(word.format(**places) for word in words))
    assert (code, out) == (2, "")
    assert error.format(**places) in err
    assert err.count("\n") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diary.html", "x.whydrop"]


def test_a_pipe_needs_a_name_for_its_page(report: Report, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    code, _, err = report(tmp_path / "pipe")
    assert code == 2
    assert "the page needs a name" in err


def test_of_a_damaged_recording_there_is_what_can_be_read(report: Report, recording: Path) -> None:
    recording.write_bytes(recording.read_bytes()[:-200])
    code, _, err = report(recording)
    assert code == 1
    assert "is damaged" in err
    text = recording.with_suffix(".html").read_text()
    assert "not known" in text
    assert "what came after the damage" in text


def test_what_others_named_in_a_recording_is_text(report: Report, tmp_path: Path) -> None:
    path = Path(shutil.copy(MIXED, tmp_path / "<script>alert(1)</script>.whydrop".replace("/", "_")))
    _, out, _ = report(path, "-o", "-")
    assert "<script>alert" not in out
    assert "&lt;script&gt;alert" in out


def test_an_interrupt_leaves_the_page_of_what_was_read(
    report: Report, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = FoldingListener.found

    def interrupted(listener: FoldingListener, finding: Finding) -> None:
        found(listener, finding)
        if finding.cause_id == "ipsec.no-state":
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(FoldingListener, "found", interrupted)
    code, _, err = report(recording)
    assert code == 0
    assert "4 dropped packets of 2 sorts" in err
    assert "not known" in recording.with_suffix(".html").read_text()


def test_standard_output_may_have_no_reader(recording: Path) -> None:
    words = ["-c", "import sys; from dropwatch.cli.main import main; sys.exit(main(sys.argv[1:]))", "report"]
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, *words, str(recording), "-o", "-"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (run.returncode, run.stderr) == (0, b"")
