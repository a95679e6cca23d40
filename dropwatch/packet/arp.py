"""The addresses of IPv4 that a message of ARP is about: who sends it, and whom it asks or tells."""

import struct
from ipaddress import IPv4Address

from dropwatch.model.drop import Event

_ETHERTYPE = 0x0806
_HEADER = struct.Struct(
    "!HHBB"
)  # RFC 826: hardware, protocol, and the lengths of their addresses; then the operation
_IPV4, _BYTES = 0x0800, 4
_REPLY = b"\0\2"


def is_reply(event: Event) -> bool:
    """Whether this message of ARP tells an address; else it asks for one."""
    return event.protocol == _ETHERTYPE and event.packet[6:8] == _REPLY


def arp_addresses(event: Event) -> tuple[IPv4Address, ...]:
    """Sender and target; nothing where it is another message, of another protocol, or cut short."""
    packet = event.packet
    if event.protocol != _ETHERTYPE or len(packet) < _HEADER.size:
        return ()
    _, protocol, hardware_bytes, protocol_bytes = _HEADER.unpack_from(packet)
    sender = 8 + hardware_bytes
    target = sender + _BYTES + hardware_bytes
    if (protocol, protocol_bytes) != (_IPV4, _BYTES) or len(packet) < target + _BYTES:
        return ()
    return IPv4Address(packet[sender : sender + _BYTES]), IPv4Address(packet[target : target + _BYTES])
