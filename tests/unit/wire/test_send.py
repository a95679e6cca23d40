"""The record of a send that failed becomes a note of the DROP record that comes after it."""

import ctypes

import pytest

from dropwatch.model.netfilter import HookFunction
from dropwatch.model.send import SendNote
from dropwatch.wire.decoder import Decoder
from dropwatch.wire.drop import SOURCES, DropRecord
from dropwatch.wire.header import RECORD_DROP, RecordHeader
from dropwatch.wire.note import KernelNames
from dropwatch.wire.send import CALLERS, PROBED, RECORD_SEND, SEND_NOTE, SendCode, SendRecord

NAMES = KernelNames({}, {}, lambda address: None, lambda address, time_ns: HookFunction(None))


def header(kind: int, layout: type[ctypes.Structure]) -> RecordHeader:
    return RecordHeader(83_521_935_614, 0xFFFF888100ABCD00, kind, ctypes.sizeof(layout))


@pytest.mark.parametrize("known", [0, 7])
def test_it_has_what_the_record_says(known: int) -> None:
    decoder = Decoder([SEND_NOTE], NAMES)
    values = (known, known * 200, known * 300, known + 3 if known else 0)
    made = SendRecord(header(RECORD_SEND, SendRecord), -90, 1000, *values)
    assert decoder.feed(bytes(made)) is None, "the DROP record comes after it"
    event = decoder.feed(
        bytes(DropRecord(header(RECORD_DROP, DropRecord), source=SOURCES.index("ip_local_error")))
    )
    assert event is not None
    assert event.source == "ip_local_error"
    assert event.send == SendNote(90, 1000, *(value or None for value in values))


def test_all_code_has_its_place() -> None:
    assert len(SendCode().probed) == len(PROBED)
    assert len(SendCode().caller) >= len(CALLERS)
