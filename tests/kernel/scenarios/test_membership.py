"""What is sent to groups and to all: told where somebody here was to get it, hidden where nobody was."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab, Namespace
from scenarios.test_sockets import datagram
from scenarios.whydrop_process import Line, Whydrop, stopped

PORT, DONE = 5880, 5881
MDNS, HOSTS = "224.0.0.251", "224.0.0.1"
ROUTER_ALERT = b"\x94\x04\0\0"
IGMP, QUERY, REPORT = socket.IPPROTO_IGMP, 0x11, 0x16
IP_ADD_SOURCE_MEMBERSHIP, MCAST_JOIN_SOURCE_GROUP = 39, 46  # linux/in.h
SOURCE_WANTED = "fd09::99"
VRRP = 112
V6 = socket.AF_INET6


def to_group(lab: Lab, source: str, group: str, payload: bytes, proto: int, options: bytes = b"") -> None:
    """Three frames from a, as no socket would send them."""
    packed = socket.inet_aton(group)
    size = 20 + len(options)
    bare = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, size + len(payload), 1, 0, 1, proto, 0)
    bare += socket.inet_aton(source) + packed + options
    header = bare[:10] + struct.pack("!H", traffic.checksum(bare)) + bare[12:]
    to = b"\x01\0\x5e" + bytes((packed[1] & 0x7F,)) + packed[2:]
    traffic.frames(lab.a, lab.a.iface, to=to, kind=traffic.ETH_P_IP, body=header + payload, count=3)


def igmp(kind: int, more: bytes = b"", spoilt: int = 0) -> bytes:
    bare = struct.pack("!BBH4x", kind, 10, 0) + more
    return bare[:2] + struct.pack("!H", traffic.checksum(bare) ^ spoilt) + bare[4:]


@contextmanager
def joined(end: Namespace, group: str) -> Iterator[socket.socket]:
    with traffic.open_socket(end, socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("", PORT))
        member = socket.inet_aton(group) + socket.inet_aton(end.v4)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        yield made


def nothing_of(whydrop: Whydrop, lab: Lab, end: Namespace, proto: str) -> None:
    """No finding of this protocol came before the one that is provoked now."""
    traffic.datagrams(lab.a, lab.b.v4, [DONE])
    deaths(whydrop, lab.b, 1, DONE)
    found = [line for line in whydrop.lines() if line["type"] == "drop"]
    here = [line for line in found if (line["netns"] or {}).get("name") == end.name]
    assert not [line for line in here if line["packet"]["proto"] == proto], here


def of(proto: str, line: Line) -> bool:
    return bool(line["packet"]["proto"] == proto)


QUERIES = {
    "wrong checksum": igmp(QUERY, spoilt=0x5555),
    "neither of version 2 nor 3": igmp(QUERY, bytes(2)),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_that_this_host_does_not_accept(lab: Lab, whydrop: Whydrop, name: str) -> None:
    """Who does not answer loses what it has joined, at the switch."""
    to_group(lab, lab.a.v4, HOSTS, QUERIES[name], IGMP, ROUTER_ALERT)
    for line in deaths(whydrop, lab.b, 3, wanted=lambda line: of("igmp", line)):
        assert not line["cause"]["id"].startswith("benign."), line


def test_a_query_that_is_accepted_and_what_routers_are_told(lab: Lab, whydrop: Whydrop) -> None:
    to_group(lab, lab.a.v4, HOSTS, igmp(QUERY, b"\2\x7d\0\0"), IGMP, ROUTER_ALERT)
    to_group(lab, lab.a.v4, "224.0.0.2", igmp(REPORT), IGMP, ROUTER_ALERT)
    nothing_of(whydrop, lab, lab.b, "igmp")


def test_a_message_to_a_joined_group_from_our_own_address(lab: Lab, whydrop: Whydrop) -> None:
    """The kernel refuses its source; that the group is one which every switch floods makes it no noise."""
    payload = struct.pack("!HHHH", PORT, PORT, 16, 0) + b"datagram"
    with joined(lab.b, MDNS):
        to_group(lab, lab.b.v4, MDNS, payload, socket.IPPROTO_UDP)
        for line in deaths(whydrop, lab.b, 3, PORT):
            assert not line["cause"]["id"].startswith("benign."), line
            assert line["cause"]["id"] != "routing.multicast-not-joined", line


def test_a_message_to_a_group_that_was_left_before_anybody_looked(lab: Lab, whydrop: Whydrop) -> None:
    """As above: that no program has joined it now does not make the loss harmless."""
    payload = struct.pack("!HHHH", PORT, PORT, 16, 0) + b"datagram"
    with stopped(whydrop), joined(lab.b, MDNS):
        to_group(lab, lab.b.v4, MDNS, payload, socket.IPPROTO_UDP)
    for line in deaths(whydrop, lab.b, 3, PORT):
        assert not line["cause"]["id"].startswith("benign."), line


def test_what_routers_tell_one_another_while_other_addresses_and_groups_go(
    lab: Lab, whydrop: Whydrop
) -> None:
    """They are none of those that it was for, nor is the interface that goes the one that it came in by."""
    lab.b.configure("link add dummy0 type dummy", "link set dummy0 up", "address add 10.98.0.1/24 dev dummy0")
    with stopped(whydrop), joined(lab.b, MDNS):
        to_group(lab, lab.a.v4, "224.0.0.18", bytes(20), VRRP)
        lab.b.configure("address delete 10.98.0.1/24 dev dummy0", "link delete dummy0")
    nothing_of(whydrop, lab, lab.b, "vrrp")


@pytest.mark.parametrize("family", [4, 6])
def test_a_group_that_is_joined_for_another_sender(lab: Lab, whydrop: Whydrop, family: int) -> None:
    group = "239.77.0.1" if family == 4 else "ff15::77"
    with traffic.open_socket(lab.b, traffic.family_of(group), socket.SOCK_DGRAM) as reader, lab.b.entered():
        reader.bind(("", PORT))
        if family == 4:
            ends = (group, lab.b.v4, "10.9.99.99")
            wanted = b"".join(map(socket.inet_aton, ends))
            reader.setsockopt(socket.IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, wanted)
        else:
            wanted = struct.pack("=II", socket.if_nametoindex(lab.b.iface), 0) + address(group)
            reader.setsockopt(socket.IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, wanted + address(SOURCE_WANTED))
        for _ in range(3):
            send_to_group(lab.a, group)
        for line in deaths(whydrop, lab.b, 3, PORT):
            said = line["cause"]["id"], line["cause"]["confidence"]
            assert "no program here has joined" not in str(line["evidence"]), line
            if family == 6 and line["reason"] is not None:
                assert said == ("routing.multicast-not-joined", "certain"), line
                assert f"not for packets from {line['packet']['saddr']}" in line["evidence"][0]["text"], line


def address(text: str) -> bytes:
    """As a struct sockaddr_storage."""
    return struct.pack("=HHI16sI", V6, 0, 0, socket.inet_pton(V6, text), 0).ljust(128, b"\0")


def send_to_group(end: Namespace, group: str) -> None:
    with traffic.open_socket(end, traffic.family_of(group), socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, end.iface.encode())
        sender.sendto(b"datagram", (group, PORT))


def test_a_host_that_has_lost_its_route_for_groups(lab: Lab, whydrop: Whydrop) -> None:
    """Nobody reaches it any more by IPv6: the questions for its address die."""
    lab.b.run(f"ip -6 route del multicast ff00::/8 dev {lab.b.iface} table local")
    traffic.datagrams(lab.a, lab.b.v6, [PORT])
    found = whydrop.wait_for(lambda line: is_solicitation(lab.b, line))
    assert found[0]["cause"]["id"] in ("routing.no-route-in", "unknown"), found[0]


def is_solicitation(end: Namespace, line: Line) -> bool:
    here = line["type"] == "drop" and (line["netns"] or {}).get("name") == end.name
    return bool(here and line["packet"]["proto"] == "icmp6" and line["packet"]["icmp_type"] == 135)


def test_an_own_broadcast_that_another_program_here_was_to_get(lab: Lab, whydrop: Whydrop) -> None:
    everybody = lab.a.v4.rpartition(".")[0] + ".255"
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as reader:
        reader.bind((lab.a.v4, PORT))
        datagram(lab.a, everybody, PORT)
        (line,) = deaths(whydrop, lab.a, 1, PORT)
        if line["reason"] is not None or line["cause"]["id"] != "unknown":
            assert line["cause"]["id"] == "socket.bound-elsewhere", line
            assert line["object"]["inode"] == os.fstat(reader.fileno()).st_ino, line
    datagram(lab.a, everybody, PORT)
    nothing_of(whydrop, lab, lab.b, "none")
    deaths(whydrop, lab.a, 1, PORT)


@pytest.mark.parametrize("family", [4, 6])
def test_what_is_sent_to_this_host_alone_is_no_loss(lab: Lab, whydrop: Whydrop, family: int) -> None:
    with traffic.open_socket(
        lab.a, traffic.family_of(lab.a.v4 if family == 4 else "::"), socket.SOCK_DGRAM
    ) as one:
        one.settimeout(60)
        one.bind(("", PORT))
        with lab.a.entered():
            index = socket.if_nametoindex(lab.a.iface)
        if family == 4:
            group = "239.1.1.7"
            member = socket.inet_aton(group) + socket.inet_aton(lab.a.v4)
            one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(lab.a.v4))
            one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
        else:
            group = "ff15::7"
            member = socket.inet_pton(V6, group) + struct.pack("=I", index)
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 0)
        one.sendto(b"datagram", (group, PORT))
        assert one.recv(100) == b"datagram"
    nothing_of(whydrop, lab, lab.a, "udp")
