"""The bytes of a flow that the programs counted become its addresses: the mirror of struct flow in bpf/flow.c."""

import struct
from ipaddress import IPv4Address, IPv6Address

from dropwatch.model.drop import Address, Packet
from dropwatch.model.summary import FlowCount
from dropwatch.names import protocols

# saddr, daddr, what, sport, dport, family, proto, has_ports, is_carrier
_FLOW = struct.Struct("=16s16sIHHBBBB")
FLOW_BYTES = _FLOW.size


def flow_count(flow: bytes, packets: int) -> FlowCount:
    """Raises struct.error for bytes of another length."""
    saddr, daddr, _, _, dport, family, proto, has_ports, _ = _FLOW.unpack(flow)
    return FlowCount(
        family=family or None,
        proto=protocols.name(proto),
        saddr=_address(saddr, family),
        daddr=_address(daddr, family),
        dport=dport if has_ports else None,
        packets=packets,
    )


def flow_packet(flow: bytes, mark: int) -> Packet:
    """What is known of a packet by its flow. Raises struct.error."""
    saddr, daddr, _, sport, dport, family, proto, has_ports, _ = _FLOW.unpack(flow)
    return Packet(
        family=family or None,
        proto=protocols.name(proto),
        saddr=_address(saddr, family),
        daddr=_address(daddr, family),
        sport=sport if has_ports else None,
        dport=dport if has_ports else None,
        length=0,
        mark=mark,
    )


def _address(raw: bytes, family: int) -> Address | None:
    """IPv4 stands in the last four bytes, as ::ffff:a.b.c.d."""
    if family == 4:
        return IPv4Address(raw[12:])
    return IPv6Address(raw) if family == 6 else None
