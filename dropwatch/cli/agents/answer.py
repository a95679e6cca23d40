"""Lines of JSON become one answer that is short: equal findings are one, what is not shown is counted, and said."""

import json
from collections import Counter
from collections.abc import Hashable
from typing import Any

from dropwatch.names.foreign import printable

LONGEST = 24_000  # characters of an answer as JSON
_LONGEST_TEXT = 1000
_LONGEST_PAGE = 18_000  # of explain; its line breaks and quotes are two characters in JSON
_LONGEST_LIST = 60
_MOST_KINDS = 2000  # that are told apart; then those of one cause count as one
_ROWS = frozenset({"died", "change"})  # lines that hold a finding
_LEFT_OUT = frozenset(
    {"type", "schema", "monotonic_ns", "count", "stack", "minutes"}
)  # of lines and findings
# What tells two objects apart, beside flows: the rest are counters, which move.
_OF_OBJECT = ("kind", "text", "family", "table", "chain", "handle", "number", "spi", "id")
_OF_FLOW = ("proto", "saddr", "daddr", "dport", "spi", "icmp_type", "icmp_code")

Line = dict[str, Any]


class Answer:
    """Takes the lines of one run, and keeps what an answer with `most` findings takes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kinds: dict[Hashable, _Kind] = {}
        self._rows: list[Line] = []
        self._more_rows = 0
        self._by_cause: Counter[str] = Counter()
        self._last: Line = {}

    def take(self, text: bytes) -> None:
        """A line of the JSON."""
        line = json.loads(text)
        if line["type"] == "drop":
            self._drop(line, text)
        elif line["type"] in _ROWS:
            self._row(line)
        else:
            self._last = line

    @property
    def is_whole(self) -> bool:
        """Whether the last line was there."""
        return bool(self._last)

    @property
    def has_findings(self) -> bool:
        return bool(self._kinds or self._rows)

    def made(self) -> Line:
        """Its part of an answer."""
        summary = {"summary": _line(self._last)}
        if self._last.get("type") == "check":
            return summary
        kinds = sorted(self._kinds.values(), key=lambda kind: -kind.packets)
        shown = [_line(one) for one in [*(kind.line() for kind in kinds[: self._most]), *self._rows]]
        return {
            "findings": shown,
            "not_shown": len(kinds) + len(self._rows) + self._more_rows - len(shown),
            "packets_by_cause": dict(self._by_cause.most_common(_LONGEST_LIST)),
            **summary,
        }

    def _drop(self, line: Line, text: bytes) -> None:
        cause = line["cause"]["id"]
        self._by_cause[cause] += line["count"]
        which = _kind(line)
        if which not in self._kinds and len(self._kinds) >= _MOST_KINDS:
            which = cause
        kind = self._kinds.setdefault(which, _Kind(text, mixed=which == cause))
        kind.packets += line["count"]
        kind.last = line["time"]

    def _row(self, line: Line) -> None:
        if line.get("what") == "same":
            return
        if line["type"] == "died":
            self._by_cause[line["finding"]["cause"]["id"]] += line["packets"]
        if len(self._rows) < self._most:
            self._rows.append(line)
        else:
            self._more_rows += 1


class _Kind:
    """Equal findings: the first of them as it was printed, since many are kept and few are shown."""

    def __init__(self, text: bytes, *, mixed: bool) -> None:
        self._text, self._mixed = text, mixed
        self.packets, self.last = 0, ""

    def line(self) -> Line:
        first = json.loads(self._text)
        times = {"packets": self.packets, "first": first["time"], "last": self.last}
        return times | ({"mixed": True} if self._mixed else {}) | {"finding": first}


def page(text: str) -> Line:
    """Of a text for people."""
    lines = "\n".join(printable(line) for line in text.splitlines())
    if len(lines) <= _LONGEST_PAGE:
        return {"text": lines}
    cut = f"the last {len(lines) - _LONGEST_PAGE} characters are left out: ask for something narrower"
    return {"text": lines[:_LONGEST_PAGE], "cut": cut}


def fitted(answer: Line) -> Line:
    """At most LONGEST characters: the last findings are left out, then the ends of other lists."""
    summary = answer.get("summary", {})
    lists = [answer.get("findings", []), *(one for one in summary.values() if isinstance(one, list))]
    while len(json.dumps(answer)) > LONGEST and any(lists):
        longest = next(one for one in lists if one)
        longest.pop()
        if longest is lists[0]:
            answer["not_shown"] += 1
        answer["cut"] = f"not all is here: an answer has at most {LONGEST} characters; use a filter"
    return answer


def _kind(line: Line) -> Hashable:
    """What one object did is one, whomever it hit; where none did it, each flow is."""
    culprit, netns = line["object"], line["netns"]
    if culprit is None or culprit.get("relation") == "nearest":
        by = tuple(line["packet"][key] for key in _OF_FLOW)
    else:
        by = tuple(culprit.get(key) for key in _OF_OBJECT)
    where = line["where"]
    place = (where["function"], where["direction"], netns and netns["inode"])
    return line["cause"]["id"], line["cause"]["confidence"], by, place


def _line(line: Line) -> Line:
    kept = _without(line)
    if "finding" in kept:
        kept["finding"] = _without(kept["finding"])
    return _slim(kept)  # type: ignore[no-any-return]


def _without(line: Line) -> Line:
    return {key: value for key, value in line.items() if key not in _LEFT_OUT}


def _slim(value: Any) -> Any:
    """Without what is null or empty; long texts and lists end early, and say so."""
    if isinstance(value, str):
        text = printable(value)
        more = len(text) - _LONGEST_TEXT
        return text if more <= 0 else f"{text[:_LONGEST_TEXT]}... ({more} more characters)"
    if isinstance(value, list):
        more = len(value) - _LONGEST_LIST
        return [_slim(one) for one in value[:_LONGEST_LIST]] + ([f"... ({more} more)"] if more > 0 else [])
    if isinstance(value, dict):
        kept = {
            printable(key): _command(one) if key == "command" else _slim(one) for key, one in value.items()
        }
        return {key: one for key, one in kept.items() if one is not None and one not in ([], {})}
    return value


def _command(text: str | None) -> str | None:
    """Whole, or not at all: the begin of one would do something else."""
    return None if text is None or len(text) > _LONGEST_TEXT else printable(text)
