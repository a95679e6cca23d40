"""Bytes from the kernel become Events: joins the records of one death, whichever families have sent them."""

import ctypes
from collections import deque
from collections.abc import Callable, Iterable
from ctypes import c_char

from dropwatch.model.drop import Event
from dropwatch.model.ipsec import GoneState
from dropwatch.model.journey import RawStep
from dropwatch.model.resent import ResentSegment
from dropwatch.names.foreign import foreign
from dropwatch.wire.drop import DropRecord, event_of_drop, records_to_follow
from dropwatch.wire.header import (
    RECORD_DROP,
    RECORD_MODULE,
    RECORD_RESENT,
    RECORD_STEP,
    RECORD_XFRM_GONE,
    RecordHeader,
)
from dropwatch.wire.ipsec import XfrmRecord, gone_state
from dropwatch.wire.note import KernelNames, Note
from dropwatch.wire.resent import ResentRecord, resent_segment
from dropwatch.wire.trace import StepRecord, raw_step

LOSS_RING_FULL, LOSS_DETAIL, NOT_A_PACKET, LOSS_ROWS, INTERRUPTING, LOSS_STEPS, FOLDED, NEW_ROWS = range(8)
_GONE_STATES = 1 << 14  # SAs that are remembered after their end
_LOST_AFTER_NS = 10**9  # a note that is so much older than a death lost its DROP record to a full ring


class ModuleRecord(ctypes.Structure):
    _fields_ = (("header", RecordHeader), ("name", c_char * 56))


_Key = tuple[int, int]  # time and packet: the same in all records of a death


class Decoder:
    """Joins the records of one death: the notes that come before its DROP record, and those that follow it.

    A record of another type or size than expected raises ValueError.
    """

    def __init__(self, notes: Iterable[Note], names: KernelNames) -> None:
        self._names = names
        self._notes = {note.kind: note for note in notes}
        self._take: dict[int, Callable[[_Key, bytes], Event | None]] = {
            RECORD_DROP: self._drop,
            RECORD_MODULE: self._module,
            RECORD_STEP: self._step,
            RECORD_XFRM_GONE: self._gone,
            RECORD_RESENT: self._sent_again,
            **{
                kind: self._following if note.follows else self._preceding
                for kind, note in self._notes.items()
            },
        }
        self._layouts = _LAYOUTS | {kind: note.layout for kind, note in self._notes.items()}
        self._before: dict[_Key, list[bytes]] = {}
        self._waiting: dict[_Key, tuple[Event, int]] = {}  # and how many records are to come
        self.modules: set[str] = set()  # that came or went, since the reader cleared it
        self.gone_states: deque[GoneState] = deque(maxlen=_GONE_STATES)
        self.steps: list[RawStep] = []  # of packets that are followed, since the reader took them
        self.resent: list[ResentSegment] = []  # since the reader took them

    def feed(self, data: bytes) -> Event | None:
        """One record; an Event when it completes one."""
        header = RecordHeader.from_buffer_copy(data)
        layout = self._layouts.get(header.type)
        if layout is None:
            raise ValueError(f"record of unknown type {header.type}")
        if header.size != ctypes.sizeof(layout) or len(data) < header.size:
            raise ValueError(
                f"record of type {header.type} has {header.size} bytes, not {ctypes.sizeof(layout)}"
            )
        return self._take[header.type]((header.time_ns, header.skb), data)

    def overdue(self, died_before_ns: int) -> list[Event]:
        """Events that still wait for the note that is to follow, of deaths before this monotonic time: it was lost."""
        if not self._waiting:
            return []
        late = [key for key in self._waiting if key[0] < died_before_ns]
        return [self._waiting.pop(key)[0] for key in late]

    def _drop(self, key: _Key, data: bytes) -> Event | None:
        record = DropRecord.from_buffer_copy(data)
        event = event_of_drop(record)
        if self._before:
            for note in self._before.pop(key, ()):
                event = self._with_note(event, note)
            self._before = {k: notes for k, notes in self._before.items() if k[0] + _LOST_AFTER_NS > key[0]}
        to_follow = records_to_follow(record)
        if not to_follow:
            return event
        self._waiting[key] = event, to_follow
        return None

    def _preceding(self, key: _Key, data: bytes) -> None:
        self._before.setdefault(key, []).append(data)

    def _following(self, key: _Key, data: bytes) -> Event | None:
        event, to_follow = self._waiting.pop(key, (None, 0))
        if event is None:
            return None
        event = self._with_note(event, data)
        if to_follow == 1:
            return event
        self._waiting[key] = event, to_follow - 1
        return None

    def _with_note(self, event: Event, data: bytes) -> Event:
        note = self._notes[RecordHeader.from_buffer_copy(data).type]
        return note.add(event, note.layout.from_buffer_copy(data), self._names)

    def _module(self, key: _Key, data: bytes) -> None:
        self.modules.add(foreign(ModuleRecord.from_buffer_copy(data).name))

    def _step(self, key: _Key, data: bytes) -> None:
        self.steps.append(raw_step(data))

    def _sent_again(self, key: _Key, data: bytes) -> None:
        self.resent.append(resent_segment(data))

    def _gone(self, key: _Key, data: bytes) -> None:
        self.gone_states.append(gone_state(XfrmRecord.from_buffer_copy(data), self._names.states))


_LAYOUTS: dict[int, type[ctypes.Structure]] = {
    RECORD_DROP: DropRecord,
    RECORD_MODULE: ModuleRecord,
    RECORD_STEP: StepRecord,
    RECORD_XFRM_GONE: XfrmRecord,
    RECORD_RESENT: ResentRecord,
}
