"""The page: a template, its style and its script, with what a run amounts to; nothing in it comes from elsewhere."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from dropwatch.model.drop import Totals
from dropwatch.model.report import Report
from dropwatch.names.foreign import printable
from dropwatch.render.closing import together
from dropwatch.render.page.clock import Clock
from dropwatch.render.page.entries import Entries
from dropwatch.render.page.facts import facts, figures, not_exact
from dropwatch.render.page.lanes import lanes

_HERE = Path(__file__).parent
_MOST_LISTED = 200


def page(report: Report, template: Any) -> str:
    """All of it, as UTF-8 is to have it. What others chose is escaped by the template, and by the JSON in it."""
    style, script = _text("page.css"), _text("page.js")
    clock = Clock(report.utc_offset, report.began)
    entries = Entries(report, clock)
    totals = report.totals
    text = template.render(
        program=report.program,
        policy=_policy(style, script),
        style=style,
        script=script,
        title=headline(report),
        when=clock.span(report.began, report.seconds),
        figures=figures(report),
        warnings=not_exact(report),
        timeline=lanes(report.timeline, clock),
        sorts=entries.heads(),
        details=entries.details(),
        ways=_ways(report, clock),
        ways_left_out=report.ways_left_out,
        apart=[*report.apart.items()][:_MOST_LISTED],
        blind_spots=_blind_spots(totals),
        facts=facts(report, clock),
    )
    return str(text).encode(errors="backslashreplace").decode()


def headline(report: Report) -> str:
    """How many packets, of how many sorts."""
    packets = sum(one.packets for one in report.sorts) + sum(report.apart.values())
    if not packets:
        return "No dropped packet matched"
    dropped = "1 dropped packet" if packets == 1 else f"{packets:,} dropped packets"
    sorts = len(report.sorts)
    others = " and others" if report.apart else ""
    return f"{dropped} of {'one sort' if sorts == 1 else f'{sorts:,} sorts'}{others}"


def _ways(report: Report, clock: Clock) -> list[dict[str, Any]]:
    """Packets of a trace, for the template."""
    return [
        {
            "number": way.number,
            "packet": way.packet,
            "when": clock.exact(way.time),
            "end": way.end,
            "end_text": way.end_text,
            "sort": way.sort,
            "left_out": way.left_out,
            "turns": [
                {
                    "time": f"{turn.seconds * 1000:.3f}",
                    "netns": turn.netns,
                    "iface": turn.iface,
                    "words": turn.words,
                    "bad": turn.is_bad,
                }
                for turn in way.turns
            ],
        }
        for way in report.ways
    ]


def _blind_spots(totals: Totals | None) -> list[str]:
    if totals is None:
        return ["how the run ended: it was cut short, and what was seen in all is not known"]
    return [printable(spot) for spot in together(totals.blind_spots)[:_MOST_LISTED]]


def page_template() -> Any:
    """What page() fills in. Jinja takes longer to import than a run takes to start: only now it is."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def _text(name: str) -> Any:
    """A file of ours, which is not escaped."""
    from markupsafe import Markup

    return Markup((_HERE / name).read_text(encoding="utf-8"))


def _policy(style: str, script: str) -> str:
    """Nothing is loaded, nothing is sent, and no other script than this one runs, whatever the page holds."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
