"""Counts by names that others choose: a bounded number of them have a count of their own, the rest is one sum."""

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)

_LARGE = 100  # a name that has one in so many of all is among the so many largest,
_LEAST = 100  # once there is enough to compare with
_CANDIDATES = 1024  # names without a count of their own that are remembered


class Bounded(Generic[Name]):
    """Counts for at most `most` names, and `other` for the rest. None of them ever falls or goes.

    The first `at_once` names get one when they come, the places left are for those with a hundredth of all there was,
    and a hundred at least: a flood of names, each of which counts little, takes no place from them. What such a name
    had before stays in `other`, so that the sum is exact.
    """

    def __init__(self, other: Name, most: int, at_once: int) -> None:
        self._other, self._most, self._at_once = other, most, at_once
        self._own: dict[Name, int] = {}
        self._rest = 0
        self._all = 0
        self._candidates: Counter[Name] = Counter()

    def add(self, name: Name, count: int) -> None:
        self._all += count
        if name in self._own:
            self._own[name] += count
        elif len(self._own) < self._most and self._deserves(name, count):
            self._own[name] = count
        else:
            self._rest += count

    def items(self) -> Iterator[tuple[Name, int]]:
        """`other` is there as soon as something is counted in it."""
        yield from self._own.items()
        if self._rest:
            yield self._other, self._rest

    def _deserves(self, name: Name, count: int) -> bool:
        if len(self._own) < self._at_once:
            return True
        candidates = self._candidates
        candidates[name] += count
        if candidates[name] >= max(_LEAST, self._all // _LARGE):
            del candidates[name]
            return True
        if len(candidates) >= _CANDIDATES:
            self._candidates = Counter(dict(candidates.most_common(_CANDIDATES // 2)))
        return False
