"""What a judge needs of a packet's own bytes beyond its headers: payloads and the checksum of ICMP."""

from dropwatch.model.drop import Drop

_ICMP, _TCP, _UDP, _ICMP6 = 1, 6, 17, 58


def tcp_payload_length(drop: Drop) -> int | None:
    """Bytes of data in a TCP segment; None for what is no complete TCP header directly behind IP."""
    found = _transport(drop, _TCP)
    if found is None:
        return None
    header, segment = found
    return drop.packet.length - header - (segment[12] >> 4) * 4 if len(segment) > 12 else None


def udp_payload(drop: Drop) -> bytes | None:
    """The data of a UDP datagram, as UDP's own length says; None where it was not captured completely."""
    found = _transport(drop, _UDP)
    if found is None or len(found[1]) < 8:
        return None
    length = int.from_bytes(found[1][4:6], "big")
    return found[1][8:length] if 8 <= length <= len(found[1]) else None


def icmp_checksum_holds(drop: Drop) -> bool:
    """True only if the whole ICMP or ICMPv6 message was captured and its checksum is right.

    RFC 792: over the message; RFC 4443, 2.3: also over addresses, length and protocol.
    """
    packet = drop.event.packet
    if drop.packet.family == 4:
        found, pseudo_header = _transport(drop, _ICMP), b""
        length = drop.packet.length - found[0] if found is not None else 0
    else:
        found, length = _transport(drop, _ICMP6), int.from_bytes(packet[4:6], "big")
        pseudo_header = packet[8:40] + length.to_bytes(4, "big") + bytes((0, 0, 0, _ICMP6))
    if found is None or length <= 0 or len(found[1]) < length:
        return False
    covered = pseudo_header + found[1][:length]
    total = sum(
        int.from_bytes(covered[at : at + 2].ljust(2, b"\0"), "big") for at in range(0, len(covered), 2)
    )
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def _transport(drop: Drop, proto: int) -> tuple[int, bytes] | None:
    """Length of the IP header and the bytes behind it; None for another protocol, fragments, extension headers."""
    packet = drop.event.packet
    if drop.packet.fragment_offset or drop.packet.more_fragments:
        return None
    if len(packet) >= 20 and packet[0] >> 4 == 4 and packet[9] == proto:
        header = (packet[0] & 0xF) * 4
    elif len(packet) >= 40 and packet[0] >> 4 == 6 and packet[6] == proto:
        header = 40
    else:
        return None
    return header, packet[header:]
