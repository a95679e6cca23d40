"""Traces and summaries of real kernels, as people see them: on one screen, and no wider than it."""

import contextlib
import io
import re
import statistics
from pathlib import Path

import pytest

from dropwatch.cli.main import main
from dropwatch.model.summary import Summary
from dropwatch.recording.recording import Recording
from dropwatch.render.summary.keys import Look
from dropwatch.render.summary.page import SummaryPage

HERE = Path(__file__).parent / "recordings"
TRACES = sorted(HERE.glob("*-trace.whydrop"))
SUMMARIES = sorted(HERE.glob("*-summary.whydrop"))
SCREEN = 24
END = re.compile(r"^  (DROPPED|DELIVERED|SENT|CONSUMED|OPEN)  ", re.MULTILINE)


def shown(path: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        assert main(["replay", str(path)]) == 0
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 132])
@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_packets_way_is_on_one_screen(path: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    journeys = shown(path, width, monkeypatch).split("PACKET ")[1:]
    assert len(journeys) > 300
    ways = []
    for journey in journeys:
        end = END.search(journey)
        assert end is not None, journey
        way = journey[: end.start()].splitlines()
        assert max(map(len, way)) <= width, journey
        ways.append(len(way))
        if end[1] != "DROPPED" and width >= 80:
            assert len(journey.splitlines()) <= SCREEN, journey
    assert max(ways) <= SCREEN
    assert statistics.median(ways) <= 15


def test_what_decided_is_there_and_what_only_passed_it_on_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second packet crosses three namespaces, two translations and a tunnel of IPsec."""
    journey = shown(HERE / "linux-6.12-trace.whydrop", 80, monkeypatch).split("PACKET ")[2]
    flat = " ".join(journey.split())
    for words in (
        "a43 va sent by this host via va",
        "b43 vb arrives",
        "rewritten: now 10.9.43.1:52267 > 10.78.43.2:6000 udp",
        "to be forwarded via vout",
        "rewritten: now 10.78.43.1:52267 > 10.78.43.2:6000 udp",
        "IPsec applied: now 10.78.43.1 > 10.78.43.2 esp SPI 0x00004242",
        "c43 vin arrives",
        "IPsec removed: now 10.78.43.1:52267 > 10.78.43.2:6000 udp",
        "more with -v) DELIVERED python[166] read it",
    ):
        assert words in flat, words
    assert "ip_rcv" not in flat
    assert "header being checked" not in flat


@pytest.mark.parametrize("path", SUMMARIES, ids=lambda path: path.stem)
def test_rows_of_a_summary_are_words_at_80_by_24(path: Path) -> None:
    (last,) = [item for item in Recording(path).items() if isinstance(item, Summary)][-1:]
    lines = [line.text for line in SummaryPage(own_netns=None).lines(last, Look(), 80, SCREEN)]
    assert len(lines) == SCREEN
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for words in (
        "  nft rule inet gate input handle 2: udp dport 7",
        "  iptables rule filter INPUT 1: ",
        "  policy of chain ip mangle INPUT: DROP",
        "?:help",
    ):
        assert words in text, text


@pytest.mark.parametrize("path", SUMMARIES, ids=lambda path: path.stem)
def test_a_row_of_a_summary_in_a_pipe_says_what_and_where(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(path, 80, monkeypatch).splitlines()
    assert max(map(len, lines)) <= 80
    at = next(n for n, line in enumerate(lines) if "nft rule inet gate input handle 2" in line)
    assert lines[at].endswith("udp dport 7001 counter drop")
    assert re.fullmatch(r" +\[netfilter\.nft-rule\] vb \(netns b\d+\)", lines[at + 1])
