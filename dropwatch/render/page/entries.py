"""What the page says of each sort: the answer in words, and all the rest as the JSON that its script unfolds."""

import json
from dataclasses import replace
from typing import Any

from dropwatch.model.drop import Decision, Finding, Fix
from dropwatch.model.report import Folded, Report
from dropwatch.names import symbols
from dropwatch.names.cause_address import cause_url
from dropwatch.packet.headers import headers
from dropwatch.render.finding import choice, phrases, sort_words
from dropwatch.render.finding.json import drop_line
from dropwatch.render.finding.stack_json import stack_object
from dropwatch.render.lines.write import text
from dropwatch.render.page.clock import Clock
from dropwatch.render.page.cut import cut, cut_command

_MOST_BYTES = 48 << 20  # of the details of all sorts: beyond it a sort has its answer only
_SURENESS = {"certain": "", "likely": "probably", "unknown": "not known"}


class Entries:
    """The sorts of a report, in its order."""

    def __init__(self, report: Report, clock: Clock) -> None:
        self._report, self._clock = report, clock

    def heads(self) -> list[dict[str, Any]]:
        """For the template."""
        return [self._head(number, one) for number, one in enumerate(self._report.sorts, 1)]

    def details(self) -> Any:
        """For the script: `{"words": {function: what it does}, "sorts": [a line of `whydrop stack --json`, ...]}`.

        Each `<`, `>` and `&` is spelt out, so that it ends no element and begins none.
        """
        from markupsafe import Markup

        words: dict[str, str] = {}
        written: list[str] = []
        room = _MOST_BYTES
        for one in self._report.sorts:
            line = self._detail(one) if room > 0 else "null"
            room -= len(line)
            written.append(line)
            if line != "null":
                words |= _words(one.finding)
        data = f'{{"words": {text(words)}, "sorts": [{", ".join(written)}]}}'
        for character in "<>&":
            data = data.replace(character, f"\\u{ord(character):04x}")
        return Markup(data)

    def _head(self, number: int, one: Folded) -> dict[str, Any]:
        found, drop = one.finding, one.finding.drop
        culprit, process, fix = found.culprit, found.owner or drop.process, choice.first_fix(found)
        return {
            "number": number,
            "packets": one.packets,
            "exact": one.exact,
            "title": cut(choice.headline(found)),
            "cause": found.cause_id,
            "url": cause_url(found.cause_id),
            "confidence": found.confidence,
            "any_flow": self._report.view == "summary",
            "packet": cut(sort_words.flow(one)),
            "place": cut(phrases.interface(drop, self._report.own_netns)),
            "kind": "" if culprit is None else cut(sort_words.kind(culprit)),
            "object": "" if culprit is None else cut(culprit.text),
            "process": "" if process is None else cut(phrases.process(process)),
            "match": _match(found),
            "led_by": [
                {"text": cut(led.text), "sure": _SURENESS[led.confidence], "object": _object(led)}
                for led in found.led_by
            ],
            "differs": cut(choice.differences(found)),
            "proof": _proof(found),
            "told": {"evidence": _told_evidence(found), "fix": _at(fix, found.fix)},
            "fix": None if fix is None else _fix(fix),
            "when": self._clock.between(one.first, one.last),
            "note": one.note and cut(one.note),
        }

    def _detail(self, one: Folded) -> str:
        found = one.finding
        more = stack_object(found, headers(found.drop.event))
        line = replace(drop_line(found), hex=more.hex, layers=more.layers, observed=more.observed)
        return text(_short(json.loads(text(line))))


def _proof(found: Finding) -> dict[str, str] | None:
    settles = choice.proof(found)
    if settles is None:
        return None
    return {"source": cut(settles.source), "text": cut(choice.proof_text(settles, found))}


def _told_evidence(found: Finding) -> int:
    """Which of the evidence the answer has whole, -1: none; the script does not say it again."""
    settles = choice.proof(found)
    whole = settles is not None and choice.proof_text(settles, found) == settles.text
    return _at(settles, found.evidence) if whole else -1


def _at(one: object, among: tuple[object, ...]) -> int:
    return among.index(one) if one in among else -1


def _fix(fix: Fix) -> dict[str, str | None]:
    words, command = choice.fix_parts(fix)
    return {"text": cut(words), "command": cut_command(command)}


def _match(found: Finding) -> str:
    if found.match.how == "direct":
        return ""
    return found.match.how + (f": {cut(found.match.why)}" if found.match.why else "")


def _object(led: Decision) -> str:
    if led.culprit is None:
        return ""
    return f"{cut(sort_words.kind(led.culprit))} {cut(led.culprit.text)}"


def _words(found: Finding) -> dict[str, str]:
    known = {frame.function: symbols.function(frame.function) for frame in found.drop.stack if frame.function}
    return {name: one.text for name, one in known.items() if name is not None and one is not None}


def _short(value: Any, key: str = "") -> Any:
    """The same with texts that a page can show."""
    if isinstance(value, str):
        return cut_command(value) if key == "command" else cut(value)
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, dict):
        return {cut(name): _short(item, name) for name, item in value.items()}
    return value
