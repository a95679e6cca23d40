"""Whether a packet fits a pcap-filter expression: by its bytes, or by what is known of it without them."""

from collections.abc import Iterator

from dropwatch.model.drop import Drop, Packet
from dropwatch.model.expression import Any, Expression, Fact, Node, Not
from dropwatch.names import protocols
from dropwatch.packet.layer import Layer
from dropwatch.packet.parse import ip_headers
from dropwatch.packet.walk import walk_event
from dropwatch.pcap.machine import matches

_ADDRESS_BYTES = 12
_NO_ADDRESSES = bytes(_ADDRESS_BYTES)


def fits(expression: Expression, drop: Drop, packet: Packet) -> bool:
    """`packet` is the drop's own, or one that it carries or quotes."""
    found = frame_of(drop, packet, asks_tag=expression.asks_tag)
    return found is not None and matches(expression.program, *found)


def frame_of(drop: Drop, packet: Packet, *, asks_tag: bool) -> tuple[bytes, int] | None:
    """A frame of Ethernet, as far as there is one, and how long the whole is; as bpf/expression.c makes it."""
    event = drop.event
    if packet is drop.packet:
        data, whole, protocol = event.packet, event.length, event.protocol
        link = (event.link[:-2] or _NO_ADDRESSES) + _ethertype(data, protocol)
        if not asks_tag:
            link = link[:_ADDRESS_BYTES] + link[-2:]
    else:
        header = _header(drop, packet)
        if header is None:
            return None
        data, protocol = header.data[header.at : header.limit], 0
        link, whole = _NO_ADDRESSES + _ethertype(data, 0), len(data)
    return link + data, len(link) + (_length(data, protocol) or whole)


def _ethertype(data: bytes, protocol: int) -> bytes:
    """Of IP the bytes tell, as bpf/expression.c has it: what is sent may not have got its protocol yet."""
    if protocol in (0, 0x0800, 0x86DD) and data:
        protocol = {4: 0x0800, 6: 0x86DD}.get(data[0] >> 4, protocol)
    return protocol.to_bytes(2, "big")


def _length(data: bytes, protocol: int) -> int:
    """That the header of IP tells, 0: it does not."""
    kind, version = _ethertype(data, protocol), data[0] >> 4 if data else 0
    if kind == b"\x08\x00" and version == 4 and len(data) >= 20:
        return int.from_bytes(data[2:4], "big")
    if kind == b"\x86\xdd" and version == 6 and len(data) >= 40 and any(data[4:6]):
        return int.from_bytes(data[4:6], "big") + 40
    return 0


def _header(drop: Drop, packet: Packet) -> Layer | None:
    """Where the bytes of a packet begin that is inside of the drop's."""
    inside = [drop.packet, *carried(drop.packet)]
    headers = ip_headers(walk_event(drop.event))
    for found, header in zip(reversed(inside), reversed(headers), strict=False):
        if found is packet:
            return header
    return None


def carried(packet: Packet) -> Iterator[Packet]:
    """The packets in it, from the outermost on: what it carries or quotes, and what that does."""
    found = packet.inner or packet.quoted
    while found is not None:
        yield found
        found = found.inner or found.quoted


def possible(node: Node, packet: Packet) -> bool | None:
    """Whether a packet of which the payload is not there, perhaps no ports either, can fit; None: it may."""
    if isinstance(node, Not):
        found = possible(node.part, packet)
        return None if found is None else not found
    if isinstance(node, Fact):
        return _of_fact(node, packet)
    each = [possible(part, packet) for part in node.parts]
    decides = isinstance(node, Any)
    if decides in each:
        return decides
    return None if None in each else not decides


def _of_fact(fact: Fact, packet: Packet) -> bool | None:
    if fact.family == 0 and fact.rest:
        return None
    if fact.family is not None and packet.family != fact.family:
        return False
    number = protocols.number_or_ethertype(packet.proto) if packet.proto is not None else None
    if fact.protos and number not in fact.protos:
        return False
    if fact.network is not None:
        ends = [
            address is not None and address.version == fact.network.version and address in fact.network
            for address in (packet.saddr, packet.daddr)
        ]
        if not _at_side(fact, ends):
            return False
    ports = _has_ports(fact, packet)
    if ports is False:
        return False
    return None if fact.rest else ports


def _has_ports(fact: Fact, packet: Packet) -> bool | None:
    """None: nobody knows the packet's."""
    if fact.ports is None:
        return True
    if packet.sport is None or packet.dport is None:
        return None
    return _at_side(fact, [fact.ports[0] <= port <= fact.ports[1] for port in (packet.sport, packet.dport)])


def _at_side(fact: Fact, ends: list[bool]) -> bool:
    """Of source and destination."""
    return {"src": ends[0], "dst": ends[1], "either": any(ends), "both": all(ends)}[fact.side]
