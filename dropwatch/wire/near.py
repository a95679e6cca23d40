"""Drops that nearly fit, as bpf/near.c keeps them: the mirror of its struct near and struct near_looks."""

import struct
from typing import NamedTuple

from dropwatch.model.drop import Packet
from dropwatch.names.foreign import foreign
from dropwatch.wire.flow import FLOW_BYTES, flow_packet

# packets, location, flow, netns, misses, distance, ifindex, mark, ifname
_NEAR = struct.Struct(f"=QQ{FLOW_BYTES}sIIIII16s")
NEAR_BYTES = _NEAR.size


class RawNear(NamedTuple):
    """Numbers of the kernel; `packet` is the first of `packets` that have its addresses, protocol and service port."""

    packets: int
    location: int
    packet: Packet
    netns: int
    ifindex: int
    ifname: str


def near_of(raw: bytes) -> RawNear | None:
    """None of a place where nothing is. Raises struct.error for bytes of another length."""
    packets, location, flow, netns, _, _, ifindex, mark, name = _NEAR.unpack(raw)
    if not packets:
        return None
    return RawNear(
        packets, location, flow_packet(flow, mark), netns, ifindex, foreign(name.partition(b"\0")[0])
    )


def passed_over(looks: tuple[int, ...]) -> int:
    """Of struct near_looks as u64s: what was not looked at, and what had no room."""
    return looks[0] + looks[1]
