"""Packets that a program's own socket refuses, by what the program has set on it: a filter, the least TTL."""

import ctypes
import os
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from scenarios import bpf_links, traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab
from scenarios.whydrop_process import Whydrop, told

PORT = 5884
SO_ATTACH_FILTER, IP_MINTTL, IPV6_MINHOPCOUNT = 26, 21, 73
REFUSE = struct.pack("=HBBI", 6, 0, 0, 0)  # BPF_RET | BPF_K: 0 bytes


def refusing(one: socket.socket) -> None:
    """From now on it takes nothing: a classic filter of three instructions."""
    code = ctypes.create_string_buffer(REFUSE * 3)
    one.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", 3, ctypes.addressof(code)))


@pytest.mark.parametrize("family", [4, 6])
def test_a_filter_refuses_it(lab: Lab, whydrop: Whydrop, family: int) -> None:
    address = lab.b.v4 if family == 4 else lab.b.v6
    with traffic.open_socket(lab.b, traffic.family_of(address), socket.SOCK_DGRAM) as reader:
        reader.bind((address, PORT))
        refusing(reader)
        traffic.datagrams(lab.a, address, [PORT] * 3)
        for line in deaths(whydrop, lab.b, 3, PORT):
            assert (line["cause"]["id"], line["cause"]["confidence"]) == ("socket.filter", "likely"), told(
                line
            )
            assert line["process"]["pid"] == os.getpid(), told(line)
            assert (line["object"]["kind"], line["object"]["port"]) == ("socket", PORT), told(line)
            assert "has a classic filter of 3 instructions" in line["evidence"][0]["text"], told(line)


@pytest.mark.parametrize("family", [4, 6])
def test_the_sender_is_too_far_away(lab: Lab, whydrop: Whydrop, family: int) -> None:
    here, there = (lab.a.v4, lab.b.v4) if family == 4 else (lab.a.v6, lab.b.v6)
    level, option = (socket.SOL_IP, IP_MINTTL) if family == 4 else (socket.IPPROTO_IPV6, IPV6_MINHOPCOUNT)
    with traffic.open_socket(lab.b, traffic.family_of(there), socket.SOCK_STREAM) as server:
        server.setsockopt(level, option, 255)
        server.bind((there, PORT))
        server.listen()
        traffic.segments(lab.a, (here, there), (4001, PORT), count=3)
        for line in deaths(whydrop, lab.b, 3, PORT):
            sure = "certain" if line["reason"] == "TCP_MINTTL" else "likely"
            assert (line["cause"]["id"], line["cause"]["confidence"]) == ("socket.min-ttl", sure), told(line)
            assert line["process"]["pid"] == os.getpid(), told(line)
            name = "IP_MINTTL" if family == 4 else "IPV6_MINHOPCOUNT"
            assert f"asks for {name} 255, and the packet has 64" in line["evidence"][0]["text"], told(line)


@pytest.mark.parametrize("family", [4, 6])
def test_a_security_module_refuses_it(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """A BPF program at the hook that SELinux and others have as well."""
    if "bpf" not in security_modules():
        pytest.skip("feature bpf-lsm: no BPF program is asked here")
    address = lab.b.v4 if family == 4 else lab.b.v6
    with traffic.open_socket(lab.b, traffic.family_of(address), socket.SOCK_DGRAM) as reader:
        reader.bind((address, PORT))
        with bpf_links.refusing_by_lsm(PORT) as number:
            traffic.datagrams(lab.a, address, [PORT] * 3)
            found = deaths(whydrop, lab.b, 3, PORT)
        reader.settimeout(60)
        traffic.datagrams(lab.a, address, [PORT])
        assert reader.recv(9) == b"datagram", "without it the socket takes them"
    for line in found:
        assert line["cause"]["id"] == "socket.security-module", told(line)
        assert line["cause"]["confidence"] == (
            "certain" if line["reason"] == "SECURITY_HOOK" else "likely"
        ), told(line)
        if line["reason"] == "SECURITY_HOOK":  # another module may have said it
            assert f"id {number} " in str(line["evidence"]), told(line)
        else:
            assert (line["object"]["kind"], line["object"]["id"]) == ("bpf-program", number), told(line)
        assert line["process"]["pid"] == os.getpid(), told(line)


def security_modules() -> list[str]:
    """Those that are active; where nobody has mounted the file system that says so, it is mounted."""
    said = Path("/sys/kernel/security/lsm")
    if not said.exists():
        subprocess.run(["mount", "-t", "securityfs", "securityfs", str(said.parent)], check=True)
    return said.read_text().strip().split(",")
