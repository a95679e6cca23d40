"""What the kernel frees without a reason, and is told by its place and its bytes."""

import socket
import struct

import pytest
from scenarios import roads, traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab
from scenarios.whydrop_process import Line, Whydrop, told

PORT = 5990
UNREACHABLE, IPV6_ROUTE, UDP = 3, 43, 17
IPV6_MTU_DISCOVER, PROBE = 23, 3  # linux/in6.h


def are(found: list[Line], cause: str, *confidence: str) -> None:
    for line in found:
        assert line["cause"]["id"] == cause, told(line)
        assert line["cause"]["confidence"] in confidence, told(line)


@pytest.mark.parametrize("quoted", [0, 19])
def test_an_error_that_quotes_less_than_a_header(lab: Lab, whydrop: Whydrop, quoted: int) -> None:
    body = bytes(quoted + quoted % 2)
    bare = struct.pack("!BBHI", 3, 1, 0, 0) + body
    message = bare[:2] + struct.pack("!H", traffic.checksum(bare)) + bare[4 : 8 + quoted]
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sender:
        for _ in range(3):
            sender.sendto(message, (lab.b.v4, 0))
    found = deaths(whydrop, lab.b, 3, wanted=lambda line: line["packet"]["icmp_type"] == UNREACHABLE)
    are(found, "malformed.truncated", "certain")


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
