"""What the kernel only counted: equal drops beyond the first of each second become one finding with a count."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from dropwatch.model.drop import Drop, Event, Evidence, Finding, MatchResult
from dropwatch.run.options import UNKNOWN
from dropwatch.wire.drop import event_of_row, is_rest

_EVERY_NS = 1_000_000_000
_QUIET_NS = 10_000_000_000  # a row that has counted nothing for so long makes room


class Rows(Protocol):
    """By Event.row: how many packets were only counted, and when the last packet came (monotonic, in ns).

    None where nothing is new since it was asked last, unless it is asked `anyway`.
    """

    def folded(self, *, anyway: bool) -> Mapping[bytes, tuple[int, int]] | None: ...
    def forget(self, rows: Iterable[bytes]) -> None: ...


class Folds:
    """Knows of each sort what was found of its last packet, which is what is told of those that were only counted.

    `named` gives an Event its names, for a sort of which no packet came.
    """

    def __init__(self, rows: Rows, named: Callable[[Event], Drop]) -> None:
        self._rows, self._named = rows, named
        self._found: dict[bytes, Finding | None] = {}
        self._told: Counter[bytes] = Counter()
        self._due_ns = 0
        self._awaits = False  # of a sort that was counted the first packet is still to be read

    def note(self, row: bytes, finding: Finding | None) -> None:
        """What was found of a packet of this sort; None: it does not fit the filter."""
        self._found[row] = finding

    def due(self, now_ns: int | None) -> Iterator[Finding]:
        """At this time of the packets' clock; None: everything has been read."""
        if now_ns is not None and now_ns < self._due_ns:
            return
        counted = self._rows.folded(anyway=self._awaits)
        self._awaits = False
        if now_ns is not None:
            self._due_ns = now_ns + _EVERY_NS
        for row, (packets, _) in (counted or {}).items():
            new = packets - self._told[row]
            if new <= 0:
                continue
            if row not in self._found and now_ns is not None:
                self._awaits = True
                continue
            self._told[row] = packets
            finding = self._of(row)
            if finding is not None:
                yield replace(finding, count=new)
        if counted is not None and now_ns is not None:
            self._make_room(counted, now_ns)

    def _of(self, row: bytes) -> Finding | None:
        if row in self._found and not is_rest(row):
            return self._found[row]
        return _of_nobody_known(self._named(event_of_row(row)))

    def _make_room(self, counted: Mapping[bytes, tuple[int, int]], now_ns: int) -> None:
        quiet = [
            row
            for row, (packets, last_ns) in counted.items()
            if now_ns - last_ns >= _QUIET_NS and packets == self._told[row]
        ]
        self._rows.forget(quiet)
        for row in quiet:
            self._found.pop(row, None)
            del self._told[row]


def _of_nobody_known(drop: Drop) -> Finding:
    """Not even whether it fits the whole filter: the kernel's part of it, it does."""
    title = "more drops than are told apart: counted in the kernel, and no packet of these was read"
    where = Evidence(
        "counted in the kernel", "by place, reason and namespace, and by addresses where it has any"
    )
    return Finding(
        drop=drop,
        match=MatchResult("direct"),
        cause_id=UNKNOWN,
        title=title,
        confidence="unknown",
        culprit=None,
        evidence=(where,),
        fix=(),
    )
