"""Recordings of real kernels through everything behind the probes: the same judgement as on the day they were made.

Each NAME.whydrop has the lines that the run printed beside it, NAME.json.gz; `make recordings` makes those of the
scenarios anew. Words may become better with time; what was blamed, how surely, and where, must not change unnoticed.
"""

import contextlib
import gzip
import io
import json
import re
import subprocess
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

import json_lines
import pytest

from dropwatch.cli.main import main

HERE = Path(__file__).parent / "recordings"
RECORDINGS = sorted(HERE.glob("*.whydrop"))
SMALL = [
    path for path in RECORDINGS if "scenarios" not in path.name
]  # those that are read in a second or two
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

Line = dict[str, Any]


class Replayed:
    """A recording, and what is shown of it as JSON. Replaying takes seconds: what several tests want is done once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def lines(self) -> list[Line]:
        """As the run showed them; the last one has the totals."""
        return lines_of(replay(self.path, "--json"))

    @cached_property
    def gathers(self) -> bool:
        """It is of a summary or of a trace."""
        return any(line["type"] != "drop" for line in self.lines[:-1])

    @cached_property
    def drops(self) -> list[Line]:
        lines = lines_of(replay(self.path, "--findings", "--json")) if self.gathers else self.lines
        return lines[:-1]


@pytest.fixture(scope="module", params=RECORDINGS, ids=lambda path: path.stem)
def recording(request: pytest.FixtureRequest) -> Replayed:
    return Replayed(request.param)


def replay(path: Path, *words: str) -> str:
    return whydrop("replay", str(path), *words)


def whydrop(*words: str) -> str:
    with (
        contextlib.redirect_stdout(io.StringIO()) as shown,
        contextlib.redirect_stderr(io.StringIO()) as said,
    ):
        code = main(words)
    assert code == 0, said.getvalue()
    return shown.getvalue()


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


def test_the_findings_are_those_of_the_run(recording: Replayed) -> None:
    *found, end = recording.lines
    *told, told_end = told_by(recording.path)
    assert [judged(line) for line in found] == [judged(line) for line in told]
    # A judge of today may ask what nobody asked then: that is said, and is no other finding.
    spots = [spot for spot in end["blind_spots"] if not spot.startswith("the recording lacks answers")]
    assert {**end, "blind_spots": spots} == told_end


def test_as_text_and_as_a_capture(recording: Replayed, tmp_path: Path) -> None:
    capture = tmp_path / "x.pcapng"
    text = replay(recording.path, "--findings", "--stack", "--write", str(capture))
    assert recording.drops
    for cause in {line["cause"]["id"] for line in recording.drops}:
        assert f"[{cause}" in text
    # What waits for others of its kind is written at once, each packet, and told later, once.
    heads = {f"whydrop: {line['cause']['title']} [{line['cause']['id']}" for line in recording.drops}
    found = comments(capture)
    assert len(found) >= len(recording.drops)
    for comment in found:
        assert comment.startswith(tuple(heads)), comment
    assert all(any(comment.startswith(head) for comment in found) for head in heads)
    assert not recording.gathers or replay(recording.path)


def test_a_page_has_every_packet_of_every_cause(recording: Replayed) -> None:
    page = whydrop("report", str(recording.path), "-o", "-")
    details = re.search(r'id="details">(.*?)</script>', page, re.S)
    assert details is not None
    sorts = json.loads(details.group(1))["sorts"]
    for line in sorts:
        json_lines.check(line)
    packets = re.findall(r'<span class="packets">([\d,]+) ×', page)
    on_page: Counter[str] = Counter()
    for line, number in zip(sorts, packets, strict=True):
        on_page[line["cause"]["id"]] += int(number.replace(",", ""))
    told: Counter[str] = Counter()
    for line in recording.lines[-2]["rows"] if recording.lines[0]["type"] == "summary" else recording.drops:
        told[line["cause"]["id"]] += line.get("packets") or line["count"]
    assert on_page == told
    assert on_page.total() == recording.lines[-1]["drops_matched"]
    assert len(sorts) <= len(recording.drops)


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_it_differs_in_nothing_from_itself(path: Path) -> None:
    *changes, last = lines_of(whydrop("diff", str(path), str(path), "--json"))
    assert {change["what"] for change in changes} == {"same"}
    assert last["same"] == len(changes) > 0


def test_with_other_addresses_it_says_the_same(recording: Replayed, tmp_path: Path) -> None:
    """Also of what was held back as harmless, where the recording is of drops one by one."""
    other = tmp_path / "other.whydrop"
    words = ("--write", str(other), "--anonymize", "--json")
    if recording.gathers:
        shown, drops = lines_of(replay(recording.path, *words)), recording.drops
        assert len(lines_of(replay(other, "--json"))) == len(shown)
    else:
        drops = lines_of(replay(recording.path, *words, "--all"))[:-1]
    found = lines_of(replay(other, "--findings", "--json"))[:-1]
    for lines in (found, drops):
        lines.sort(key=lambda line: line["monotonic_ns"])  # some wait for others of their kind
    assert [line["cause"]["id"] for line in found] == [line["cause"]["id"] for line in drops]
    assert [line["where"] for line in found] == [line["where"] for line in drops]
    kinds = [[line["object"] and line["object"]["kind"] for line in lines] for lines in (found, drops)]
    assert kinds[0] == kinds[1]
