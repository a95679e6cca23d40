"""What is counted as one, as a text that is the same in every run; how many there may be."""

import json
from collections import Counter
from typing import Any, NamedTuple

from dropwatch.aggregate.sort import NO_FLOW, lasting_sort_of
from dropwatch.model.drop import Finding

ONE_FLOW, MANY_FLOWS, ONE_CAUSE = 0, 1, 2
MOST_FLOWS = 64  # of a sort, in an hour, that are told apart
MOST_SORTS = 4096  # in an hour; twice as many with those of many flows


class Key(NamedTuple):
    """`text` is equal for what is counted as one. `level` says what that is: see schema.py."""

    text: str
    level: int


class Sorts:
    """Knows the sorts of an hour. An attacker can choose addresses: of those beyond MOST_FLOWS only the sum is kept."""

    def __init__(self, own_netns: int) -> None:
        self._own_netns = own_netns
        self._hour = 0
        self._known: set[str] = set()
        self._flows: Counter[str] = Counter()

    def key_of(self, finding: Finding, *, coarse: bool = False) -> Key:
        """The finest there is room for; only its cause when `coarse`."""
        self._turn(int(finding.drop.time // 3600))
        cause = Key(_text("cause", finding.cause_id), ONE_CAUSE)
        if coarse:
            return cause
        sort = lasting_sort_of(finding, self._own_netns)
        owner = finding.owner or finding.drop.process
        whose = () if owner is None else (owner.comm, owner.unit, owner.container, owner.pod)
        fine, wide = _text("flow", sort, whose), _text("sort", sort._replace(flow=NO_FLOW), whose)
        if fine in self._known:
            return Key(fine, ONE_FLOW)
        if self._flows[wide] < MOST_FLOWS and len(self._known) < MOST_SORTS:
            self._flows[wide] += 1
            self._known.add(fine)
            return Key(fine, ONE_FLOW)
        if wide in self._known or len(self._known) < 2 * MOST_SORTS:
            self._known.add(wide)
            return Key(wide, MANY_FLOWS)
        return cause

    def _turn(self, hour: int) -> None:
        if hour > self._hour:
            self._hour = hour
            self._known.clear()
            self._flows.clear()


def _text(*parts: Any) -> str:
    return json.dumps(parts, default=_plain)


def _plain(value: object) -> object:
    """Sets have another order in each run."""
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)
