"""What a person sees of findings of real kernels: as it is stored, not too long, not too wide, no command broken."""

import statistics
from collections.abc import Iterator

import pytest

from dropwatch.model.drop import Finding
from dropwatch.render.finding.choice import first_fix
from tests.replay import shown

COMMAND = "    "
LINES = {60: 10, 80: 8, 132: 8}


@pytest.fixture
def pages(width: int) -> Iterator[list[tuple[Finding, list[str]]]]:
    with shown.anywhere(width):
        yield [(finding, shown.page(finding, width).rstrip("\n").split("\n")) for finding in shown.findings()]


def test_they_are_as_stored() -> None:
    """`make screens` stores them, for somebody to look at."""
    made = dict(shown.screens())
    stored = {path.name: path.read_text(encoding="utf-8") for path in shown.STORED.iterdir()}
    assert made.keys() == stored.keys()
    for name, text in made.items():
        assert text == stored[name], f"{name} differs: make screens, and look at what git shows"


@pytest.mark.parametrize("width", shown.WIDTHS)
def test_a_finding_is_eight_lines_and_as_wide_as_the_terminal(
    width: int, pages: list[tuple[Finding, list[str]]]
) -> None:
    assert len(pages) > 4_000
    lengths = [len(lines) for _, lines in pages]
    assert max(lengths) <= LINES[width]
    assert width < 80 or statistics.median(lengths) <= 7
    for _, lines in pages:
        assert all(len(line) <= width or line.startswith(COMMAND) for line in lines), lines
        assert all(line == line.rstrip() and line.isprintable() for line in lines)


@pytest.mark.parametrize("width", shown.WIDTHS)
def test_a_command_is_one_line_whatever_the_width(width: int, pages: list[tuple[Finding, list[str]]]) -> None:
    commands = 0
    for finding, lines in pages:
        fix = first_fix(finding)
        command = None if fix is None else fix.command if fix.sketch is None else fix.sketch.command
        if command is not None:
            commands += 1
            assert lines[-1] == f"{COMMAND}{command}"
    assert commands > len(pages) / 2


@pytest.mark.parametrize("width", [80])
def test_the_answer_comes_first(width: int, pages: list[tuple[Finding, list[str]]]) -> None:
    """The id stands on one line, whole, for `whydrop explain`; what weakens security is not the advice."""
    for finding, lines in pages:
        assert any(line.endswith(f"[{finding.cause_id}]") for line in lines[1:5]), lines
        fix = first_fix(finding)
        assert fix is None or fix.weakens is None
        told = " ".join(lines)
        assert ("Probably" in told or "probably" in told) or finding.confidence != "likely", lines
        assert "Cause unknown" in told or finding.confidence != "unknown", lines


@pytest.mark.parametrize("width", [80])
def test_two_rules_never_look_alike(width: int, pages: list[tuple[Finding, list[str]]]) -> None:
    """A page that is the same but for time and packet has the same object."""
    objects: dict[tuple[str, ...], object] = {}
    for finding, lines in pages:
        culprit = finding.culprit
        if culprit is not None and not any(line.endswith(" ...") for line in lines):
            at = next(n for n, line in enumerate(lines) if line.startswith(("  by ", "  near ", "  gone ")))
            seen = (culprit.kind, culprit.text, getattr(culprit, "handle", None))
            assert objects.setdefault((*lines[at : at + 3], str(finding.drop.event.netns)), seen) == seen
