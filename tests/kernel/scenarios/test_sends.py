"""Sends that fail before there is a packet: what the program gets as an error, told once, with what refused it."""

import errno
import json
import socket
from pathlib import Path

import pytest
from scenarios import traffic
from scenarios.firewalls import nft
from scenarios.namespaces import Lab, Namespace
from scenarios.outgoing import Losses, by_this_process, connected, shown
from scenarios.outgoing import told as sent
from scenarios.whydrop_process import Line, Whydrop

PORT = 5000  # that of the fixture `filtered`
FAR = {4: "198.51.100.7", 6: "2001:db8:7::7"}
LOOKUP = {4: "ip_route_output_flow", 6: "ip6_dst_lookup_flow"}
FAMILIES = (4, 6)


def own(lab: Lab, family: int) -> str:
    return lab.a.v4 if family == 4 else lab.a.v6


def no_routes(end: Namespace, family: int) -> int:
    """The kernel's own count."""
    name = "IpOutNoRoutes" if family == 4 else "Ip6OutNoRoutes"
    return int(end.run(f"nstat -az {name}").stdout.splitlines()[-1].split()[1])


def are(found: list[Line], cause: str, source: str, target: str, confidence: str = "certain") -> None:
    by_this_process(found)
    for line in found:
        said = line["cause"]
        assert (said["id"], said["confidence"]) == (cause, confidence), shown([line])
        assert line["source"] == line["where"]["function"] == source, shown([line])
        assert line["packet"]["daddr"] == target, shown([line])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_datagram_without_a_route(lab: Lab, whydrop: Whydrop, filtered: Whydrop, family: int) -> None:
    losses, asked = Losses(lab.a, whydrop), Losses(lab.a, filtered)
    before = no_routes(lab.a, family)
    assert sent(lab.a, (own(lab, family), FAR[family]), PORT, 7) == ["ENETUNREACH"] * 7
    assert sent(lab.a, (own(lab, family), FAR[family]), PORT + 1, 3) == ["ENETUNREACH"] * 3
    found = losses.deaths(10)
    assert sum(line["count"] for line in found) == no_routes(lab.a, family) - before == 10
    are(found, "send.no-route", LOOKUP[family], FAR[family])
    assert {line["packet"]["dport"] for line in asked.deaths(7)} == {PORT}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_connection_without_a_route(lab: Lab, whydrop: Whydrop, filtered: Whydrop, family: int) -> None:
    losses, asked = Losses(lab.a, whydrop), Losses(lab.a, filtered)
    assert [connected(lab.a, FAR[family], PORT) for _ in range(3)] == ["ENETUNREACH"] * 3
    are(losses.deaths(3), "send.no-route", f"tcp_v{family}_connect", FAR[family])
    assert {(line["packet"]["proto"], line["packet"]["dport"]) for line in asked.deaths(3)} == {("tcp", PORT)}


@pytest.mark.parametrize("family", FAMILIES)
def test_asking_for_a_route_is_no_send(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """So does getaddrinfo(), for each address. What is sent after it is told."""
    losses = Losses(lab.a, whydrop)
    with traffic.open_socket(lab.a, traffic.family_of(FAR[family]), socket.SOCK_DGRAM) as asking:
        assert asking.connect_ex((FAR[family], PORT)) == errno.ENETUNREACH
    assert lab.a.run(f"ip route get {FAR[family]}", check=False).returncode
    assert sent(lab.a, (own(lab, family), FAR[family]), PORT, 1) == ["ENETUNREACH"]
    are(losses.deaths(1), "send.no-route", LOOKUP[family], FAR[family])


KINDS = {"prohibit": "EACCES", "unreachable": "EHOSTUNREACH", "blackhole": "EINVAL"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_route_that_forbids_it(lab: Lab, whydrop: Whydrop, family: int, kind: str) -> None:
    lab.a.run(f"ip -{family} route add {kind} {FAR[family]}")
    losses = Losses(lab.a, whydrop)
    assert sent(lab.a, (own(lab, family), FAR[family]), PORT, 5) == [KINDS[kind]] * 5
    found = losses.deaths(5)
    are(found, "send.prohibited", LOOKUP[family], FAR[family])
    length = 32 if family == 4 else 128
    for line in found:
        assert line["object"]["text"] == f"{kind} {FAR[family]}/{length} table main", shown([line])
    assert connected(lab.a, FAR[family], PORT) == KINDS[kind]
    found = losses.deaths(6)
    are(found[5:], "send.prohibited", f"tcp_v{family}_connect", FAR[family])
    assert kind in json.dumps(found[5]["evidence"]), shown(found[5:])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rule_may_be_it_as_well(lab: Lab, whydrop: Whydrop, family: int) -> None:
    lab.a.run(f"ip -{family} rule add to {FAR[family]} unreachable")
    losses = Losses(lab.a, whydrop)
    assert sent(lab.a, (own(lab, family), FAR[family]), PORT, 2) == ["ENETUNREACH"] * 2
    found = losses.deaths(2)
    are(found, "send.no-route", LOOKUP[family], FAR[family], "likely")
    assert all(line["object"]["rule"] is not None for line in found), shown(found)


@pytest.mark.parametrize("family", FAMILIES)
def test_pings_without_a_route(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """Of a raw socket: it has no ports."""
    losses = Losses(lab.a, whydrop)
    proto = socket.IPPROTO_ICMP if family == 4 else socket.IPPROTO_ICMPV6
    with traffic.open_socket(lab.a, traffic.family_of(FAR[family]), socket.SOCK_RAW, proto) as raw:
        for _ in range(3):
            with pytest.raises(OSError, match="unreachable"):
                raw.sendto(b"\x08\0\0\0\0\0\0\0" if family == 4 else b"\x80\0\0\0\0\0\0\0", (FAR[family], 0))
    are(losses.deaths(3), "send.no-route", LOOKUP[family], FAR[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_datagram_that_is_too_big(lab: Lab, whydrop: Whydrop, filtered: Whydrop, family: int) -> None:
    target = lab.b.v4 if family == 4 else lab.b.v6
    losses, asked = Losses(lab.a, whydrop), Losses(lab.a, filtered)
    assert sent(lab.a, (own(lab, family), target), PORT, 5, size=1999, probe=True) == ["EMSGSIZE"] * 5
    found = losses.deaths(5)
    by_this_process(found)
    for line in found:
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("send.too-big", "certain"), shown(
            [line]
        )
        assert line["source"] == ("ip_local_error" if family == 4 else "ipv6_local_error"), shown([line])
        ends = line["packet"]["daddr"], line["packet"]["dport"]
        assert ends == (target, PORT), shown([line])
        assert "1500" in line["evidence"][0]["text"], shown([line])
        assert (line["object"]["kind"], line["object"]["text"]) == ("interface", "va mtu 1500"), shown([line])
    assert {line["packet"]["dport"] for line in asked.deaths(5)} == {PORT}


def test_more_than_a_datagram_can_have(lab: Lab, whydrop: Whydrop) -> None:
    losses = Losses(lab.a, whydrop)
    assert sent(lab.a, (lab.a.v4, lab.b.v4), PORT, 3, size=0x10000) == ["EMSGSIZE"] * 3
    for line in losses.deaths(3):
        assert (line["cause"]["id"], line["source"]) == ("send.too-big", "udp_sendmsg"), shown([line])


def test_a_broadcast_that_the_socket_does_not_permit(lab: Lab, whydrop: Whydrop) -> None:
    losses = Losses(lab.a, whydrop)
    target = lab.a.v4[: lab.a.v4.rindex(".")] + ".255"
    assert sent(lab.a, (lab.a.v4, target), PORT, 3) == ["EACCES"] * 3
    are(losses.deaths(3), "send.broadcast-off", "udp_sendmsg", target, "likely")


def test_no_local_port_is_left(lab: Lab, whydrop: Whydrop) -> None:
    with lab.a.entered():
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40000")
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((lab.b.v4, PORT))
        server.listen()
        with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM) as first:
            first.connect((lab.b.v4, PORT))
            losses = Losses(lab.a, whydrop)
            assert [connected(lab.a, lab.b.v4, PORT) for _ in range(3)] == ["EADDRNOTAVAIL"] * 3
            are(losses.deaths(3), "send.no-address", "tcp_v4_connect", lab.b.v4)


def test_the_interface_that_it_is_bound_to_is_gone(lab: Lab, whydrop: Whydrop) -> None:
    lab.a.run("ip link add gone type dummy")
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"gone")
        lab.a.run("ip link del gone")
        losses = Losses(lab.a, whydrop)
        for _ in range(3):
            with pytest.raises(OSError, match="No such device"):
                sender.sendto(b"data", (lab.b.v4, PORT))
    are(losses.deaths(3), "send.interface-down", "ip_route_output_flow", lab.b.v4)


def test_the_interface_that_it_is_bound_to_is_down(lab: Lab, whydrop: Whydrop) -> None:
    lab.a.run("ip link add dark type dummy")
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"dark")
        losses = Losses(lab.a, whydrop)
        for _ in range(3):
            with pytest.raises(OSError, match="unreachable"):
                sender.sendto(b"data", (FAR[4], PORT))
    found = losses.deaths(3)
    are(found, "send.interface-down", "ip_route_output_flow", FAR[4])
    assert {line["object"]["interface"] for line in found} == {"dark"}, shown(found)


def test_what_a_firewall_refuses_is_told_once(lab: Lab, whydrop: Whydrop) -> None:
    """There was a packet."""
    nft(lab.a, f"table inet t {{ chain c {{ type filter hook output priority 0; udp dport {PORT} drop }} }}")
    losses = Losses(lab.a, whydrop)
    assert sent(lab.a, (lab.a.v4, lab.b.v4), PORT, 3) == ["EPERM"] * 3
    assert sent(lab.a, (lab.a.v4, FAR[4]), PORT, 1) == ["ENETUNREACH"]
    found = losses.deaths(4)
    assert [line["source"] for line in found] == ["kfree_skb"] * 3 + ["ip_route_output_flow"], shown(found)
