"""Findings as the message of a failed test: the words of the command line, without a terminal."""

from collections.abc import Sequence

from dropwatch.model.drop import Finding, Totals
from dropwatch.render.closing import closing
from dropwatch.render.finding.text import TextRenderer
from dropwatch.render.layout import Layout


def told(findings: Sequence[Finding], totals: Totals) -> str:
    """Equal drops are told together; the closing statement names what was lost and what could not be seen."""
    layout = Layout()
    text = TextRenderer(layout)
    seconds = [finding.drop.event.monotonic_ns / 1e9 for finding in findings]
    lines = [
        text.tick(now) + text.finding(finding, now) for finding, now in zip(findings, seconds, strict=True)
    ]
    rest = text.end(totals, max(seconds, default=0.0))
    return f"packets were dropped:\n{''.join(lines)}{rest}{closing(totals, layout)}"
