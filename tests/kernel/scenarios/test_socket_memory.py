"""Sockets with room in their own buffer: the memory of all is used up, or a system call has the socket in a flood."""

import ctypes
import mmap
import os
import platform
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from termios import TIOCOUTQ as SIOCOUTQ  # linux/sockios.h: the same number

import pytest
from scenarios import traffic
from scenarios.blame import deaths, packets
from scenarios.namespaces import LIBC, Lab
from scenarios.test_resent import counted
from scenarios.test_sockets import PORT as UDP_PORT
from scenarios.test_sockets import socket_memory, unread
from scenarios.test_tcp_numbers import numbers
from scenarios.test_tcp_states import FAMILIES, PORT, serving, taken
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, told

LARGE = 1 << 23
SENT = 1201  # of 1,400 bytes: more than a CPU keeps for itself before it asks whether there is any left
SYS_USERFAULTFD = {"x86_64": 323, "aarch64": 282}[platform.machine()]
UFFDIO_API, UFFDIO_REGISTER = 0xC018AA3F, 0xC020AA00  # linux/userfaultfd.h
UFFD_API, MISSING = 0xAA, 1


@contextmanager
def little_memory(proto: str) -> Iterator[None]:
    """One page for all sockets of the host."""
    limits = Path(f"/proc/sys/net/ipv4/{proto}_mem")
    before = limits.read_text()
    limits.write_text("1 1 1")
    try:
        yield
    finally:
        limits.write_text(before)


def since_now(whydrop: Whydrop, reason: str) -> Callable[[], list[Line]]:
    """Findings with this reason, of this port; in TCP a segment may have lost its device, and so its namespace."""
    first = len(whydrop.lines())

    def found() -> list[Line]:
        drops = (line for line in whydrop.lines()[first:] if line["type"] == "drop")
        return [line for line in drops if (line["reason"], line["packet"]["dport"]) == (reason, PORT)]

    return found


@pytest.mark.parametrize("family", [4, pytest.param(6, marks=pytest.mark.once)])
def test_the_memory_of_udp_is_used_up(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """A datagram that was to be queued has lost its device, and so its namespace: the socket has it."""
    address = lab.b.v4 if family == 4 else lab.b.v6
    with unread(lab.b, family, LARGE) as reader, little_memory("udp"):
        lab.a.run(f"ping -c 1 -W 60 {address}")
        with traffic.open_socket(lab.a, traffic.family_of(address), socket.SOCK_DGRAM) as sender:
            for _ in range(SENT):
                sender.sendto(bytes(1400), (address, UDP_PORT))
        traffic.datagrams(lab.a, address, [UDP_PORT + 1])  # what comes before it has come
        deaths(whydrop, lab.b, 1, UDP_PORT + 1)
        lost = socket_memory(lab.b)["d"]
        assert 0 < lost <= SENT
        inode = os.fstat(reader.fileno()).st_ino
        found = deaths(whydrop, lab.b, lost, UDP_PORT)
    for line in found:
        assert line["cause"]["id"] == "socket.memory-pressure", told(line)
        assert line["object"]["inode"] == inode, told(line)
        assert line["object"]["queued"] < line["object"]["limit"], told(line)
        assert line["process"]["pid"] == os.getpid(), told(line)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_memory_of_tcp_is_used_up(lab: Lab, whydrop: Whydrop, reasons: None, family: int) -> None:
    """A connection has 3 MB that nobody has read, and room for more."""
    address = lab.b.v4 if family == 4 else lab.b.v6
    found = since_now(whydrop, "PROTO_MEM")
    with (
        serving(lab.b, family, LARGE) as server,
        traffic.open_socket(lab.a, traffic.family_of(address), socket.SOCK_STREAM) as client,
    ):
        client.settimeout(60)
        client.connect((address, PORT))
        there, _ = server.accept()
        with there:
            client.sendall(bytes(3 << 20))
            eventually(lambda: waits(client) == 0, "all of it has arrived")
            expected, sent = numbers(there)
            ends, ports = (client.getsockname()[0], address), (client.getsockname()[1], PORT)
            with little_memory("tcp"):
                flags, data = traffic.ACK | traffic.PSH, bytes(1400)
                traffic.segments(
                    lab.a, ends, ports, flags, seq=expected, ack=sent, data=data, count=13, step=1400
                )
                lost = counted(lab.b, "TcpExtTCPRcvQDrop") + counted(lab.b, "TcpExtTCPOFODrop")
                assert 0 < lost <= 13
                eventually(lambda: packets(found()) >= lost, f"{lost} findings")
                inode = os.fstat(there.fileno()).st_ino
    assert packets(found()) == lost
    known = [line for line in found() if line["netns"] is not None]
    for line in found():
        if line not in known:  # it has lost its device in TCP, and the tracepoint has no socket before 6.11
            assert line["cause"]["id"] == "unknown", told(line)
    certain = "certain" if all(line["object"] for line in known) else "likely"
    for line in known:
        said = line["cause"]["id"], line["cause"]["confidence"]
        assert said == ("socket.memory-pressure", certain), told(line)
        assert line["process"]["pid"] == os.getpid(), told(line)
    if known:
        assert known[-1]["object"]["inode"] == inode, told(known[-1])


def waits(client: socket.socket) -> int:
    """Bytes that the other end has not acknowledged."""
    return int(struct.unpack("=i", ioctl(client, SIOCOUTQ, bytes(4)))[0])


@contextmanager
def in_a_call(there: socket.socket) -> Iterator[None]:
    """A thread sends a page of memory that is not there: its system call has the socket until somebody brings it."""
    faults = LIBC.syscall(SYS_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK)
    assert faults >= 0, os.strerror(ctypes.get_errno())
    with mmap.mmap(-1, mmap.PAGESIZE) as memory:
        page = ctypes.c_char.from_buffer(memory)
        address = ctypes.addressof(page)
        try:
            ioctl(faults, UFFDIO_API, struct.pack("=QQQ", UFFD_API, 0, 0))
            ioctl(faults, UFFDIO_REGISTER, struct.pack("=QQQQ", address, mmap.PAGESIZE, MISSING, 0))
            words = there.fileno(), ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), 0
            sending = threading.Thread(target=LIBC.send, args=words)
            sending.start()
            assert select.select([faults], [], [], 60)[0], "the system call waits for the page"
            yield
        finally:
            os.close(faults)
            sending.join()
            del page


@pytest.mark.parametrize("family", FAMILIES)
def test_the_backlog_is_full(lab: Lab, whydrop: Whydrop, reasons: None, family: int) -> None:
    with taken(lab, family, buffer=8192) as (caller, there), in_a_call(there):
        found = since_now(whydrop, "SOCKET_BACKLOG")
        caller.send(ahead=1, data=bytes(1400), count=200, step=1600)
        lost = counted(lab.b, "TcpExtTCPBacklogDrop")
        assert 0 < lost < 200
        eventually(lambda: packets(found()) >= lost, f"{lost} findings")
        inode = os.fstat(there.fileno()).st_ino
    assert packets(found()) == lost
    for line in found():
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("socket.backlog-full", "certain"), told(
            line
        )
        if line["object"] is not None:
            assert line["object"]["inode"] == inode, told(line)
            assert line["process"]["pid"] == os.getpid(), told(line)
