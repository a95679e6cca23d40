"""What is sent on purpose: datagrams, single TCP segments, pings and bare frames, each exactly once."""

import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from scenarios.namespaces import Namespace

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
ETH_P_IP, ETH_P_ARP = 0x0800, 0x0806
BROADCAST = b"\xff" * 6


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@contextmanager
def open_socket(end: Namespace, family: int, kind: int, proto: int = 0) -> Iterator[socket.socket]:
    with end.entered():
        made = socket.socket(family, kind, proto)
    with made:
        yield made


def datagrams(
    end: Namespace, address: str, ports: Iterable[int], *, source: str = "", sport: int = 0
) -> None:
    """One UDP datagram to each of the ports, in this order. A refusal on the way out (EPERM) is no error."""
    with open_socket(end, family_of(address), socket.SOCK_DGRAM) as sender:
        if source or sport:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sender.bind((source, sport))
        for port in ports:
            _send(sender, b"datagram", (address, port))


def segments(
    end: Namespace,
    ends: tuple[str, str],
    ports: tuple[int, int],
    flags: int = SYN,
    *,
    seq: int = 1,
    ack: int = 0,
    options: bytes = b"",
    data: bytes = b"",
    count: int = 1,
    step: int = 0,
    spoilt: bool = False,
) -> None:
    """TCP segments that nobody retransmits: the same one `count` times, or each `step` further on.

    `options` and `data` are of an even length, the former of four times something. `spoilt`: with a wrong checksum.
    """
    source, target = ends
    first = 5 + len(options) // 4 << 4
    with open_socket(end, family_of(source), socket.SOCK_RAW, socket.IPPROTO_TCP) as sender:
        sender.bind((source, 0))
        for number in range(count):
            numbers = (seq + number * step) % (1 << 32), ack % (1 << 32) if flags & ACK else 0
            bare = struct.pack("!HHIIBBHHH", *ports, *numbers, first, flags, 64240, 0, 0) + options + data
            right = checksum(pseudo_header(ends, socket.IPPROTO_TCP, len(bare)) + bare)
            segment = bare[:16] + struct.pack("!H", right ^ 0x5555 if spoilt else right) + bare[18:]
            _send(sender, segment, (target, 0))


def spoilt_datagram(end: Namespace, ends: tuple[str, str], ports: tuple[int, int], *, cut: bool) -> None:
    """One UDP datagram over IPv4 with a wrong checksum; `cut`: it says that it is longer than it is."""
    length = 16
    header = struct.pack("!HHHH", *ports, length + (20 if cut else 0), 0)
    right = checksum(pseudo_header(ends, socket.IPPROTO_UDP, length) + header + b"datagram")
    with open_socket(end, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as sender:
        _send(sender, header[:6] + struct.pack("!H", right ^ 0x5555) + b"datagram", (ends[1], 0))


def spoilt_ping(end: Namespace, address: str) -> None:
    """An ICMP echo request over IPv4 with a wrong checksum."""
    with open_socket(end, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sender:
        _send(sender, struct.pack("!BBHHH", 8, 0, 0x5555, 77, 1), (address, 0))


def pings(end: Namespace, address: str, count: int) -> None:
    """ICMP echo requests over IPv4."""
    with open_socket(end, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sender:
        for number in range(count):
            bare = struct.pack("!BBHHH", 8, 0, 0, 77, number)
            _send(sender, bare[:2] + struct.pack("!H", checksum(bare)) + bare[4:], (address, 0))


def frames(end: Namespace, iface: str, *, to: bytes, kind: int, body: bytes, count: int) -> None:
    """The same Ethernet frame `count` times, from the interface's own address."""
    with open_socket(end, socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((iface, 0))
        own = sender.getsockname()[4]
        for _ in range(count):
            sender.send(to + own + struct.pack("!H", kind) + body)


def hardware_address(end: Namespace, iface: str) -> bytes:
    with open_socket(end, socket.AF_PACKET, socket.SOCK_RAW) as reader:
        reader.bind((iface, 0))
        return bytes(reader.getsockname()[4])


def arp_request(sender: str, target: str, hardware: bytes) -> bytes:
    pieces = (hardware, socket.inet_aton(sender), bytes(6), socket.inet_aton(target))
    return struct.pack("!HHBBH", 1, ETH_P_IP, 6, 4, 1) + b"".join(pieces)


def udp_packet(source: str, target: str, port: int, *, data: bytes = b"datagram") -> bytes:
    """An IPv4 packet with a UDP datagram from port 40000, without a UDP checksum."""
    udp = struct.pack("!HHHH", 40000, port, 8 + len(data), 0) + data
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    bare = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, socket.IPPROTO_UDP, 0) + ends
    return bare[:10] + struct.pack("!H", checksum(bare)) + bare[12:] + udp


def pseudo_header(ends: tuple[str, str], proto: int, length: int) -> bytes:
    addresses = b"".join(socket.inet_pton(family_of(end), end) for end in ends)
    if len(addresses) == 8:
        return addresses + struct.pack("!BBH", 0, proto, length)
    return addresses + struct.pack("!II", length, proto)


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _send(sender: socket.socket, data: bytes, address: tuple[str, int]) -> None:
    try:
        sender.sendto(data, address)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOBUFS, errno.ECONNREFUSED, errno.EHOSTUNREACH):
            raise
