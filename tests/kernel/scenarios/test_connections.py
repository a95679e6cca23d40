"""Segments whose connection is here, and does not get them: it is bound to another interface, or outside of the VRF."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab
from scenarios.test_sockets import TCP, UNHANDLED, is_unhandled, own_process
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

PORT = 5850
SECOND_WAY = "link add v2a index 31 type veth peer name v2b index 32 netns {b}"
RED = ("link add red type vrf table 77", "link set red up")


@contextmanager
def connected(lab: Lab, device: str | None = None) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client in a, and what its server in b, bound to the device, has accepted."""
    with (
        traffic.open_socket(lab.b, socket.AF_INET, TCP) as server,
        traffic.open_socket(lab.a, socket.AF_INET, TCP) as client,
    ):
        if device is not None:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        server.bind((lab.b.v4, PORT))
        server.listen()
        client.connect((lab.b.v4, PORT))
        taken, _ = server.accept()
        with taken:
            yield client, taken


def is_told(line: Line) -> bool:
    return bool(line["packet"]["dport"] == PORT)


@pytest.mark.parametrize("how", ["another interface", "a VRF"])
def test_a_connection_is_elsewhere(lab: Lab, whydrop: Whydrop, how: str) -> None:
    """Its data is lost, and so is the reset that would end it."""
    moved = how == "another interface"
    with connected(lab, lab.b.iface if moved else None) as (client, taken):
        if moved:
            lab.a.configure(SECOND_WAY.format(b=lab.b.name), "link set v2a up")
            lab.b.configure("link set v2b up")
            lab.a.configure(f"route add {lab.b.v4}/32 dev v2a")
        else:
            lab.b.configure(*RED, f"link set {lab.b.iface} master red")
        client.send(b"data")
        (data,) = whydrop.wait_for(lambda line: died_in(lab, line) and "P" in flags(line))
        if data["reason"] is None:
            return
        ports = client.getsockname()[1], PORT
        traffic.segments(lab.a, (lab.a.v4, lab.b.v4), ports, traffic.ACK)
        traffic.segments(lab.a, (lab.a.v4, lab.b.v4), ports, traffic.RST)
        (late,) = whydrop.wait_for(lambda line: died_in(lab, line) and flags(line) == "A")
        (reset, *_) = whydrop.wait_for(lambda line: died_in(lab, line) and flags(line) == "R")
        for line, confidence in ((data, "likely"), (late, "certain"), (reset, "certain")):
            found = line["cause"]["id"], line["cause"]["confidence"]
            assert found == ("socket.bound-elsewhere", confidence), line
            words = f"is bound to interface {lab.b.iface}, and" if moved else "is outside of VRFs, and"
            assert words in line["evidence"][0]["text"], line
            assert line["object"]["inode"] == os.fstat(taken.fileno()).st_ino, line
            assert line["process"] == own_process(), line


def test_a_connection_that_is_over_is_none(lab: Lab, whydrop: Whydrop) -> None:
    with connected(lab) as (client, _):
        own = client.getsockname()[1]
    traffic.segments(lab.a, (lab.a.v4, lab.b.v4), (own + 1, PORT), traffic.ACK, count=3)
    for line in deaths(whydrop, lab.b, 3, PORT, lambda line: line["packet"]["sport"] == own + 1):
        if line["reason"] is not None:
            assert (line["cause"]["id"], line["cause"]["confidence"]) == ("tcp.no-connection", "certain"), (
                line
            )


def flags(line: Line) -> str:
    return str(line["packet"]["tcp_flags"] or "")


def died_in(lab: Lab, line: Line) -> bool:
    return line["type"] == "drop" and is_told(line) and (line["netns"] or {}).get("name") == lab.b.name


@pytest.mark.parametrize("family", [4, 6])
def test_who_gives_up_before_the_connection_is_open_has_lost_nothing(
    lab: Lab, whydrop: Whydrop, family: int
) -> None:
    """As a scan does that only wants to know who listens: the answer to its SYN is answered with a reset."""
    here, there = (lab.a.v4, lab.b.v4) if family == 4 else (lab.a.v6, lab.b.v6)
    with lab.b.entered():
        server = socket.create_server((there, PORT), family=traffic.family_of(there))
    with server:
        for port in range(40201, 40206):
            traffic.segments(lab.a, (here, there), (port, PORT))
        traffic.segments(lab.a, (here, there), (40210, PORT), traffic.ACK)
        deaths(whydrop, lab.b, 1, PORT)


@pytest.mark.parametrize("family", [4, 6])
def test_a_raw_socket_that_is_full_is_not_nobody(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """Kernels that give it no copy then free the packet as one that nothing handles."""
    here, there = (socket.AF_INET, lab.b.v4) if family == 4 else (socket.AF_INET6, lab.b.v6)
    with (
        traffic.open_socket(lab.b, here, socket.SOCK_RAW, UNHANDLED) as reader,
        traffic.open_socket(lab.a, here, socket.SOCK_RAW, UNHANDLED) as sender,
    ):
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        lab.a.run(f"ping -c 1 -W 60 {there}")
        for _ in range(9):
            sender.sendto(bytes(1200), (there, 0))
        found = whydrop.wait_for(lambda line: is_unhandled(line) and died_somewhere_in(lab, line), 5)
        for line in found:
            if line["reason"] not in (None, "NOT_SPECIFIED"):
                assert line["cause"]["id"] == "socket.raw-buffer-full", line


def died_somewhere_in(lab: Lab, line: Line) -> bool:
    return bool((line["netns"] or {}).get("name") == lab.b.name)


@pytest.mark.parametrize("waits", [True, False])
def test_an_echo_reply_that_a_ping_socket_elsewhere_waits_for(
    lab: Lab, whydrop: Whydrop, waits: bool
) -> None:
    """A sniffing program has had a copy: that does not help who asked."""
    lab.a.run("sysctl -qw net.ipv4.ping_group_range='0 100000'")
    lab.a.configure("link add other type dummy", "link set other up")
    number = 77 if waits else 78
    with (
        traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as ping,
        traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    ):
        ping.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"other")
        ping.bind(("0.0.0.0", 77))
        bare = struct.pack("!BBHHH", 0, 0, 0, number, 1)
        reply = bare[:2] + struct.pack("!H", traffic.checksum(bare)) + bare[4:]
        with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sender:
            sender.sendto(reply, (lab.a.v4, 0))
        traffic.datagrams(lab.b, lab.a.v4, [PORT])
        deaths(whydrop, lab.a, 1, PORT)
        found = [line for line in whydrop.lines() if line["type"] == "drop" and is_reply(lab, line)]
    assert len(found) == waits, found


def is_reply(lab: Lab, line: Line) -> bool:
    return line["packet"]["proto"] == "icmp" and (line["netns"] or {}).get("name") == lab.a.name


def test_data_that_no_program_has_accepted(lab: Lab, whydrop: Whydrop) -> None:
    """It was acknowledged, and is lost when the listening socket is closed; what an accepted one had is not told."""
    with (
        traffic.open_socket(lab.a, socket.AF_INET, TCP) as taken,
        traffic.open_socket(lab.a, socket.AF_INET, TCP) as waiting,
    ):
        with traffic.open_socket(lab.b, socket.AF_INET, TCP) as server:
            server.bind((lab.b.v4, PORT))
            server.listen()
            taken.connect((lab.b.v4, PORT))
            accepted, _ = server.accept()
            waiting.connect((lab.b.v4, PORT))
            for each in (taken, waiting):
                each.send(b"not read by anybody")
            eventually(partial(has_unread, lab, 2), "both have come")
        accepted.close()
        traffic.datagrams(lab.a, lab.b.v4, [PORT + 1])
        deaths(whydrop, lab.b, 1, PORT + 1)
        found = [line for line in whydrop.lines() if line["type"] == "drop" and "P" in flags(line)]
        found = [line for line in found if died_in(lab, line)]
        for line in found:
            assert (line["cause"]["id"], line["cause"]["confidence"]) == ("socket.closed", "certain"), line
            assert line["packet"]["sport"] == waiting.getsockname()[1], line


def has_unread(lab: Lab, count: int) -> bool:
    """Whether so many connections in b have data that nobody has read."""
    rows = lab.b.run(f"ss -Htn state established sport = :{PORT}").stdout.splitlines()
    return sum(row.split()[0] != "0" for row in rows) == count
