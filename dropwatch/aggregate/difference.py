"""Compares two runs sort by sort: what is new, gone, more or fewer, by the time that each has watched."""

import shlex
from collections.abc import Iterator, Mapping

from dropwatch.aggregate.sort import Sort
from dropwatch.model.difference import Change, Difference, What
from dropwatch.model.report import Folded, Report

_ORDER: tuple[What, ...] = ("new", "more", "fewer", "gone", "same")
_TOLERATED = 0.1  # of what was to be expected
_TALK = frozenset({"-q", "--quiet", "-v", "-vv", "--verbose", "-j", "--json", "--debug"})
_ALIKE = 0.05  # of their lengths: so near, two runs are as long as one another

Sorts = Mapping[Sort, Folded]


def difference(before: tuple[Report, Sorts], after: tuple[Report, Sorts]) -> Difference:
    """Of two runs, each with its findings by what is the same sort in both."""
    (one, sorts), (other, sorts_after) = before, after
    longer = _longer(one, other)
    keys = dict.fromkeys((*sorts_after, *sorts))
    changes = [_change(sorts.get(key), sorts_after.get(key), longer) for key in keys]
    changes.sort(key=lambda change: (_ORDER.index(change.what), -_packets(change)))
    return Difference(one, other, tuple(changes), tuple(_notes(one, other)))


def exact(report: Report) -> bool:
    """Whether the numbers of its sorts are what has died."""
    return report.totals is not None and not _lost(report) and not report.apart


def _change(before: Folded | None, after: Folded | None, longer: float) -> Change:
    if before is None or after is None:
        return Change("new" if before is None else "gone", before, after)
    expected = before.packets * longer
    if abs(after.packets - expected) <= max(1.0, expected * _TOLERATED):
        return Change("same", before, after)
    return Change("more" if after.packets > expected else "fewer", before, after)


def _packets(change: Change) -> int:
    return max(one.packets for one in (change.before, change.after) if one is not None)


def _longer(one: Report, other: Report) -> float:
    """How many times as long the other run watched, 1 where that is not known."""
    if not one.seconds or not other.seconds:
        return 1.0
    longer = other.seconds / one.seconds
    return 1.0 if abs(longer - 1) <= _ALIKE else longer


def _notes(one: Report, other: Report) -> Iterator[str]:
    if not one.seconds or not other.seconds:
        unknown = " and ".join(name for name, run in (("A", one), ("B", other)) if not run.seconds)
        yield f"how long {unknown} watched is not known: numbers are compared as they are, not by time"
    elif _longer(one, other) != 1.0:
        yield "A and B did not watch equally long: more and fewer are by time"
    for name, run in (("A", one), ("B", other)):
        lost = _lost(run)
        if lost:
            events = "1 event" if lost == 1 else f"{lost} events"
            yield f"{name} lost {events}: its numbers are at least so many, and sorts may be missing in it"
        beyond = sum(run.apart.values())
        if beyond:
            yield f"{beyond} packets of {name} are in no sort, and not compared"
        if any(not sort.exact for sort in run.sorts):
            yield f"in {name} packets of some sorts were counted together: these numbers are not exact"
    if _question(one.asked) != _question(other.asked):
        yield f"they were not asked for the same: A `whydrop {one.asked}`, B `whydrop {other.asked}`"
    if one.kernel != other.kernel and one.kernel and other.kernel:
        yield f"the kernels differ: A {one.kernel}, B {other.kernel}"
    yield from _seen_by_one(one, other)


def _question(asked: str) -> list[str]:
    """The words of a command line without those that say where the recording goes, and how much is told meanwhile."""
    words: list[str] = []
    rest = iter(shlex.split(asked))
    for word in rest:
        if word == "--":
            return [*words, *rest]
        if word in ("-w", "--write", "--output"):
            next(rest, None)
        elif word.partition("=")[0] not in ("--write", "--output", *_TALK):
            words.append(word)
    return words


def _seen_by_one(one: Report, other: Report) -> Iterator[str]:
    before, after = _blind_spots(one), _blind_spots(other)
    for name, only in (("A", len(before - after)), ("B", len(after - before))):
        if only:
            spots = "a blind spot" if only == 1 else f"{only} blind spots"
            yield f"{name} has {spots} that the other has not: whydrop report shows more"


def _blind_spots(report: Report) -> set[str]:
    return set(report.totals.blind_spots) if report.totals is not None else set()


def _lost(report: Report) -> int:
    return sum((report.totals.lost or {}).values()) if report.totals is not None else 0
