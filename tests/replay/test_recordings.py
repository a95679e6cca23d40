"""Recordings of real kernels through everything behind the probes: the same judgement as on the day they were made.

Each NAME.whydrop has the lines that the run printed beside it, NAME.json.gz; `make recordings` makes those of the
scenarios anew. Words may become better with time; what was blamed, how surely, and where, must not change unnoticed.
"""

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import json_lines
import pytest

from dropwatch.cli.main import main

HERE = Path(__file__).parent / "recordings"
RECORDINGS = sorted(HERE.glob("*.whydrop"))
FACTS = (
    "monotonic_ns",
    "time",
    "match",
    "packet",
    "iface",
    "netns",
    "where",
    "source",
    "reason",
    "stack",
    "process",
)

recordings = pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)

Line = dict[str, Any]


def replay(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["replay", *words]) == 0
    return capsys.readouterr().out


def told_by(path: Path) -> list[Line]:
    with gzip.open(path.with_suffix(".json.gz"), "rt") as lines:
        told = lines_of(lines.read())
    for line in told:
        json_lines.check(line)
    return told


def lines_of(text: str) -> list[Line]:
    return [json.loads(line) for line in text.splitlines()]


def judged(line: Line) -> Line | tuple[Any, ...]:
    """What is said of a drop, without the words: titles and advice may change. All else is not judged again."""
    if line["type"] != "drop":
        return line
    return (
        *(line[fact] for fact in FACTS),
        line["cause"]["id"],
        line["cause"]["confidence"],
        line["object"],
        [evidence["source"] for evidence in line["evidence"]],
    )


def comments(capture: Path) -> list[str]:
    """The comment of each packet, as tshark reads it, which finds nothing to complain of."""
    command = ["tshark", "-n", "-r", str(capture), "-T", "fields", "-e", "frame.comment"]
    read = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line for line in read.stderr.splitlines() if 'as user "root"' not in line] == []
    return read.stdout.splitlines()


def test_there_are_some() -> None:
    assert RECORDINGS


@recordings
def test_the_findings_are_those_of_the_run(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    *found, end = lines_of(replay(capsys, str(path), "--json"))
    *told, told_end = told_by(path)
    assert [judged(line) for line in found] == [judged(line) for line in told]
    # A judge of today may ask what nobody asked then: that is said, and is no other finding.
    end["blind_spots"] = [
        spot for spot in end["blind_spots"] if not spot.startswith("the recording has no answer")
    ]
    assert end == told_end


@recordings
def test_every_way_of_showing_them(path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told = lines_of(replay(capsys, str(path), "--findings", "--json"))[:-1]
    assert told
    assert replay(capsys, str(path))
    text = replay(capsys, str(path), "--findings", "--stack", "--all")
    for cause in {line["cause"]["id"] for line in told}:
        assert f"[{cause}" in text
    capture = tmp_path / "x.pcapng"
    replay(capsys, str(path), "--findings", "--write", str(capture))
    for comment, line in zip(comments(capture), told, strict=True):
        assert comment.startswith(f"whydrop: {line['cause']['title']} [{line['cause']['id']}"), comment


@recordings
def test_with_other_addresses_it_says_the_same(
    path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "other.whydrop"
    replay(capsys, str(path), "--write", str(other), "--anonymize")
    assert len(lines_of(replay(capsys, str(other), "--json"))) == len(told_by(path))
    *found, _ = lines_of(replay(capsys, str(other), "--findings", "--json"))
    *told, _ = lines_of(replay(capsys, str(path), "--findings", "--json"))
    assert [line["cause"]["id"] for line in found] == [line["cause"]["id"] for line in told]
    assert [line["where"] for line in found] == [line["where"] for line in told]
    kinds = [[line["object"] and line["object"]["kind"] for line in lines] for lines in (found, told)]
    assert kinds[0] == kinds[1]
