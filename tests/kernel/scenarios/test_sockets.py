"""Sockets that do not take a packet: they are full (whose, how much was queued, the limit), or bound elsewhere."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from scenarios import bpf_links, traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab, Namespace
from scenarios.tunnels import SO_RCVBUFFORCE
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

PORT = 5840
SENT = 101


@contextmanager
def unread(end: Namespace, family: int, buffer: int | None) -> Iterator[socket.socket]:
    """A socket of this process that nobody reads; `buffer` is what it asks for, as root with SO_RCVBUFFORCE."""
    with traffic.open_socket(
        end, socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM
    ) as made:
        if buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)
        made.bind((end.v4 if family == 4 else end.v6, PORT))
        yield made


def send(end: Namespace, address: str) -> None:
    """Datagrams so large that a few dozen fill the default buffer; a hundred do not fit into a neighbour's queue."""
    end.run(f"ping -c 1 -W 60 {address}")
    with traffic.open_socket(end, traffic.family_of(address), socket.SOCK_DGRAM) as sender:
        for _ in range(SENT):
            sender.sendto(bytes(1400), (address, PORT))


def buffer_errors(end: Namespace, family: int) -> int:
    """UdpRcvbufErrors, Udp6RcvbufErrors: the kernel's own count."""
    if family == 6:
        found = re.search(r"^Udp6RcvbufErrors\s+(\d+)", end.run("cat /proc/net/snmp6").stdout, re.M)
        return int(found[1]) if found else 0
    names, values = re.findall(r"^Udp: (.*)$", end.run("cat /proc/net/snmp").stdout, re.M)
    return int(values.split()[names.split().index("RcvbufErrors")])


def socket_memory(end: Namespace) -> dict[str, int]:
    """What `ss` has of the socket: r is queued, rb the limit, d its drops."""
    found = re.search(r"skmem:\((.*?)\)", end.run(f"ss -uamnH 'sport = :{PORT}'").stdout)
    assert found
    return {name: int(number) for name, number in re.findall(r"([a-z]+)(\d+)", found[1])}


def died_here(line: Line, end: Namespace) -> bool:
    return line["type"] == "drop" and (line["netns"]["name"], line["packet"]["dport"]) == (end.name, PORT)


@pytest.mark.parametrize("buffer", [1, None], ids=["a small buffer", "the default"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_buffer_is_full(lab: Lab, whydrop: Whydrop, family: int, buffer: int | None) -> None:
    with unread(lab.b, family, buffer) as reader:
        send(lab.a, lab.b.v4 if family == 4 else lab.b.v6)
        (first, *_) = whydrop.wait_for(lambda line: died_here(line, lab.b))
        lost = SENT - first["object"]["datagrams"]
        eventually(lambda: buffer_errors(lab.b, family) == lost, f"the kernel counts {lost} lost datagrams")
        memory = socket_memory(lab.b)
        assert 0 < lost == memory["d"] < SENT
        found = deaths(whydrop, lab.b, lost, PORT)
        inode = os.fstat(reader.fileno()).st_ino
    for line in found:
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("socket.udp-buffer-full", "certain"), (
            line
        )
        blamed = line["object"]
        assert (blamed["kind"], blamed["port"], blamed["inode"]) == ("socket", PORT, inode), line
        assert (blamed["queued"], blamed["limit"]) == (memory["r"], memory["rb"]), (line, memory)
        assert blamed["limit_set"] == (buffer is not None), line
        assert blamed["datagrams"] == SENT - lost, line
        assert line["process"] == {"pid": os.getpid(), "comm": own_name()}, line
        assert f"{memory['r']:,} of {memory['rb']:,} bytes queued" in line["evidence"][0]["text"], line
        sysctl = "net.core.rmem_max" if buffer is not None else "net.core.rmem_default"
        assert sysctl in line["fix"][1]["command"], line


def own_name() -> str:
    return Path("/proc/self/comm").read_text().rstrip("\n")


@dataclass(frozen=True)
class Elsewhere:
    """A socket that has the port, and does not take what is sent: how it is made, what is to be said of it."""

    words: str
    address: str | None = None
    family: int = socket.AF_INET
    kind: int = socket.SOCK_DGRAM
    v6_only: bool = False
    peer: str | None = None
    device: str | None = None
    vrf: bool = False
    sent_to: int = 4
    """The version of IP that the packets have."""


ELSEWHERE = {
    "another device": Elsewhere("is bound to other, and the packet came in through vb", device="other"),
    "another device, IPv6": Elsewhere("is bound to other", family=socket.AF_INET6, device="other", sent_to=6),
    "another address": Elsewhere("is bound to this address, and the packet is for", "127.0.0.1"),
    "another address, IPv6": Elsewhere("is bound to this address", "::1", socket.AF_INET6, sent_to=6),
    "IPv6 only": Elsewhere("takes IPv6 only (IPV6_V6ONLY)", family=socket.AF_INET6, v6_only=True),
    "IPv4 only": Elsewhere("is a socket of IPv4", sent_to=6),
    "another peer": Elsewhere("is connected to 10.9.99.99 port 9", peer="10.9.99.99"),
    "outside of the VRF": Elsewhere("is outside of VRFs, and the packet came in through VRF red", vrf=True),
    "TCP on another address": Elsewhere("is bound to this address", "127.0.0.1", kind=socket.SOCK_STREAM),
    "TCP on another device": Elsewhere("is bound to other", kind=socket.SOCK_STREAM, device="other"),
    "TCP, IPv6 only": Elsewhere(
        "takes IPv6 only", family=socket.AF_INET6, kind=socket.SOCK_STREAM, v6_only=True
    ),
}


@contextmanager
def bound(end: Namespace, how: Elsewhere) -> Iterator[socket.socket]:
    with traffic.open_socket(end, how.family, how.kind) as made:
        if how.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, how.v6_only)
        if how.device is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, how.device.encode())
        made.bind((how.address or "", PORT))
        if how.peer is not None:
            made.connect((how.peer, 9))
        if how.kind == socket.SOCK_STREAM:
            made.listen()
        yield made


@pytest.mark.parametrize("how", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_socket_is_bound_elsewhere(lab: Lab, whydrop: Whydrop, how: Elsewhere) -> None:
    """Likely at first; the socket that was seen then was there before the second drop."""
    lab.b.run("ip link add other type dummy")
    lab.b.run("ip link set other up")
    lab.b.run(f"ip route add 10.9.99.99/32 dev {lab.b.iface}")
    if how.vrf:
        lab.b.run("ip link add red type vrf table 77")
        lab.b.run("ip link set red up")
        lab.b.run(f"ip link set {lab.b.iface} master red")
    ends = (lab.a.v4, lab.b.v4) if how.sent_to == 4 else (lab.a.v6, lab.b.v6)
    with bound(lab.b, how) as there:
        for count, confidence in enumerate(("likely", "certain"), start=1):
            if how.kind == socket.SOCK_STREAM:
                traffic.segments(lab.a, ends, (4000, PORT))
            else:
                traffic.datagrams(lab.a, ends[1], [PORT])
            line = deaths(whydrop, lab.b, count, PORT)[-1]
            if line["reason"] is None:
                assert line["cause"]["id"] == "unknown", line
                continue
            assert (line["cause"]["id"], line["cause"]["confidence"]) == (
                "socket.bound-elsewhere",
                confidence,
            ), line
            assert how.words in line["evidence"][0]["text"], line
            assert (line["object"]["kind"], line["object"]["port"]) == ("socket", PORT), line
            assert line["object"]["inode"] == os.fstat(there.fileno()).st_ino, line
            assert line["process"] == {"pid": os.getpid(), "comm": own_name()}, line


def test_a_socket_that_comes_after_the_drop_is_not_blamed(lab: Lab, whydrop: Whydrop) -> None:
    traffic.datagrams(lab.a, lab.b.v4, [PORT])
    (alone,) = deaths(whydrop, lab.b, 1, PORT)
    with bound(lab.b, Elsewhere("")) as there:
        there.settimeout(60)
        traffic.datagrams(lab.a, lab.b.v4, [PORT])
        assert there.recv(100) == b"datagram"
    if alone["reason"] is not None:
        assert (alone["cause"]["id"], alone["cause"]["confidence"]) == (
            "socket.udp-no-listener",
            "certain",
        ), alone
        assert alone["object"] is None, alone


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["UDP", "TCP"])
def test_a_program_steers_packets_away(lab: Lab, whydrop: Whydrop, kind: socket.SocketKind) -> None:
    """The lookup's program says drop, while a socket is there that would take them."""
    with bound(lab.b, Elsewhere("", kind=kind)), bpf_links.dropping_lookups(lab.b):
        for count, cause in enumerate(("no-listener", "steered-away"), start=1):
            if kind == socket.SOCK_STREAM:
                traffic.segments(lab.a, (lab.a.v4, lab.b.v4), (4000, PORT))
            else:
                traffic.datagrams(lab.a, lab.b.v4, [PORT])
            line = deaths(whydrop, lab.b, count, PORT)[-1]
            if line["reason"] is None:
                assert line["cause"]["id"] == "unknown", line
                continue
            assert line["cause"]["id"].endswith(cause), line
            assert line["cause"]["confidence"] == "likely", line
            assert f"name {bpf_links.NAME} is attached" in line["evidence"][0]["text"], line
            assert f"0.0.0.0:{PORT} of {own_name()}" in line["evidence"][1]["text"], line
    assert (line["object"] or {}).get("name") == (bpf_links.NAME if line["reason"] else None), line
