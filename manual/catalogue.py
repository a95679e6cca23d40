"""symbols/causes.json: the words of the catalogue with what can be found out about each cause."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import fsum, log
from typing import Any

from dropwatch.causes import CATALOGUE
from dropwatch.causes.advice import explained, meanings
from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix
from dropwatch.names import symbols

_RELATED = 5
_WORTH = {
    "family": 0.5,
    "reason": 1,
    "function": 1,
    "counter": 1,
    "word": 0.3,
}  # words alone may mean anything
_WORD = re.compile(r"[a-z0-9]{3,}")
_NSTAT = re.compile(r"^\$ (?:.*\| *)?nstat (.*)$", re.MULTILINE)
_NO_WORDS = frozenset(
    [
        "all",
        "and",
        "are",
        "but",
        "for",
        "from",
        "has",
        "have",
        "here",
        "into",
        "its",
        "may",
        "not",
        "nothing",
        "only",
        "other",
        "own",
        "that",
        "the",
        "there",
        "this",
        "was",
        "with",
    ]
)


def catalogue_text() -> str:
    """The file: a cause a line, so that a change of one is a change of one line."""
    relations = related(CATALOGUE)
    lines = [
        f"{json.dumps(cause.id)}: {json.dumps(_entry(cause, relations[cause.id]), ensure_ascii=False)}"
        for cause in in_order(CATALOGUE)
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def in_order(causes: Iterable[Cause]) -> list[Cause]:
    """By family as symbols/families.toml has them, inside a family as its file does."""
    order = list(symbols.families())
    return sorted(causes, key=lambda cause: order.index(cause.family))


def _entry(cause: Cause, near: list[str]) -> dict[str, Any]:
    return {
        "title": cause.title,
        "why": cause.why,
        "confirm": cause.confirm,
        "fix": [_advice(fix) for fix in cause.fix],
        "reasons": cause.reasons,
        "seen_as": cause.seen_as,
        "seen_at": cause.seen_at,
        "counters": sorted(_counters(cause)),
        "related": near,
        "scenario": cause.scenario,
    }


def _advice(fix: Fix) -> tuple[str, str | None, str | None, str | None]:
    words = meanings(fix.command) if fix.command is not None else {}
    weakens: str | None = getattr(fix, "weakens", None)
    return fix.text, fix.command, explained(words) if words else None, weakens


def _counters(cause: Cause) -> set[str]:
    """Those that its page has nstat show, and those that can rise by it."""
    shown = {word for found in _NSTAT.findall(cause.confirm) for word in found.split() if word[:1].isupper()}
    return shown | {
        name
        for kind in symbols.COUNTER_KINDS
        for name, words in symbols.counters(kind).items()
        if cause.id in words.causes
    }


def related(causes: Iterable[Cause]) -> Mapping[str, list[str]]:
    """The nearest other causes of each: what two of them have in common weighs the more, the fewer others have it."""
    marks = {cause.id: set(_marks(cause)) for cause in causes}
    common = Counter(mark for found in marks.values() for mark in found)
    weight = {mark: log(len(marks) / count) * _WORTH[mark.split()[0]] for mark, count in common.items()}
    return {one: _nearest(one, marks, weight) for one in marks}


def _nearest(one: str, marks: Mapping[str, set[str]], weight: Mapping[str, float]) -> list[str]:
    near = {
        other: fsum(weight[mark] for mark in marks[one] & marks[other]) for other in marks if other != one
    }
    first = sorted(near, key=lambda other: (-near[other], other))[:_RELATED]
    return [other for other in first if near[other] > near[first[0]] / 3]


def _marks(cause: Cause) -> Iterator[str]:
    """What another cause may share with it."""
    yield f"family {cause.family}"
    yield from (f"reason {name}" for name in (*cause.reasons, *cause.seen_as))
    yield from (f"function {name}" for name in cause.seen_at)
    yield from (f"counter {name}" for name in _counters(cause))
    words = {word.removesuffix("s") for word in _WORD.findall(f"{cause.id} {cause.title}".lower())}
    yield from (f"word {word}" for word in words - _NO_WORDS - {cause.family})
