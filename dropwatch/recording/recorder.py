"""Collects what one event met on its way to a finding, and writes it down in frames."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dropwatch.model.drop import Drop, Finding, Frame, MatchResult
from dropwatch.model.ipsec import GoneState
from dropwatch.model.journey import Journey
from dropwatch.model.summary import Summary, SummaryRow
from dropwatch.recording import frames
from dropwatch.recording.anonymize import Editor
from dropwatch.recording.codec import encode
from dropwatch.recording.frames import Item
from dropwatch.recording.questions import GONE_STATES, encoded
from dropwatch.recording.start import End, Start

SLOTS = 4096  # answers that can be referred to; a reader holds no more
_FLUSH_SECONDS = 1.0
_FLUSH_ITEMS = 2000
_TICKS_SECONDS = (
    3.0  # renderers count what comes again for a second after it was told, and forget it in the next
)
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
        self._pending: Item | None = None
        self._told_at = float("-inf")
        self._flushed_at = clock()

    def begin(self, start: Start, write: Callable[[bytes], None]) -> None:
        """The first item, written at once."""
        self._write = write
        self._write(frames.MAGIC)
        self._items.insert(0, ["start", encode(self._editor.value(start))])
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
        event, value = drop.event, self._editor.value
        self._symbols((event.location, *event.stack))
        asked = []
        for name, arguments, answer in self._asked:
            asked.append([name, encoded(value(arguments)), self._answer(name, answer)])
        self._pending = [
            "event",
            {
                "event": encode(self._editor.event(event)),
                "time": drop.time,
                "match": encode(value(match)),
                "asked": asked,
            },
        ]

    def told(self, now: float) -> None:
        """The event in hand was shown, at this time of the renderers' clock (seconds)."""
        if self._pending is not None:
            self._pending[1]["now"] = now
            self._told_at = now
        self._settle()

    def gathered(self, shown: Summary | Journey) -> None:
        """A summary or a journey, as it was shown."""
        self._settle()
        kind = "journey"
        if isinstance(shown, Summary):
            kind, shown = "summary", replace(shown, rows=tuple(map(self._row, shown.rows)))
        self._items.append([kind, encode(self._editor.gathered(shown))])

    def tick(self, now: float) -> None:
        """The renderers were asked for what is due. Writes to the file once a second, or when there is much."""
        self._settle()
        if now - self._told_at < _TICKS_SECONDS:
            self._items.append(["tick", now])
        if self._items and (
            self._clock() - self._flushed_at >= _FLUSH_SECONDS or len(self._items) >= _FLUSH_ITEMS
        ):
            self._flush()

    def end(self, end: End) -> None:
        self._settle()
        self._items.append(["end", encode(self._editor.value(end))])
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

    def _settle(self) -> None:
        if self._pending is not None:
            self._items.append(self._pending)
            self._pending = None

    def _symbols(self, addresses: tuple[int, ...]) -> None:
        new = []
        for address in addresses:
            frame = self._frames.get(address)
            if frame is not None and self._written_frames.get(address) != frame:
                self._written_frames[address] = frame
                new.append([self._editor.kernel_address(address), frame.function, frame.offset, frame.module])
        if new:
            self._items.append(["symbols", new])

    def _answer(self, name: str, answer: Any) -> int | list[int]:
        """The slot that holds this answer; the host gives the same one to many events."""
        if name == GONE_STATES:
            return self._gone_states(answer)
        last, slot = self._same_answer.get(name, (None, -1))
        if slot >= 0 and (last is answer or (type(last) is type(answer) and last == answer)):
            return slot
        data = encode(self._editor.value(answer))
        key = json.dumps([name, data])
        found = self._answers.get(key)
        if found is None:
            found = self._take_slot(key)
            self._items.append(["answer", found, name, data])
        self._same_answer[name] = (answer, found)
        return found

    def _gone_states(self, gone: tuple[GoneState, ...]) -> list[int]:
        """Each is written once: first and number of those that the answer had. They only ever get more at the end."""
        new = []
        for state in reversed(gone):
            if state is self._last_gone:
                break
            new.append(encode(self._editor.value(state)))
        if new:
            self._items.append(["gone", new[::-1]])
            self._gone_written += len(new)
            self._last_gone = gone[-1]
        return [self._gone_written - len(gone), len(gone)]

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
        for frame in frames.pack(items) if items else ():
            self._write(frame)
