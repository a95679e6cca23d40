"""Pieces of packets that are lost: which piece it was, what is missing, and what reassembly may take."""

import socket
import struct

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab
from scenarios.whydrop_process import Line, Whydrop, told

PORT = 5883
WHOLE = struct.pack("!HHHH", 40000, PORT, 1208, 0) + bytes(1200)


def piece(lab: Lab, number: int, start: int, end: int, *, more: bool = True, family: int = 4) -> None:
    """These bytes of a datagram of 1,208, from a to b."""
    body, offset = WHOLE[start:end], start // 8
    there = traffic.hardware_address(lab.b, lab.b.iface)
    if family == 4:
        ends = socket.inet_aton(lab.a.v4) + socket.inet_aton(lab.b.v4)
        flags = (0x2000 if more else 0) | offset
        bare = (
            struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, flags, 64, socket.IPPROTO_UDP, 0) + ends
        )
        packet = bare[:10] + struct.pack("!H", traffic.checksum(bare)) + bare[12:] + body
        traffic.frames(lab.a, lab.a.iface, to=there, kind=traffic.ETH_P_IP, body=packet, count=1)
        return
    header = struct.pack("!BBHI", socket.IPPROTO_UDP, 0, offset << 3 | more, number)
    ends = socket.inet_pton(socket.AF_INET6, lab.a.v6) + socket.inet_pton(socket.AF_INET6, lab.b.v6)
    head = struct.pack("!IHBB", 6 << 28, len(header) + len(body), socket.IPPROTO_FRAGMENT, 64)
    traffic.frames(lab.a, lab.a.iface, to=there, kind=0x86DD, body=head + ends + header + body, count=1)


def of_fragments(line: Line) -> bool:
    return str(line["cause"]["id"]).startswith("fragment.")


def said(line: Line) -> str:
    return " ".join(one["text"] for one in line["evidence"])


@pytest.mark.parametrize("family", [4, 6])
def test_the_rest_never_comes(lab: Lab, whydrop: Whydrop, family: int) -> None:
    lab.b.set("net/ipv4/ipfrag_time" if family == 4 else "net/ipv6/ip6frag_time", 1)
    for number in range(3):
        piece(lab, 7 + number, 0, 800, family=family)
    for line in deaths(whydrop, lab.b, 3, wanted=of_fragments):
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("fragment.timeout", "certain"), told(
            line
        )
        assert "bytes 0 to 800, the first one; what follows did not all come" in said(line), told(line)
        assert "frag_time is 1 s" in said(line), told(line)


@pytest.mark.parametrize("family", [4, 6])
def test_no_room_for_one_more(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """Nothing is begun above the limit; what there is stays."""
    name = "net/ipv4/ipfrag" if family == 4 else "net/ipv6/ip6frag"
    lab.b.set(f"{name}_time", 3600)
    lab.b.set(f"{name}_low_thresh", 1)
    lab.b.set(f"{name}_high_thresh", 1)
    for number in range(4):
        piece(lab, 27 + number, 0, 800, family=family)
    for line in deaths(whydrop, lab.b, 3, wanted=of_fragments):
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("fragment.memory", "likely"), told(line)
        thing = line["object"]
        sysctl = f"{name.replace('/', '.')}_high_thresh"
        assert (thing["kind"], thing["name"], thing["value"]) == ("sysctl", sysctl, 1), told(line)
        assert thing["count"] > 1, told(line)


@pytest.mark.parametrize("family", [4, 6])
def test_pieces_that_overlap(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """What was there goes with the one that overlaps it: as a drop too on kernels without a reason for that."""
    for number in range(3):
        piece(lab, 37 + number, 0, 800, family=family)
        piece(lab, 37 + number, 400, 1200, family=family)
    for line in deaths(whydrop, lab.b, 3, wanted=of_fragments):
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("fragment.overlap", "certain"), told(
            line
        )
        assert "bytes 400 to 1,200 of a packet in pieces: some of them were there already" in said(line)
    # What waited has lost its device, and with it its namespace.
    sender = lab.a.v4 if family == 4 else lab.a.v6
    waited = [
        line
        for line in whydrop.lines()
        if line.get("type") == "drop"
        and line["packet"]["saddr"] == sender
        and line["packet"]["fragment_id"] in (37, 38, 39)
        and not line["packet"]["fragment_offset"]
    ]
    for line in waited:
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("fragment.overlap", "certain"), told(
            line
        )
        assert "one that came later overlaps" in said(line), told(line)


@pytest.mark.parametrize("family", [4, 6])
def test_a_piece_that_has_come_already(lab: Lab, whydrop: Whydrop, family: int) -> None:
    for number in range(3):
        for _ in range(2):
            piece(lab, 47 + number, 0, 800, family=family)
    for line in deaths(whydrop, lab.b, 3):
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("fragment.duplicate", "certain"), told(
            line
        )


def pieces(whydrop: Whydrop, lab: Lab, numbers: range) -> list[Line]:
    """What waited has lost its device, and with it its namespace: it is known by its sender and number."""
    return whydrop.wait_for(
        lambda line: (
            line.get("type") == "drop"
            and line["packet"]["saddr"] == lab.a.v4
            and line["packet"]["fragment_id"] in numbers
        ),
        len(numbers),
    )


def test_the_first_never_comes(lab: Lab, whydrop: Whydrop) -> None:
    """As behind a firewall that passes only what has no ports; a kernel without reasons says nothing false."""
    lab.b.set("net/ipv4/ipfrag_time", 1)
    numbers = range(1701, 1704)
    for number in numbers:
        piece(lab, number, 800, 1208, more=False)
    for line in pieces(whydrop, lab, numbers):
        if line["reason"] == "FRAG_REASM_TIMEOUT":
            assert (line["cause"]["id"], line["cause"]["confidence"]) == ("fragment.timeout", "certain"), (
                told(line)
            )
            assert "bytes 800 to 1,208, the last one; what comes before did not all come" in said(line), told(
                line
            )
        else:
            assert line["cause"]["id"] == "unknown", told(line)


def test_too_many_others_came_between(lab: Lab, whydrop: Whydrop) -> None:
    """The pieces of the first packet are given up; a kernel without reasons says nothing false."""
    lab.b.set("net/ipv4/ipfrag_max_dist", 1)
    piece(lab, 1757, 0, 800)
    for number in range(3):
        piece(lab, 1758 + number, 0, 800)
    piece(lab, 1757, 800, 1200)
    (line, *_) = pieces(whydrop, lab, range(1757, 1758))
    if line["reason"] == "FRAG_TOO_FAR":
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("fragment.too-far", "certain"), told(
            line
        )
    else:
        assert line["cause"]["id"] == "unknown", told(line)
