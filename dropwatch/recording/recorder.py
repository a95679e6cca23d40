"""Collects what one event met on its way to a finding, and writes it down, a member at a time."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dropwatch.model.drop import Drop, Finding, Frame, MatchResult
from dropwatch.model.ipsec import GoneState
from dropwatch.model.journey import Journey
from dropwatch.model.kept import Window
from dropwatch.model.resent import ResentSegment
from dropwatch.model.summary import Summary, SummaryRow
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.encode import encode
from dropwatch.recording.items import SLOTS, Answer, Asked, Content, Kept, Tick, item_of
from dropwatch.recording.members import Item, opening, pack
from dropwatch.recording.questions import GONE_STATES
from dropwatch.recording.start import End, Start

_FLUSH_SECONDS = 1.0
_FLUSH_ITEMS = 2000
_TICKS_SECONDS = 3.0  # renderers count what comes again for a second after it was told, then forget it
_MOST_SYMBOLS = 1 << 20


class Recorder:
    """`write` takes bytes for the end of the file. Nothing is written before `begin`."""

    def __init__(self, editor: Editor, clock: Callable[[], float] = time.monotonic) -> None:
        self._editor = editor
        self._clock = clock
        self._write: Callable[[bytes], None] = lambda data: None
        self._items: list[Item] = []
        self._frames: dict[int, Frame] = {}
        self._written_frames: dict[int, Frame] = {}
        self._answers: dict[str, int] = {}
        self._same_answer: dict[str, tuple[Any, int]] = {}
        self._next_slot = 0
        self._last_gone: GoneState | None = None
        self._gone_written = 0
        self._asked: list[tuple[str, tuple[Any, ...], Any]] = []
        self._findings: dict[str, Finding | None] = {}
        self._pending: Kept | None = None
        self._told_at = float("-inf")
        self._flushed_at = clock()

    def begin(self, start: Start, write: Callable[[bytes], None]) -> None:
        """The first item, written at once."""
        self._write = write
        self._write(opening(start.program))
        self._items.insert(0, item_of(self._editor.value(start)))
        self._flush()

    def frame(self, address: int, frame: Frame) -> None:
        """What an address is called, as just looked up."""
        if address in self._frames or len(self._frames) < _MOST_SYMBOLS:
            self._frames[address] = frame

    def asked(self, name: str, arguments: tuple[Any, ...], answer: Any) -> None:
        """An answer that the event in hand got."""
        self._asked.append((name, arguments, answer))

    def next_event(self) -> None:
        """What is asked from here on is asked for another event."""
        self._settle()
        self._asked = []

    def keep(self, drop: Drop, match: MatchResult) -> None:
        """The event in hand fits; its diagnosis has been made."""
        event = drop.event
        self._symbols((event.location, *event.stack))
        asked = [self._with_answer(*question) for question in self._asked]
        self._pending = Kept(
            drop.time,
            self._editor.value(match),
            self._editor.event(event),
            tuple(found for at, found in enumerate(asked) if found not in asked[:at]),
        )

    def told(self, now: float) -> None:
        """The event in hand was shown, at this time of the renderers' clock (seconds)."""
        if self._pending is not None:
            self._pending = replace(self._pending, now=now)
            self._told_at = now
        self._settle()

    def gathered(self, shown: Summary | Journey) -> None:
        """A summary or a journey, as it was shown."""
        self._settle()
        if isinstance(shown, Summary):
            shown = replace(shown, rows=tuple(map(self._row, shown.rows)))
        self._add(self._editor.gathered(shown))

    def window(self, window: Window) -> None:
        """What the store of the recorder has of a time: item by item, since it may be much."""
        self._settle()
        for row in window.rows:
            self._add(self._editor.died(row))
            if len(self._items) >= _FLUSH_ITEMS:
                self._flush()
        self._add(self._editor.value(replace(window, rows=())))

    def sent_again(self, segment: ResentSegment) -> None:
        """It was told of then."""
        self._settle()
        self._symbols(tuple(death.location for death in (segment.segment, segment.ack) if death is not None))
        self._add(self._editor.value(segment))

    def tick(self, now: float) -> None:
        """The renderers were asked for what is due. Writes to the file once a second, or when there is much."""
        self._settle()
        if now - self._told_at < _TICKS_SECONDS:
            self._add(Tick(now))
        if self._items and (
            self._clock() - self._flushed_at >= _FLUSH_SECONDS or len(self._items) >= _FLUSH_ITEMS
        ):
            self._flush()

    def end(self, end: End) -> None:
        self._settle()
        self._add(self._editor.value(end))
        self._flush()

    def leave(self) -> None:
        """No more comes, whatever the reason: what has been kept is written."""
        self._settle()
        self._flush()

    def _row(self, row: SummaryRow) -> SummaryRow:
        """Without its finding where the last row of that key had the same: most do, second after second."""
        if row.finding is self._findings.get(row.key):
            return replace(row, finding=None)
        self._findings[row.key] = row.finding
        return row

    def _add(self, content: Content) -> None:
        self._items.append(item_of(content))

    def _settle(self) -> None:
        if self._pending is not None:
            self._add(self._pending)
            self._pending = None

    def _symbols(self, addresses: tuple[int, ...]) -> None:
        for address in addresses:
            frame = self._frames.get(address)
            if frame is not None and self._written_frames.get(address) != frame:
                self._written_frames[address] = frame
                self._add(replace(frame, address=self._editor.kernel_address(address)))

    def _with_answer(self, name: str, arguments: tuple[Any, ...], answer: Any) -> Asked:
        arguments = self._editor.value(arguments)
        if name == GONE_STATES:
            return Asked(name, arguments, first=self._first_gone(answer), count=len(answer))
        return Asked(name, arguments, self._slot(name, answer))

    def _slot(self, name: str, answer: Any) -> int:
        """The slot that holds this answer; the host gives the same one to many events."""
        last, slot = self._same_answer.get(name, (None, -1))
        if slot >= 0 and (last is answer or (type(last) is type(answer) and last == answer)):
            return slot
        data = encode(self._editor.value(answer))
        key = json.dumps([name, data])
        found = self._answers.get(key)
        if found is None:
            found = self._take_slot(key)
            self._add(Answer(found, name, data))
        self._same_answer[name] = (answer, found)
        return found

    def _first_gone(self, gone: tuple[GoneState, ...]) -> int:
        """The number of the first of these. Each is written once: they only ever get more at the end."""
        new: list[GoneState] = []
        for state in reversed(gone):
            if state is self._last_gone:
                break
            new.append(state)
        for state in reversed(new):
            self._add(self._editor.value(state))
            self._last_gone = state
        self._gone_written += len(new)
        return self._gone_written - len(gone)

    def _take_slot(self, key: str) -> int:
        """The oldest answer makes room; an event that still needs it has it written again."""
        slot = self._next_slot
        self._next_slot = (slot + 1) % SLOTS
        if len(self._answers) >= SLOTS:
            oldest = next(iter(self._answers))
            del self._answers[oldest]
            self._same_answer = {name: kept for name, kept in self._same_answer.items() if kept[1] != slot}
        self._answers[key] = slot
        return slot

    def _flush(self) -> None:
        items, self._items = self._items, []
        self._flushed_at = self._clock()
        for member in pack(items):
            self._write(member)
