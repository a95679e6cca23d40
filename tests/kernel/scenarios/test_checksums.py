"""Checksums that are wrong, and those that a sender leaves to hardware that is not there."""

import socket
import struct
from itertools import product

import pytest
from scenarios import traffic
from scenarios.namespaces import Lab
from scenarios.outgoing import Losses, shown
from scenarios.whydrop_process import Whydrop

PORTS = (41777, 5777)
COUNT = 3
KINDS = {
    "tcp": (socket.IPPROTO_TCP, 16, "TCP_CSUM", "malformed.tcp-checksum"),
    "udp": (socket.IPPROTO_UDP, 6, "UDP_CSUM", "malformed.udp-checksum"),
}


def transport(proto: str) -> bytes:
    if proto == "udp":
        return struct.pack("!HHHH", *PORTS, 16, 0) + b"datagram"
    return struct.pack("!HHIIBBHHH", *PORTS, 7, 0, 5 << 4, traffic.SYN, 64240, 0, 0)


def counted(lab: Lab, family: int, proto: str) -> int:
    """The kernel's own count."""
    name = {"tcp": "TcpInCsumErrors", "udp": "UdpInCsumErrors" if family == 4 else "Udp6InCsumErrors"}[proto]
    return int(lab.b.run(f"nstat -az {name}").stdout.splitlines()[-1].split()[1])


def sent(lab: Lab, family: int, proto: str, *, unfinished: bool) -> tuple[int, int]:
    """What stood in the header, and what would have been right."""
    ends = (lab.a.v4, lab.b.v4) if family == 4 else (lab.a.v6, lab.b.v6)
    number, at, *_ = KINDS[proto]
    bare = transport(proto)
    pseudo = traffic.pseudo_header(ends, number, len(bare))
    right = traffic.checksum(pseudo + bare)
    stands = 0xFFFF ^ traffic.checksum(pseudo) if unfinished else right ^ 0x5555
    data = bare[:at] + struct.pack("!H", stands) + bare[at + 2 :]
    with traffic.open_socket(lab.a, traffic.family_of(ends[0]), socket.SOCK_RAW, number) as sender:
        sender.bind((ends[0], 0))
        for _ in range(COUNT):
            sender.sendto(data, (ends[1], 0))
    return stands, right


@pytest.mark.parametrize(("family", "proto"), list(product((4, 6), KINDS)))
@pytest.mark.parametrize("unfinished", [False, True], ids=["wrong", "unfinished"])
def test_the_checksum(lab: Lab, whydrop: Whydrop, family: int, proto: str, unfinished: bool) -> None:
    """Kernels without reasons: a wrong one is seen in the packet, of an unfinished one nothing is said."""
    losses, before = Losses(lab.b, whydrop), counted(lab, family, proto)
    stands, right = sent(lab, family, proto, unfinished=unfinished)
    found = losses.deaths(COUNT, PORTS[1])
    assert counted(lab, family, proto) - before == COUNT
    for line in found:
        said = line["cause"]["id"], line["cause"]["confidence"]
        assert line["packet"]["proto"] == proto, shown([line])
        if line["reason"] is None:
            assert unfinished or said == (KINDS[proto][3], "likely"), shown([line])
            continue
        assert line["reason"] == KINDS[proto][2], shown([line])
        assert said == (KINDS[proto][3], "certain"), shown([line])
        assert f"{stands:#06x}" in line["evidence"][0]["text"], shown([line])
        if unfinished:
            assert "to the hardware" in line["cause"]["title"], shown([line])
            assert "offload" in line["fix"][0]["text"], shown([line])
        else:
            assert f"{right:#06x} would be right" in line["evidence"][0]["text"], shown([line])
