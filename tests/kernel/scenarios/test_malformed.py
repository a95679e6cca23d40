"""Packets whose headers make no sense: the field that is wrong is told, without the kernel's reason as well."""

import socket
import struct

import pytest
from scenarios import traffic
from scenarios.namespaces import Lab
from scenarios.outgoing import Losses, shown
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

COUNT = 3
PORTS = (41888, 5888)
KINDS = {4: traffic.ETH_P_IP, 6: 0x86DD}


def datagram(length: int | None = None) -> bytes:
    """Of UDP, with no checksum."""
    return struct.pack("!HHHH", *PORTS, 16 if length is None else length, 0) + b"datagram"


def ipv4(
    lab: Lab, *, first: int = 0x45, total: int = 36, spoilt: bool = False, body: bytes | None = None
) -> bytes:
    head = struct.pack("!BBHHHBBH", first, 0, total, 7, 0, 64, socket.IPPROTO_UDP, 0)
    head += socket.inet_aton(lab.a.v4) + socket.inet_aton(lab.b.v4)
    right = traffic.checksum(head)
    return (
        head[:10] + struct.pack("!H", right ^ 0x5555 if spoilt else right) + head[12:] + (body or datagram())
    )


def ipv6(
    lab: Lab, *, payload: int = 16, following: int = socket.IPPROTO_UDP, body: bytes | None = None
) -> bytes:
    addresses = b"".join(socket.inet_pton(socket.AF_INET6, end) for end in (lab.a.v6, lab.b.v6))
    return struct.pack("!IHBB", 6 << 28, payload, following, 64) + addresses + (body or datagram())


CASES = {
    "version": (4, {"first": 0x65}, "malformed.ip-header", "the version in the header is 6, not 4"),
    "header length": (4, {"first": 0x44}, "malformed.ip-header", "the length in the header is 16 bytes"),
    "checksum": (4, {"spoilt": True}, "malformed.ip-checksum", "would be right"),
    "cut": (4, {"total": 900}, "malformed.truncated", "the total length is 900 bytes"),
    "cut, IPv6": (6, {"payload": 900}, "malformed.truncated", "the payload length is 900 bytes"),
    "cut, UDP": (
        4,
        {"body": datagram(99)},
        "malformed.truncated",
        "the length in the UDP header is 99 bytes, and 16 arrived",
    ),
}


def sent(lab: Lab, family: int, packet: bytes) -> None:
    to = traffic.hardware_address(lab.b, lab.b.iface)
    traffic.frames(lab.a, lab.a.iface, to=to, kind=KINDS[family], body=packet, count=COUNT)


def is_it(line: Line) -> bool:
    """A header that makes no sense has no ports."""
    return line["where"]["function"] in ("ip_rcv_core", "ip6_rcv_core") or line["packet"]["dport"] == PORTS[1]


@pytest.mark.parametrize("how", CASES)
def test_the_field_is_told(lab: Lab, whydrop: Whydrop, how: str) -> None:
    family, wrong, cause, words = CASES[how]
    losses = Losses(lab.b, whydrop)
    sent(lab, family, ipv4(lab, **wrong) if family == 4 else ipv6(lab, **wrong))  # type: ignore[arg-type]
    eventually(lambda: len([line for line in losses.found() if is_it(line)]) >= COUNT, f"{COUNT} findings")
    found = [line for line in losses.found() if is_it(line)]
    assert len(found) == COUNT, shown(found)
    for line in found:
        certain = "certain" if line["reason"] is not None or "UDP" not in how else "likely"
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (cause, certain), shown([line])
        assert words in line["evidence"][0]["text"], shown([line])


def test_a_datagram_of_ipv6_without_a_checksum(lab: Lab, whydrop: Whydrop) -> None:
    with traffic.open_socket(lab.b, socket.AF_INET6, socket.SOCK_DGRAM) as reader:
        reader.bind(("::", PORTS[1]))
        losses = Losses(lab.b, whydrop)
        sent(lab, 6, ipv6(lab))
        for line in losses.deaths(COUNT, PORTS[1]):
            if line["reason"] is not None:
                assert line["cause"]["id"] == "malformed.udp-zero-checksum", shown([line])


def test_an_extension_header_that_nobody_knows(lab: Lab, whydrop: Whydrop) -> None:
    """An option whose number says: drop the packet (RFC 8200, 4.2)."""
    losses = Losses(lab.b, whydrop)
    options = bytes((socket.IPPROTO_UDP, 0, 0x7E, 4)) + bytes(4)
    sent(lab, 6, ipv6(lab, payload=24, following=socket.IPPROTO_DSTOPTS, body=options + datagram()))
    for line in losses.deaths(COUNT, PORTS[1]):
        if line["reason"] is not None:
            assert line["cause"]["id"] == "malformed.ipv6-extension", shown([line])
