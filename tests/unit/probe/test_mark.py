"""What stands where a packet has its mark is told from a mark: bpf/mark.c, compiled for the host."""

import ctypes
import struct
from collections.abc import Callable

import pytest

from tests.unit.probe.compiled import compiled

HOST = """
#define PROTO_HOPOPTS 0
#define PROTO_ICMPV6 58
#include "mark.c"
u32 mark_of(u8 *head, u32 limit, u16 protocol, u16 network, u8 *device, u32 mark)
{
	union scratch scratch;
	may_read(0, -1);
	struct buffer buffer = {.head = (u64)head, .data = (u64)head + network, .limit = limit, .protocol = protocol,
				.network = network, .device = (u64)device, .mark = mark};
	forget_no_mark(&buffer, &scratch);
	return buffer.mark;
}
"""
HEADROOM, ROOM = 16, 1712  # what kmalloc leaves for an MTU of 1500: 0xd4 more than that
NAMES = {"OFF_net_device__mtu": 0, "OFF_net_device__needed_tailroom": 4}
MLD = bytes([0x60, *bytes(5), 0, 1, *bytes(32), 58, 0, 5, 2, 0, 0, 1, 0, 143, *bytes(27)])
IGMP = bytes([0x46, *bytes(8), 2, *bytes(10), 0x94, 4, 0, 0, 0x22, *bytes(47)])
MLD_QUERY = MLD[:48] + bytes([130]) + MLD[49:]
UDP = bytes([0x45, *bytes(8), 17, *bytes(70)])
MarkOf = Callable[..., int]


@pytest.fixture(scope="module")
def mark_of(tmp_path_factory: pytest.TempPathFactory) -> MarkOf:
    function = compiled(tmp_path_factory.mktemp("mark"), HOST, NAMES).mark_of
    function.restype = ctypes.c_uint32

    def ask(
        packet: bytes,
        mark: int,
        mtu: int = 1500,
        needed: int = 0,
        protocol: int = 0x86DD,
        network: int = HEADROOM,
    ) -> int:
        head = ctypes.create_string_buffer(bytes(network) + packet)
        device = ctypes.create_string_buffer(struct.pack("=IH", mtu, needed))
        return int(function(head, network + ROOM, protocol, network, device, mark))

    return ask


@pytest.mark.parametrize("report", [MLD, IGMP])
def test_the_room_that_a_report_keeps_free_is_no_mark(mark_of: MarkOf, report: bytes) -> None:
    assert mark_of(report, ROOM - 1500) == 0
    assert mark_of(report, ROOM - 1280, mtu=1280) == 0
    assert mark_of(report, 16, mtu=9000, needed=16) == 0, "the MTU takes all: what the device needs is kept"


@pytest.mark.parametrize("report", [MLD, IGMP])
@pytest.mark.parametrize("mark", [1, ROOM - 1499, ROOM, ROOM + 1, 0xFFFFFFFF])
def test_a_mark_that_somebody_set_on_a_report_stays(mark_of: MarkOf, report: bytes, mark: int) -> None:
    assert mark_of(report, mark) == mark
    assert mark_of(report, mark, mtu=9000) == mark


@pytest.mark.parametrize("packet", [MLD_QUERY, UDP])
def test_no_other_packet_loses_its_mark(mark_of: MarkOf, packet: bytes) -> None:
    assert mark_of(packet, ROOM - 1500) == ROOM - 1500


def test_what_no_protocol_has_had_has_no_mark(mark_of: MarkOf) -> None:
    """A segment of TCP for which there was no route: ip_queue_xmit had not set it yet."""
    assert mark_of(UDP, 77, protocol=0, network=0) == 0
    assert mark_of(UDP, 77, protocol=0x800, network=0) == 77
    assert mark_of(UDP, 77, protocol=0) == 77
