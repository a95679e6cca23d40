"""Listening sockets that have no room: SYNs that pass no kfree_skb, and the last ACK of a handshake, which does."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from scenarios import traffic
from scenarios.blame import deaths, packets
from scenarios.firewalls import nft
from scenarios.namespaces import Lab, Namespace
from scenarios.test_sockets import own_name
from scenarios.whydrop_process import Line, Whydrop, told

PORT = 5860
FIRST = 20000  # port of the first caller
SYN_ACK = traffic.SYN | traffic.ACK


@contextmanager
def listening(end: Namespace, family: int, backlog: int) -> Iterator[int]:
    """A socket of this process that listens on all addresses of the family, and never accepts; its inode."""
    kind = socket.AF_INET6 if family == 6 else socket.AF_INET
    with traffic.open_socket(end, kind, socket.SOCK_STREAM) as made:
        made.bind(("", PORT))
        made.listen(backlog)
        yield os.fstat(made.fileno()).st_ino


def counted(end: Namespace, name: str) -> int:
    """The kernel's own count of the namespace, as nstat has it."""
    with end.entered():
        lines = Path("/proc/thread-self/net/netstat").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("TcpExt:"))
    return int(values[names.index(name)])


def is_silent(end: Namespace) -> None:
    """It answers no SYN-ACK that it does not know with a reset, which would end what is half open."""
    rule = "tcp flags & (syn | ack) == (syn | ack) drop"
    nft(end, f"table inet t {{ chain c {{ type filter hook prerouting priority -300; {rule} }} }}")


def call(lab: Lab, family: int, callers: range) -> None:
    """A SYN of each of them, by its port."""
    ends = (lab.a.v4, lab.b.v4) if family == 4 else (lab.a.v6, lab.b.v6)
    for caller in callers:
        traffic.segments(lab.a, ends, (caller, PORT))


def refused(whydrop: Whydrop, lab: Lab, count: int) -> list[Line]:
    return deaths(whydrop, lab.b, count, PORT)


def is_listener(line: Line, inode: int) -> None:
    blamed = line["object"]
    assert (blamed["kind"], blamed["port"]) == ("socket", PORT), told(line)
    assert blamed["inode"] == inode, told(line)
    process = line["process"]
    assert (process["pid"], process["comm"]) == (os.getpid(), own_name()), told(line)


@pytest.mark.parametrize("family", [4, 6])
def test_the_accept_queue_is_full(lab: Lab, whydrop: Whydrop, family: int) -> None:
    with listening(lab.b, family, 1) as there:
        address = lab.b.v4 if family == 4 else lab.b.v6
        kind = traffic.family_of(address)
        with (
            traffic.open_socket(lab.a, kind, socket.SOCK_STREAM) as one,
            traffic.open_socket(lab.a, kind, socket.SOCK_STREAM) as two,
        ):
            one.connect((address, PORT))
            two.connect((address, PORT))
            call(lab, family, range(FIRST, FIRST + 13))
            found = refused(whydrop, lab, 13)
    assert counted(lab.b, "ListenOverflows") == counted(lab.b, "ListenDrops") == packets(found) == 13
    for line in found:
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (
            "socket.accept-queue-full",
            "certain",
        ), told(line)
        assert line["source"] == "tcp_conn_request", told(line)
        assert line["where"]["function"] == "tcp_conn_request", told(line)
        is_listener(line, there)
        assert (line["object"]["accept_queue"], line["object"]["accept_limit"]) == (2, 1), told(line)
        assert "2 connections wait for accept()" in line["evidence"][0]["text"], told(line)


@pytest.mark.parametrize("family", [4, 6])
def test_the_syn_queue_is_full(lab: Lab, whydrop: Whydrop, family: int) -> None:
    lab.b.set("net/ipv4/tcp_syncookies", 0)
    is_silent(lab.a)
    with listening(lab.b, family, 5) as there:
        call(lab, family, range(FIRST, FIRST + 5 + 13))
        lost = counted(lab.b, "TCPReqQFullDrop")
        found = refused(whydrop, lab, lost)
    assert lost in (12, 13)  # the limit is full with as many, or with one more
    assert counted(lab.b, "ListenDrops") == packets(found) == lost
    assert counted(lab.b, "ListenOverflows") == 0
    for line in found:
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("socket.syn-queue-full", "certain"), (
            told(line)
        )
        is_listener(line, there)
        assert line["object"]["syn_queue"] == 18 - lost, told(line)
        assert line["fix"][0]["command"].endswith("sysctl -w net.ipv4.tcp_syncookies=1"), told(line)


def test_the_last_quarter_is_kept(lab: Lab, whydrop: Whydrop) -> None:
    lab.b.set("net/ipv4/tcp_syncookies", 0)
    lab.b.set("net/ipv4/tcp_max_syn_backlog", 16)
    is_silent(lab.a)
    with listening(lab.b, 4, 128) as there:
        call(lab, 4, range(FIRST, FIRST + 13 + 7))
        found = refused(whydrop, lab, 7)
    assert counted(lab.b, "ListenDrops") == packets(found) == 7
    for line in found:
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("socket.syn-queue-full", "likely"), (
            told(line)
        )
        is_listener(line, there)
        assert "tcp_max_syn_backlog (16)" in line["evidence"][0]["text"], told(line)


@contextmanager
def sniffer(end: Namespace) -> Iterator[socket.socket]:
    with traffic.open_socket(
        end, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(traffic.ETH_P_IP)
    ) as made:
        made.bind((end.iface, traffic.ETH_P_IP))
        made.settimeout(60)
        yield made


def first_numbers(sniffed: socket.socket, callers: range) -> dict[int, int]:
    """By the caller's port, the sequence number with which the listener has answered."""
    found: dict[int, int] = {}
    while len(found) < len(callers):
        packet = sniffed.recv(2048)
        tcp = packet[(packet[0] & 15) * 4 :]
        source, caller, seq, _, _, flags = struct.unpack_from("!HHIIBB", tcp)
        if (
            packet[9] == socket.IPPROTO_TCP
            and source == PORT
            and caller in callers
            and flags & SYN_ACK == SYN_ACK
        ):
            found[caller] = seq
    return found


@pytest.mark.parametrize("cookies", [0, 2], ids=["half open", "SYN cookies"])
def test_the_last_ack_finds_no_room(lab: Lab, whydrop: Whydrop, cookies: int) -> None:
    """Six connections wait, which is not too many, and of six more the first takes the last place."""
    lab.b.set("net/ipv4/tcp_syncookies", cookies)
    with listening(lab.b, 4, 6) as there, ExitStack() as connections, sniffer(lab.a) as sniffed:
        for _ in range(6):
            one = connections.enter_context(traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM))
            one.connect((lab.b.v4, PORT))
        is_silent(lab.a)
        callers = range(FIRST, FIRST + 6)
        call(lab, 4, callers)
        for caller, seq in first_numbers(sniffed, callers).items():
            traffic.segments(lab.a, (lab.a.v4, lab.b.v4), (caller, PORT), traffic.ACK, seq=2, ack=seq + 1)
        found = refused(whydrop, lab, 5)
    assert counted(lab.b, "ListenOverflows") == counted(lab.b, "ListenDrops") == packets(found) == 5
    for line in found:
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (
            "socket.accept-queue-full",
            "certain",
        ), told(line)
        assert (line["source"], line["packet"]["tcp_flags"]) == ("kfree_skb", "A"), told(line)
        is_listener(line, there)
        assert "no room for the last ACK of a handshake" in line["evidence"][0]["text"], told(line)
