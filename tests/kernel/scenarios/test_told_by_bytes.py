"""What the kernel frees without a reason, and is told by its place and its bytes."""

import socket
import struct

import pytest
from scenarios import roads, traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab
from scenarios.whydrop_process import Line, Whydrop, told

PORT = 5990
UNREACHABLE, UNREACHABLE6 = 3, 1
HOP_BY_HOP, IPV6_ROUTE, UDP = 0, 43, 17
IPV6_MTU_DISCOVER, PROBE = 23, 3  # linux/in6.h


def are(found: list[Line], cause: str, *confidence: str) -> None:
    for line in found:
        assert line["cause"]["id"] == cause, told(line)
        assert line["cause"]["confidence"] in confidence, told(line)


def unreachable(lab: Lab, family: int, quote: bytes) -> None:
    """Three ICMP errors from a to b, with this quote; of IPv6 the kernel adds the checksum."""
    kinds = {4: (socket.AF_INET, socket.IPPROTO_ICMP), 6: (socket.AF_INET6, socket.IPPROTO_ICMPV6)}
    message = struct.pack("!BBHI", UNREACHABLE if family == 4 else UNREACHABLE6, 1, 0, 0) + quote
    if family == 4:
        right = traffic.checksum(message + bytes(len(message) % 2))
        message = message[:2] + struct.pack("!H", right) + message[4:]
    kind, proto = kinds[family]
    with traffic.open_socket(lab.a, kind, socket.SOCK_RAW, proto) as sender:
        for _ in range(3):
            sender.sendto(message, (lab.b.v4 if family == 4 else lab.b.v6, 0))


def errors(whydrop: Whydrop, lab: Lab, family: int) -> list[Line]:
    wanted = UNREACHABLE if family == 4 else UNREACHABLE6
    return deaths(whydrop, lab.b, 3, wanted=lambda line: line["packet"]["icmp_type"] == wanted)


@pytest.mark.parametrize(("family", "quoted"), [(4, 0), (4, 19), (6, 39)])
def test_an_error_that_quotes_less_than_a_header(
    lab: Lab, whydrop: Whydrop, family: int, quoted: int
) -> None:
    unreachable(lab, family, bytes((family << 4, *bytes(quoted))[:quoted]))
    found = errors(whydrop, lab, family)
    are(found, "malformed.truncated", "certain")
    assert f"an ICMP error that quotes {quoted} bytes" in found[0]["evidence"][0]["text"], told(found[0])


@pytest.mark.parametrize("family", [4, 6])
def test_an_error_that_quotes_a_header_without_sense(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """A header of 16 bytes; one with an extension header of which there is nothing."""
    quote = bytes((0x44, *bytes(27))) if family == 4 else struct.pack("!IHBB32x", 6 << 28, 0, HOP_BY_HOP, 64)
    unreachable(lab, family, quote)
    found = errors(whydrop, lab, family)
    if family == 6 and found[0]["reason"] in (None, "NOT_SPECIFIED"):
        are(found, "malformed.truncated", "certain")
    else:
        are(found, "malformed.icmp-quote", "certain")


def test_what_a_route_with_a_smaller_mtu_refuses(lab: Lab, whydrop: Whydrop) -> None:
    """Forwarding asks the interface; the route is asked by what would cut it, and must not."""
    roads.turn_around(lab)
    lab.b.run(f"ip -6 route replace fd77::/64 via {lab.a.v6} mtu 1300")
    with traffic.open_socket(lab.a, socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PROBE)
        sender.sendto(bytes(1400), (roads.BEYOND6, PORT))
    found = deaths(whydrop, lab.b, 1, PORT)
    are(found, "routing.too-big", "likely", "certain")


def test_a_routing_header(lab: Lab, whydrop: Whydrop) -> None:
    """Of type 0, which no host follows any more."""
    udp = struct.pack("!HHHH", 40000, PORT, 8, 0)
    routing = struct.pack("!BBBB4x", UDP, 0, 0, 1)
    ends = socket.inet_pton(socket.AF_INET6, lab.a.v6) + socket.inet_pton(socket.AF_INET6, lab.b.v6)
    packet = struct.pack("!IHBB", 6 << 28, len(routing) + len(udp), IPV6_ROUTE, 64) + ends + routing + udp
    to = traffic.hardware_address(lab.b, lab.b.iface)
    traffic.frames(lab.a, lab.a.iface, to=to, kind=0x86DD, body=packet, count=3)
    found = deaths(whydrop, lab.b, 3, PORT)
    if found[0]["where"]["function"].startswith("ipv6_rthdr_rcv"):
        are(found, "routing.source-route", "likely")
    else:
        assert all(line["cause"]["confidence"] != "certain" for line in found), told(found[0])


def test_what_sets_up_a_vrf_is_no_packet(lab: Lab, whydrop: Whydrop) -> None:
    lab.b.configure("link add red type vrf table 77", "link set red up")
    traffic.datagrams(lab.a, lab.b.v4, [PORT])
    deaths(whydrop, lab.b, 1, PORT)
    here = [line for line in whydrop.lines() if line["type"] == "drop"]
    assert not [line for line in here if line["where"]["function"] == "vrf_fib_rule"], here[-3:]
