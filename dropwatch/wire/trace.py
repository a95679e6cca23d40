"""The records of bpf/trace_step.c: ctypes mirrors of struct step_record and struct step_field in bpf/event.h."""

import ctypes
from ctypes import c_char, c_int32, c_uint8, c_uint32, c_uint64

from dropwatch.model.journey import Kind, RawStep
from dropwatch.names.foreign import foreign
from dropwatch.wire.header import RecordHeader

STEP_PACKET_BYTES = 160
STEP_CALLERS = 8
STEP_FIELDS = 16
STEP_CALL, STEP_RETURN, STEP_RECEIVE, STEP_QUEUE, STEP_TRANSMIT, STEP_CONSUMED, STEP_COPIED, STEP_VERDICT = (
    range(8)
)
_KINDS: tuple[Kind, ...] = (
    *("call", "return", "receive", "queue", "transmit", "consumed", "copied", "verdict"),
)
_NAME_BYTES = 16
_TABLE_BYTES = 32


class StepField(ctypes.Structure):
    """`place` is the offset of the member's first byte, plus one; 0: none."""

    _fields_ = (("is_shared", c_uint32), ("place", c_uint32))


class StepRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("journey", c_uint64),
        ("function", c_uint64),
        ("sp", c_uint64),
        ("value", c_uint64),
        ("step", c_uint32),
        ("fits", c_uint32),
        ("cpu", c_uint32),
        ("pid", c_uint32),
        ("is_task", c_uint32),
        ("netns", c_uint32),
        ("ifindex", c_uint32),
        ("route_ifindex", c_uint32),
        ("length", c_uint32),
        ("mark", c_uint32),
        ("protocol", c_uint32),
        ("packet_length", c_uint32),
        ("hook", c_uint32),
        ("family", c_uint32),
        ("callers_bytes", c_int32),
        ("pad", c_uint32),
        ("ifname", c_char * _NAME_BYTES),
        ("route_ifname", c_char * _NAME_BYTES),
        ("comm", c_char * _NAME_BYTES),
        ("table", c_char * _TABLE_BYTES),
        ("chain", c_char * _TABLE_BYTES),
        ("fields", c_uint64 * STEP_FIELDS),
        ("callers", c_uint64 * STEP_CALLERS),
        ("packet", c_uint8 * STEP_PACKET_BYTES),
    )


def raw_step(data: bytes) -> RawStep:
    """One record. Raises ValueError when it says something that there is not."""
    record = StepRecord.from_buffer_copy(data)
    if record.step >= len(_KINDS):
        raise ValueError(f"a step of unknown kind {record.step}")
    return RawStep(
        monotonic_ns=record.header.time_ns,
        journey=record.journey,
        kind=_KINDS[record.step],
        buffer=record.header.skb,
        fits=record.fits == 1,
        function=record.function,
        sp=record.sp,
        value=record.value,
        cpu=record.cpu,
        pid=record.pid,
        comm=foreign(record.comm),
        is_task=bool(record.is_task),
        netns=record.netns,
        ifindex=record.ifindex,
        ifname=foreign(record.ifname),
        route_ifindex=record.route_ifindex,
        route_ifname=foreign(record.route_ifname),
        length=record.length,
        mark=record.mark,
        protocol=record.protocol,
        hook=record.hook,
        family=record.family,
        table=foreign(record.table),
        chain=foreign(record.chain),
        callers=tuple(record.callers[: max(record.callers_bytes, 0) // 8]),
        fields=tuple(record.fields),
        packet=bytes(record.packet[: record.packet_length]),
    )
