"""The frame that an expression sees is the same in the kernel and in user space.

bpf/expression.c is compiled for the host.
"""

import ctypes
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropwatch.match.expression import frame_of
from dropwatch.packet.parse import parse_event
from dropwatch.wire.drop import PACKET_BYTES, DropRecord
from dropwatch.wire.settings import ExpressionKind, Frame
from tests.unit.conftest import build_drop, build_event
from tests.unit.fuzz.expressions import DATA
from tests.unit.probe.compiled import compiled

BUFFER_AT = 64  # where a stand-in for struct sk_buff has its members
MEMBERS = ("mac_header", "vlan_proto", "vlan_tci")
HOST = """
struct map { struct frame *(*lookup)(int *); };
static struct frame *only_frame;
static struct frame *find(int *key) { return only_frame; }
#define BPF_PERCPU_ARRAY(name, kind, size) static struct map name = {find}
#define CALL_EXPRESSION(frame) 0
static struct settings asked;
static struct settings *current_settings(void) { return &asked; }
#include "flow.c"
#include "header.c"
#include "segment.c"
#include "expression.c"
void fill(struct frame *frame, struct drop_record *record, const u8 *memory, u32 size, u32 packet, u32 length,
	u16 protocol, u32 asks)
{
	asked.asks_expression = asks;
	struct buffer buffer = {.address = (u64)memory, .head = (u64)memory, .protocol = protocol};
	struct flow flow = {};
	union scratch scratch;
	only_frame = frame;
	may_read(memory, size);
	buffer.end = readable_end;
	buffer.length = length;
	expression_fits(&asked, &buffer, (u64)memory + packet, &flow, FRAME_OF_DEATH, &scratch);
	put_link(record, FRAME_OF_DEATH, memory, 0);
}
"""
Fill = Callable[[bytes, bytes | None, int, int, int, ExpressionKind], tuple[Frame, bytes]]


@pytest.fixture(scope="module")
def fill(tmp_path_factory: pytest.TempPathFactory) -> Fill:
    """The frame of a packet with these addresses, skb->len, skb->protocol and tag, and the record's link header."""
    places = {f"OFF_sk_buff__{member}": BUFFER_AT + 2 * at for at, member in enumerate(MEMBERS)}
    function = compiled(tmp_path_factory.mktemp("expression"), HOST, places).fill

    def call(
        packet: bytes, addresses: bytes | None, length: int, protocol: int, tag: int, asks: ExpressionKind
    ) -> tuple[Frame, bytes]:
        mac = 0xFFFF if addresses is None else BUFFER_AT + 6
        buffer = struct.pack("=H", mac) + struct.pack("!H", tag >> 16) + struct.pack("=H", tag & 0xFFFF)
        before = bytes(BUFFER_AT) + buffer + (addresses + bytes(2) if addresses is not None else b"")
        memory, frame, record = before + packet, Frame(), DropRecord()
        ctypes.memset(ctypes.byref(frame), 0xAA, ctypes.sizeof(frame))
        where = ctypes.byref(frame), ctypes.byref(record), memory
        function(*where, len(memory), len(before), length, protocol, int(asks))
        return frame, bytes(record.link[: record.link_length])

    return call


def seen_by_user_space(
    packet: bytes, link: bytes, length: int, protocol: int, asks: ExpressionKind
) -> tuple[bytes, int] | None:
    event = build_event(packet=packet[:PACKET_BYTES], link=link, length=length, protocol=protocol)
    drop = build_drop(parse_event(event), event)
    return frame_of(drop, drop.packet, asks_tag=asks is ExpressionKind.TAG)


ADDRESSES = bytes.fromhex("020000000001020000000002")
PROTOCOLS = st.sampled_from([0, 0x0800, 0x86DD, 0x0806, 0x8100])
TAGS = st.sampled_from([0, 0x81000007, 0x88A80FFF])
ASKS = st.sampled_from([ExpressionKind.PLAIN, ExpressionKind.TAG])


@given(DATA.filter(bool), st.booleans(), st.integers(0, 3000), PROTOCOLS, TAGS, ASKS)
def test_both_see_the_same_frame(
    fill: Fill,
    packet: bytes,
    has_link: bool,
    length: int,
    protocol: int,
    tag: int,
    asks: ExpressionKind,
) -> None:
    frame, link = fill(packet, ADDRESSES if has_link else None, length, protocol, tag, asks)
    captured = bytes(frame.bytes[: frame.captured])
    tagged = struct.pack("!I", tag) if tag else b""
    in_frame = tagged if asks is ExpressionKind.TAG else b""
    assert link[:-2] == (ADDRESSES if has_link else bytes(12)) + tagged
    assert captured == link[:12] + in_frame + link[-2:] + packet[:PACKET_BYTES]
    assert seen_by_user_space(packet, link, length, protocol, asks) == (captured, frame.length)
    untagged = bytes(12) + link[-2:] + packet[:PACKET_BYTES]
    without = seen_by_user_space(packet, b"", length, protocol, asks)
    assert without == (untagged, frame.length - len(in_frame))
