"""Nothing in a packet makes the walk, or what reads its layers, fail."""

from hypothesis import given
from hypothesis import strategies as st

from dropwatch.packet.headers import headers
from dropwatch.packet.outline import outline
from dropwatch.packet.parse import parse_event
from dropwatch.packet.rewrite import headers_only, rewritten
from dropwatch.packet.walk import walk_event
from tests.unit.conftest import build_event
from tests.unit.fuzz.changes import changed
from tests.unit.packet.combined import combined

MOST_BYTES = 256
PACKETS = [packet for _, packet in combined()]
ETHERTYPES = (0, 0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8, 0x8847, 0x88CC, 0x6558, 0x880B, 0xFFFF)


@given(changed(PACKETS) | st.binary(max_size=MOST_BYTES), st.sampled_from(ETHERTYPES), st.integers(0, 70_000))
def test_any_bytes_are_a_packet(data: bytes, protocol: int, length: int) -> None:
    event = build_event(packet=data[:MOST_BYTES], protocol=protocol, length=length)
    walked = walk_event(event)
    ends = [0]
    for layer in walked.layers:
        assert ends[-1] <= layer.at <= layer.end <= len(event.packet)
        ends.append(layer.end)
    packet = parse_event(event)
    assert packet.header_error is None or packet.header_error.isprintable()
    for header in headers(event):
        assert str(header).isprintable()
    outline(walked)
    for payload in (True, False):
        assert len(rewritten(walked, payload=payload)) <= len(event.packet)
    assert event.packet.startswith(headers_only(walked)[:1])
