"""Sockets that take no more: whose, how much was queued, what the limit was."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scenarios import traffic
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
    """Datagrams so large that a few dozen fill the default buffer."""
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
