"""The screens that are stored in screens/: `make screens` makes them anew, a test compares them.

One finding of each cause and confidence that the recordings have, one whole run, the ways of packets that end in
different ways, and a summary in a pipe and on a full screen; each in three widths.
"""

import contextlib
import io
import os
import re
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import dropwatch
from dropwatch.cli.main import main
from dropwatch.model.drop import Finding
from dropwatch.model.summary import Summary
from dropwatch.recording.recording import Recording
from dropwatch.render.finding.text import TextRenderer
from dropwatch.render.layout import Layout
from dropwatch.render.summary.keys import Look
from dropwatch.render.summary.page import SummaryPage

HERE = Path(__file__).parent
STORED = HERE / "screens"
WIDTHS = (60, 80, 132)
RUN = "linux-6.12-mixed"
TRACE = "linux-6.12-trace"
SUMMARY = "linux-6.12-summary"
ROWS = 24  # of a terminal
# The newest kernel has the most causes. The others add what it lacks.
# How a way ends, and the id of a cause.
_END = re.compile(r"^  (?:DELIVERED|SENT|CONSUMED|OPEN).*|\[[a-z0-9]+\.[a-z0-9-]+\]$", re.MULTILINE)
RECORDINGS = ("linux-7.2-scenarios", "linux-7.2-trace", "linux-5.10-mixed", "without-kprobes")


@contextlib.contextmanager
def anywhere(width: int) -> Iterator[None]:
    """No zone, no terminal and no wish of this machine plays a part."""
    before = dict(os.environ)
    os.environ.update(TZ="UTC", COLUMNS=str(width), NO_COLOR="1")
    time.tzset()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        time.tzset()


@cache
def findings() -> tuple[Finding, ...]:
    """All of these recordings. It takes a quarter of a minute: once is enough."""
    found: list[Finding] = []
    for name in RECORDINGS:
        with dropwatch.replay(HERE / "recordings" / f"{name}.whydrop", all=True) as run:
            found += run
    return tuple(found)


def of_each_cause() -> list[Finding]:
    """The first with each cause and confidence."""
    first: dict[tuple[str, str], Finding] = {}
    for finding in findings():
        first.setdefault((finding.cause_id, finding.confidence), finding)
    return [first[key] for key in sorted(first)]


def page(finding: Finding, width: int, verbose: int = 0) -> str:
    """As a run begins with it."""
    return TextRenderer(Layout(width), verbose=verbose).finding(finding, 0.0)


def whole_run(width: int, name: str = RUN) -> str:
    """What `whydrop replay` prints on both streams, without its first words, which name the file and the version.

    To be called in anywhere(width).
    """
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        assert main(["replay", str(HERE / "recordings" / f"{name}.whydrop")]) == 0
    return out.getvalue() + re.split(r"\n(?!  )", err.getvalue(), maxsplit=1)[1]


def ways(width: int) -> str:
    """Of a trace the first packet of each end, of those that died the first of each cause; and what closes the run."""
    first: dict[str, str] = {}
    *packets, last = re.split(r"^(?=PACKET |whydrop: )", whole_run(width, TRACE), flags=re.MULTILINE)
    for packet in packets:
        end = _END.findall(packet)
        first.setdefault(" ".join(end), packet)
    return "".join((*first.values(), last))


def full_screen(width: int) -> str:
    """The last summary of a recording, as `whydrop summary` draws it on a terminal, and its page of help."""
    (summary,) = [
        item
        for item in Recording(HERE / "recordings" / f"{SUMMARY}.whydrop").items()
        if isinstance(item, Summary)
    ][-1:]
    page = SummaryPage(own_netns=None)
    looks = page.lines(summary, Look(), width, ROWS), page.lines(summary, Look(page="help"), width, ROWS)
    return "\n".join("".join(f"{line.text.rstrip()}\n" for line in lines) for lines in looks)


def screens() -> Iterator[tuple[str, str]]:
    """Names of files, and what stands in them."""
    for width in WIDTHS:
        with anywhere(width):
            yield f"causes-{width}.txt", _pages(of_each_cause(), width)
            yield f"run-{width}.txt", whole_run(width)
            yield f"trace-{width}.txt", ways(width)
            yield f"summary-{width}.txt", whole_run(width, SUMMARY)
            yield f"summary-screen-{width}.txt", full_screen(width)
    with anywhere(80):
        yield "causes-80-v.txt", _pages(of_each_cause(), 80, verbose=1)


def _pages(found: Iterable[Finding], width: int, verbose: int = 0) -> str:
    return "".join(page(finding, width, verbose) for finding in found)


if __name__ == "__main__":
    for name, text in screens():
        (STORED / name).write_text(text, encoding="utf-8")
