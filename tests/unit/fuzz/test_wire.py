"""Records are the kernel's, but what they hold of packets, processes, rules and connections is anybody's."""

import ctypes
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dropwatch.model.netfilter import HookFunction
from dropwatch.names.foreign import foreign, printable, quoted, raw_name
from dropwatch.wire import ipsec, listener, netfilter, past, socket
from dropwatch.wire.decoder import Decoder
from dropwatch.wire.drop import _PAST, SOURCES, DropRecord
from dropwatch.wire.header import RECORD_DROP, RecordHeader
from dropwatch.wire.note import KernelNames

NOTES = [
    note
    for room in (netfilter, ipsec, socket, listener, past)
    for name, note in vars(room).items()
    if name.endswith("NOTE")
]
NAMES = KernelNames({}, {}, lambda address: None, lambda address, time_ns: HookFunction(None, None))


@given(st.sampled_from(NOTES), st.data())
def test_any_record_of_the_right_size_is_understood(note: Any, data: st.DataObject) -> None:
    decoder = Decoder(NOTES, NAMES)
    death = bytearray(
        data.draw(st.binary(min_size=ctypes.sizeof(DropRecord), max_size=ctypes.sizeof(DropRecord)))
    )
    record = DropRecord.from_buffer(death)
    record.header = RecordHeader(5, 7, RECORD_DROP, ctypes.sizeof(DropRecord))
    of_past = note is past.PAST_NOTE
    record.source, record.detail = record.source % len(SOURCES), note.follows and not of_past
    record.notes = record.notes | _PAST if of_past else record.notes & ~_PAST
    record.link_length %= len(record.link)
    record.stack_bytes, record.packet_length = record.stack_bytes % 512, record.packet_length % 256
    size = ctypes.sizeof(note.layout)
    beside = bytearray(data.draw(st.binary(min_size=size, max_size=size)))
    note.layout.from_buffer(beside).header = RecordHeader(5, 7, note.kind, size)
    records = (death, beside) if note.follows else (beside, death)
    decoder.feed(bytes(records[0]))
    event = decoder.feed(bytes(records[1]))
    assert event is not None
    assert event.comm.isprintable()
    assert event.ifname.isprintable()
    assert printable(repr(event)) == repr(event)


@given(st.binary(max_size=40).filter(lambda raw: b"\0" not in raw) | st.text(max_size=20))
def test_any_name_is_shown_and_can_be_asked_for(name: bytes | str) -> None:
    shown = foreign(name)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert quoted(shown).isprintable()
    if isinstance(name, bytes):
        assert raw_name(shown) == name
