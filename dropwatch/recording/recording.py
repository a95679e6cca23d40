"""A recording as it is read: event by event, with the answers that each got."""

import json
from collections.abc import Iterator
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Event, Finding, Frame, MatchResult
from dropwatch.model.ipsec import GoneState
from dropwatch.model.journey import Journey
from dropwatch.model.kept import Died, Window
from dropwatch.model.resent import ResentSegment
from dropwatch.model.summary import Summary
from dropwatch.recording.decode import Malformed, decode
from dropwatch.recording.items import SLOTS, Answer, Asked, Kept, Tick, content_of
from dropwatch.recording.members import Damaged, Item, read_items
from dropwatch.recording.questions import GONE_STATES, ONLY_NAMES, answer_types, encoded, question_key
from dropwatch.recording.start import End, Start

_MOST_SYMBOLS = 1 << 20
_MOST_ANSWER_BYTES = 1 << 28
_MOST_DECODED_BYTES = 1 << 24
_MOST_GONE = _MOST_ROWS = 1 << 20
_LATEST = 1 << 35  # seconds since 1970; datetime ends at about 2^38


@dataclass(frozen=True, slots=True)
class _Answer:
    """As JSON, which takes less memory than what it says."""

    question: str
    text: str


@dataclass(frozen=True, slots=True)
class _GoneRange:
    """Which of the SAs that were deleted so far: first and number."""

    first: int
    count: int


@dataclass(slots=True)
class Recorded:
    """One event. `now` is when it was shown, None when it was held back; `asked` are the answers by question_key."""

    event: Event
    time: float
    match: MatchResult
    now: float | None
    asked: dict[str, _Answer | _GoneRange] = field(default_factory=dict)


Found = Recorded | Tick | Summary | Journey | Window | ResentSegment | End


class Recording:
    """`items` yields what happened in its order; meanwhile `frame` and `answer` speak of the last event it gave.

    `unanswered` are names of questions that the recording holds no answer to, but for those that only name.
    """

    def __init__(self, path: Path) -> None:
        """Reads the start. Raises WrongUsage for what is no recording, Damaged where not even the start is there."""
        self._path = path
        self._read = read_items(path)
        self._symbols: dict[int, Frame] = {}
        self._answers: dict[int, _Answer] = {}
        self._answer_bytes = self._decoded_bytes = 0
        self._gone: list[GoneState] = []
        self._current: Recorded | None = None
        self._decoded: dict[int, tuple[_Answer, Any]] = {}
        self._findings: dict[str, Finding] = {}
        self._died: list[Died] = []
        self._number = 0
        self.renamed = 0  # how many addresses have got another name so far
        self.unanswered: set[str] = set()
        first = next(self._read, None)
        if first is None or first["item"] != "start":
            raise self._damaged("it does not say what it is of")
        try:
            self.start: Start = decode(first, Start)
        except Malformed as error:
            raise self._damaged(f"its start cannot be understood: {error}") from error
        if not (0 <= self.start.began < _LATEST and abs(self.start.utc_offset) < 86400):
            raise self._damaged("its start has a time that cannot be")

    def items(self) -> Iterator[Found]:
        """Ends after the End. Raises Damaged where the recording stops before it, or cannot be understood."""
        for item in self._read:
            self._number += 1
            try:
                found = self._item(item)
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise self._damaged(f"item {self._number} cannot be understood: {error}") from error
            if isinstance(found, Recorded):
                self._current = found
            if found is not None:
                yield found
            if isinstance(found, End):
                return
        raise self._damaged(
            "its end is missing: the writing was interrupted, and what was seen in all is not known"
        )

    def frame(self, address: int) -> Frame:
        """What the recorded kernel called this address."""
        return self._symbols.get(address, Frame(None, 0, None, address))

    def answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """What was answered for this event; None (or nothing, where there are several) if it was not asked then."""
        kind = answer_types()[name]
        found = (
            self._current.asked.get(question_key(name, encoded(arguments)))
            if self._current is not None
            else None
        )
        if found is None:
            if name not in ONLY_NAMES:
                self.unanswered.add(name)
            return () if _is_several(kind) else None
        if isinstance(found, _GoneRange):
            return tuple(self._gone[found.first : found.first + found.count])
        known = self._decoded.get(id(found))
        if known is None or known[0] is not found:
            self._decoded_bytes += len(found.text)
            if len(self._decoded) >= SLOTS or self._decoded_bytes > _MOST_DECODED_BYTES:
                self._decoded.clear()
                self._decoded_bytes = len(found.text)
            try:
                known = self._decoded[id(found)] = (found, decode(json.loads(found.text), kind))
            except Malformed as error:
                raise self._damaged(f"an answer about {name} cannot be understood: {error}") from error
        return known[1]

    def _item(self, item: Item) -> Found | None:
        found = content_of(item)
        match found:
            case Kept():
                return self._recorded(found)
            case Summary():
                return self._with_findings(found)
            case Died():
                self._died.append(found)
                if len(self._died) > _MOST_ROWS:
                    raise Malformed("too many rows")
            case Window():
                return self._with_rows(found)
            case Tick() | Journey() | ResentSegment() | End():
                return found
            case Frame():
                self.renamed += found.address in self._symbols
                self._symbols[found.address] = found
                if len(self._symbols) > _MOST_SYMBOLS:
                    raise Malformed("too many symbols")
            case GoneState():
                self._gone.append(found)
                if len(self._gone) > _MOST_GONE:
                    raise Malformed("too many SAs")
            case Answer():
                self._keep_answer(found)
        return None  # what a later version adds

    def _with_findings(self, summary: Summary) -> Summary:
        """A row has the finding that the last one of its key had, unless it has one itself."""
        self._findings |= {row.key: row.finding for row in summary.rows if row.finding is not None}
        if len(self._findings) > _MOST_ROWS:
            raise Malformed("too many rows")
        rows = (replace(row, finding=self._findings.get(row.key)) for row in summary.rows)
        return replace(summary, rows=tuple(rows))

    def _with_rows(self, window: Window) -> Window:
        if not 0 <= window.since <= window.until < _LATEST:
            raise Malformed("a time that cannot be")
        rows, self._died = tuple(self._died), []
        return replace(window, rows=rows)

    def _keep_answer(self, answer: Answer) -> None:
        slot = answer.slot
        if not 0 <= slot < SLOTS or answer.question not in answer_types():
            return
        before = self._answers.pop(slot, None)
        text = json.dumps(answer.answer, separators=(",", ":"))
        self._answer_bytes += len(text) - (len(before.text) if before is not None else 0)
        if self._answer_bytes > _MOST_ANSWER_BYTES:
            raise Malformed("too many answers")
        self._answers[slot] = _Answer(answer.question, text)

    def _recorded(self, kept: Kept) -> Recorded:
        if not 0 <= kept.time < _LATEST:
            raise Malformed("a time that cannot be")
        found = Recorded(kept.event, kept.time, kept.match, kept.now)
        for asked in kept.asked:
            answer = self._gone_range(asked) if asked.slot is None else self._answers.get(asked.slot)
            if isinstance(answer, _GoneRange) or (answer is not None and answer.question == asked.question):
                found.asked[question_key(asked.question, list(asked.arguments))] = answer
        return found

    def _gone_range(self, asked: Asked) -> _GoneRange | None:
        if asked.question != GONE_STATES:
            return None
        if asked.first < 0 or asked.count < 0 or asked.first + asked.count > len(self._gone):
            raise Malformed("SAs that are not there")
        return _GoneRange(asked.first, asked.count)

    def _damaged(self, why: str) -> Damaged:
        return Damaged(f"{self._path} is damaged: {why}", "what could be read before is shown")


def _is_several(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) is tuple
