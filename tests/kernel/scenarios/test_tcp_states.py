"""Segments that do not fit the state of their connection, written by hand; the kernel's counters are beside them."""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from termios import TIOCOUTQ as SIOCOUTQ  # linux/sockios.h: the same number

import pytest
from scenarios import traffic
from scenarios.blame import deaths, packets
from scenarios.callers import Caller, calling, stamps
from scenarios.namespaces import Lab, Namespace
from scenarios.tallies import died_in
from scenarios.test_drops import kernel_gives_reasons
from scenarios.test_resent import PORT as REAL
from scenarios.test_resent import connected, counted
from scenarios.test_tcp_numbers import TCP_REPAIR, numbers
from scenarios.tunnels import SO_RCVBUFFORCE
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, told

PORT, COUNT = 5890, 3
TCP_REPAIR_WINDOW = 29  # linux/tcp.h
SIOCOUTQNSD = 0x894B  # linux/sockios.h
STAMP = 5_000_000
MD5 = b"\x13\x12" + bytes(16)  # RFC 2385
BAD_OPTIONS = {
    "MD5 twice": MD5 * 2,
    "MD5 too short": b"\x13\x10" + bytes(18),
    "longer than the header": b"\xfd\xff" + bytes(18),
}
NO_COOKIE = 0x202  # net.ipv4.tcp_fastopen: for servers, and no cookie is asked for
FAMILIES = (4, 6)


@contextmanager
def serving(end: Namespace, family: int, buffer: int | None = None) -> Iterator[socket.socket]:
    """A socket that listens on the address of the namespace."""
    address = end.v4 if family == 4 else end.v6
    with traffic.open_socket(end, traffic.family_of(address), socket.SOCK_STREAM) as server:
        if buffer is not None:
            server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)
        server.settimeout(60)
        server.bind((address, PORT))
        server.listen()
        yield server


@contextmanager
def taken(
    lab: Lab, family: int, stamp: int | None = None, buffer: int | None = None
) -> Iterator[tuple[Caller, socket.socket]]:
    """A connection: who writes its segments, and the socket in b."""
    with serving(lab.b, family, buffer) as server, calling(lab, family, PORT) as caller:
        caller.open(stamp)
        there, _ = server.accept()
        with there:
            yield caller, there


def died(whydrop: Whydrop, lab: Lab, cause_id: str, reason: str) -> list[Line]:
    """All that were sent, certainly of this cause; the reason is that of kernels that give one."""
    given = reason if kernel_gives_reasons() else None
    found = deaths(whydrop, lab.b, COUNT, PORT, lambda line: line["reason"] == given)
    for line in found:
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (cause_id, "certain"), told(line)
    return found


def is_connection(line: Line, there: socket.socket, *words: str) -> None:
    """It is the object where the kernel names the socket; then its numbers are the evidence."""
    if line["object"] is None:
        assert line["evidence"][0]["source"] != "connection at the drop", told(line)
        return
    assert line["object"]["inode"] == os.fstat(there.fileno()).st_ino, told(line)
    for word in words:
        assert word in line["evidence"][0]["text"], told(line)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_connection_takes_no_segment_without_ack(
    lab: Lab, whydrop: Whydrop, reasons: None, family: int
) -> None:
    with taken(lab, family) as (caller, there):
        caller.send(traffic.FIN, count=COUNT)
        found = died(whydrop, lab, "tcp.flags-invalid", "TCP_FLAGS")
        for line in found:
            assert line["packet"]["tcp_flags"] == "F", told(line)
            is_connection(line, there)
        assert numbers(there)[0] == caller.seq, "the FIN has not counted"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_syn_that_ends_what_it_begins(lab: Lab, whydrop: Whydrop, reasons: None, family: int) -> None:
    """As scans send it; whoever listens does not answer."""
    with serving(lab.b, family), calling(lab, family, PORT) as caller:
        before = counted(lab.b, "TcpOutSegs")
        caller.send(traffic.SYN | traffic.FIN, count=COUNT)
        for line in died(whydrop, lab, "tcp.flags-invalid", "TCP_FLAGS"):
            assert line["packet"]["tcp_flags"] == "FS", told(line)
        assert counted(lab.b, "TcpOutSegs") == before


@pytest.mark.parametrize("family", FAMILIES)
def test_a_timestamp_that_goes_backwards(lab: Lab, whydrop: Whydrop, family: int) -> None:
    with taken(lab, family, STAMP) as (caller, there):
        caller.send(
            traffic.ACK | traffic.PSH, options=stamps(STAMP - 77, caller.echo), data=b"data", count=COUNT
        )
        for line in died(whydrop, lab, "tcp.paws", "TCP_RFC7323_PAWS"):
            older = f"its timestamp {STAMP - 77} is 77 older than the last one that counted, {STAMP}"
            is_connection(line, there, older)
        assert counted(lab.b, "TcpExtPAWSEstab") == COUNT


@pytest.mark.parametrize("family", FAMILIES)
def test_an_echo_of_a_timestamp_that_was_never_sent(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """Kernels that do not compare it open the connection."""
    with serving(lab.b, family) as server, calling(lab, family, PORT) as caller:
        caller.call(stamps(STAMP, 0))
        caller.send(options=stamps(STAMP + 1, caller.echo + 99_000_000), count=COUNT)
        rejected = counted(lab.b, "TcpExtTSEcrRejected")
        if not rejected:
            server.accept()[0].close()
            return
        assert rejected == COUNT
        died(whydrop, lab, "tcp.timestamp-echo", "TCP_RFC7323_TSECR")


@pytest.mark.parametrize("stamped", [False, True], ids=["an old number", "an old timestamp"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_ports_are_in_time_wait(lab: Lab, whydrop: Whydrop, family: int, stamped: bool) -> None:
    with serving(lab.b, family) as server, calling(lab, family, PORT) as caller:
        caller.open(STAMP if stamped else None)
        server.accept()[0].close()
        eventually(lambda: waiting(lab.b, "fin-wait-2 fin-wait-1"), "the server has closed first")
        caller.ack += 1
        options = stamps(STAMP + 5, caller.echo) if stamped else b""
        caller.send(traffic.ACK | traffic.FIN, options=options)
        eventually(lambda: waiting(lab.b, "time-wait"), "the connection is in TIME_WAIT")
        if stamped:
            caller.send(traffic.SYN, ahead=9000, options=stamps(STAMP - 5, 0), count=COUNT)
        else:
            caller.send(traffic.SYN, ahead=-9000, count=COUNT)
        found = deaths(whydrop, lab.b, COUNT, PORT, lambda line: line["packet"]["tcp_flags"] == "S")
        for line in found:
            assert (line["cause"]["id"], line["cause"]["confidence"]) == ("tcp.time-wait", "certain"), told(
                line
            )
            assert line["reason"] in (None, "NOT_SPECIFIED", *["TCP_RFC7323_TW_PAWS"] * stamped), told(line)
        assert waiting(lab.b, "time-wait"), "they opened nothing"


def waiting(end: Namespace, states: str) -> int:
    """How many connections of b are in one of these states."""
    words = " ".join(f"state {each}" for each in states.split())
    return len(end.run(f"ss -Htan {words} sport = :{PORT}").stdout.splitlines())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fast_open_that_is_not_finished(lab: Lab, whydrop: Whydrop, reasons: None, family: int) -> None:
    """Its SYN once more: the program has the data of the first already."""
    lab.b.set("net/ipv4/tcp_fastopen", NO_COOKIE)
    with serving(lab.b, family) as server, calling(lab, family, PORT) as caller:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
        first = caller.seq
        caller.call(data=b"data")
        assert counted(lab.b, "TcpExtTCPFastOpenPassive") == 1
        there, _ = server.accept()
        with there:
            assert there.recv(9) == b"data"
            caller.send(traffic.SYN, ahead=first - caller.seq, count=COUNT)
            for line in died(whydrop, lab, "tcp.fastopen-refused", "TCP_FASTOPEN"):
                is_connection(line, there)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_program_does_not_read(lab: Lab, whydrop: Whydrop, family: int) -> None:
    with connected(lab, family) as (client, there):
        client.setblocking(False)
        eventually(lambda: is_full(client) and is_told(client) and not window(there), "the window is closed")
        expected, sent = numbers(there)
        ends = (lab.a.v4, lab.b.v4) if family == 4 else (lab.a.v6, lab.b.v6)
        ports = client.getsockname()[1], REAL
        flags = traffic.ACK | traffic.PSH
        first = len(whydrop.lines())

        def found() -> list[Line]:
            drops = (line for line in whydrop.lines()[first:] if line["type"] == "drop")
            return [
                line
                for line in drops
                if (line["packet"]["saddr"], line["packet"]["length"]) == (ends[0], length(family, 4))
            ]

        traffic.segments(lab.a, ends, ports, flags, seq=expected, ack=sent, data=b"more", count=COUNT)
        eventually(lambda: packets(found()) >= COUNT, f"{COUNT} findings")
        for line in found():
            assert (line["cause"]["id"], line["cause"]["confidence"]) == ("tcp.zero-window", "certain"), told(
                line
            )
            assert line["netns"]["name"] == lab.b.name, told(line)
            is_connection(line, there, "bytes of its receive buffer are in use")
        dropped = counted(lab.b, "TcpExtTCPZeroWindowDrop") + counted(lab.b, "TcpExtBeyondWindow")
        assert dropped >= COUNT


def length(family: int, data: int) -> int:
    """Of a packet with so much data and no options."""
    return (20 if family == 4 else 40) + 20 + data


def window(of: socket.socket) -> int:
    """What it is ready to take: of struct tcp_repair_window rcv_wnd, from rcv_wup on."""
    expected, _ = numbers(of)
    of.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    *_, offered, since = struct.unpack("=5I", of.getsockopt(socket.IPPROTO_TCP, TCP_REPAIR_WINDOW, 20))
    of.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, -1)
    return int(since + offered - expected) % (1 << 32)


def is_told(client: socket.socket) -> bool:
    """When nothing of it is on the way: what comes could make room, since a receiver joins what lies side by side."""
    unacknowledged, unsent = (
        int.from_bytes(ioctl(client, asked, bytes(4)), sys.byteorder) for asked in (SIOCOUTQ, SIOCOUTQNSD)
    )
    return unacknowledged == unsent


def is_full(client: socket.socket) -> bool:
    """When nothing more can be sent for the moment."""
    try:
        while True:
            client.send(bytes(1 << 16))
    except BlockingIOError:
        return True


@pytest.mark.parametrize("family", FAMILIES)
def test_what_came_out_of_order_is_pruned(lab: Lab, whydrop: Whydrop, reasons: None, family: int) -> None:
    """The nearest to the gap come last, and what lies further ahead makes room for them."""
    with taken(lab, family, buffer=8192) as (caller, there):
        caller.send(ahead=6000, data=b"far!", count=200, step=-20)
        found = whydrop.wait_for(
            lambda line: died_in(lab.b, line) and line["reason"] == "TCP_OFO_QUEUE_PRUNE"
        )
        assert counted(lab.b, "TcpExtOfoPruned")
        for line in found:
            assert (line["cause"]["id"], line["cause"]["confidence"]) == ("tcp.ofo-pruned", "certain"), told(
                line
            )
            is_connection(line, there, "bytes of its receive buffer are in use")


@pytest.mark.parametrize("how", BAD_OPTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_options_that_cannot_be(lab: Lab, whydrop: Whydrop, family: int, how: str) -> None:
    """Kernels that do not look at all of them answer, or miss the key of the first."""
    with serving(lab.b, family), calling(lab, family, PORT) as caller:
        before = counted(lab.b, "TcpOutSegs")
        caller.send(traffic.SYN, options=BAD_OPTIONS[how], count=COUNT)
        if gives("TCP_AUTH_HDR"):
            died(whydrop, lab, "tcp.auth-option-invalid", "TCP_AUTH_HDR")
            assert counted(lab.b, "TcpOutSegs") == before
        elif how == "MD5 twice":
            assert counted(lab.b, "TcpExtTCPMD5Unexpected") == COUNT
        else:
            assert counted(lab.b, "TcpOutSegs") > before


def gives(reason: str) -> bool:
    """Whether this kernel has the reason."""
    return f'"{reason}"' in Path("/sys/kernel/tracing/events/skb/kfree_skb/format").read_text()


@pytest.mark.parametrize("family", FAMILIES)
def test_nobody_listens(lab: Lab, whydrop: Whydrop, family: int) -> None:
    with calling(lab, family, PORT) as caller:
        caller.send(traffic.SYN, count=COUNT)
        for line in deaths(whydrop, lab.b, COUNT, PORT):
            found = line["cause"]["id"], line["cause"]["confidence"], line["object"]
            assert found == ("socket.tcp-no-listener", "certain", None), told(line)
        assert counted(lab.b, "TcpOutRsts") == COUNT
