"""The capture: read back by a strict parser of our own, and by tshark."""

import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dropwatch.model.culprits import XfrmState
from dropwatch.model.drop import (
    Direction,
    Drop,
    Event,
    Evidence,
    Finding,
    Fix,
    Frame,
    Interface,
    MatchResult,
    Packet,
    Process,
    Where,
)
from dropwatch.render.finding.pcapng import Pcapng, comment

UDP = bytes.fromhex("4500001f000000004011000a0a0900010a0900029c401388000b0000") + b"abc"


@dataclass
class Capture:
    """Link type and options of each interface; interface, time, bytes, whole length and options of each packet."""

    section: dict[int, bytes] = field(default_factory=dict)
    interfaces: list[tuple[int, dict[int, bytes]]] = field(default_factory=list)
    packets: list[tuple[int, int, bytes, int, dict[int, bytes]]] = field(default_factory=list)


def options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while True:
        code, length = struct.unpack_from("<HH", data)
        if code == 0:
            assert (length, data[4:]) == (0, b""), "nothing behind the end of the options"
            return found
        assert code not in found
        found[code] = data[4 : 4 + length]
        assert not any(data[4 + length : 4 + length + -length % 4])
        data = data[4 + length + -length % 4 :]


def read(data: bytes) -> Any:
    """Everything in a capture; AssertionError or struct.error for the slightest fault."""
    capture = Capture()
    while data:
        kind, length = struct.unpack_from("<II", data)
        assert length % 4 == 0
        assert 12 <= length <= len(data)
        assert struct.unpack_from("<I", data, length - 4)[0] == length
        body, data = data[8 : length - 4], data[length:]
        if kind == 0x0A0D0D0A:
            assert not capture.section
            assert struct.unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
            capture.section = options(body[16:])
        elif kind == 1:
            link, reserved, snap = struct.unpack_from("<HHI", body)
            assert (reserved, snap) == (0, 0)
            capture.interfaces.append((link, options(body[8:])))
        else:
            assert kind == 6
            number, high, low, captured, whole = struct.unpack_from("<IIIII", body)
            assert number < len(capture.interfaces)
            assert captured <= whole
            packet = body[20 : 20 + captured]
            assert len(packet) == captured
            rest = body[20 + captured + -captured % 4 :]
            capture.packets.append((number, high << 32 | low, packet, whole, options(rest)))
    assert capture.section
    return capture


def capture_of(*findings: Finding, **how: Any) -> bytes:
    pcapng = Pcapng(lambda event: event.packet, **how)
    return pcapng.section("0.1.0", "Linux 6.1.0") + b"".join(map(pcapng.finding, findings))


@pytest.fixture
def finding(
    make_finding: Callable[..., Finding],
    make_drop: Callable[..., Drop],
    make_event: Callable[..., Event],
    make_packet: Callable[..., Packet],
) -> Callable[..., Finding]:
    """A finding of an event with these fields."""

    def make(
        packet: bytes = UDP,
        length: int | None = 31,
        more: Any = None,
        drop: dict[str, Any] | None = None,
        **event: Any,
    ) -> Finding:
        died = make_event(packet=packet, **event)
        return make_finding(make_drop(make_packet(length=length), died, **(drop or {})), **(more or {}))

    return make


def test_packet_interface_time_and_direction(finding: Callable[..., Finding]) -> None:
    capture = read(capture_of(finding()))
    assert capture.section == {3: b"Linux 6.1.0", 4: b"whydrop 0.1.0"}
    link, told = capture.interfaces[0]
    assert (link, told[2], told[9]) == (101, b"vb", b"\x09")
    assert told[3] == b"network namespace 4026532234 (b), interface index 2"
    number, time, packet, whole, more = capture.packets[0]
    assert (number, packet, whole) == (0, UDP, 31)
    assert abs(time - 1795205701123456000) < 1000
    assert more[2] == struct.pack("<I", 1)


@pytest.mark.parametrize(("direction", "flag"), [("in", 1), ("out", 2), ("forward", 0), (None, 0)])
def test_directions(direction: Direction | None, flag: int, finding: Callable[..., Finding]) -> None:
    where = Where(Frame("f", 1, None, 2), None, direction)
    _, _, _, _, more = read(capture_of(finding(drop={"where": where}))).packets[0]
    assert more[2] == struct.pack("<I", flag)


def test_each_interface_is_described_once(finding: Callable[..., Finding]) -> None:
    places = [(7, 2, "eth0"), (8, 2, "eth0"), (7, 2, "eth0"), (7, 3, "eth1"), (0, 0, None), (7, 9, None)]
    found = [
        finding(netns=netns, ifindex=index, drop={"iface": Interface(index, name) if index else None})
        for netns, index, name in places
    ]
    capture = read(capture_of(*found))
    assert [packet[0] for packet in capture.packets] == [0, 1, 0, 2, 3, 4]
    names = [told[2] for _, told in capture.interfaces]
    assert names == [b"eth0", b"eth0", b"eth1", b"no interface", b"interface 9"]


@pytest.mark.parametrize(
    ("packet", "protocol", "link"),
    [
        (UDP, 0x0800, 101),
        (UDP, 0, 101),
        (b"\x60" + bytes(39), 0x86DD, 101),
        (b"\x60" + bytes(39), 0x0800, 276),
        (bytes(28), 0x0806, 276),
        (b"lldp", 0x88CC, 276),
    ],
)
def test_what_is_no_ip_has_the_kernels_cooked_header(
    packet: bytes, protocol: int, link: int, finding: Callable[..., Finding]
) -> None:
    capture = read(capture_of(finding(packet, len(packet), protocol=protocol)))
    assert capture.interfaces[0][0] == link
    data, whole = capture.packets[0][2:4]
    if link == 101:
        assert (data, whole) == (packet, len(packet))
    else:
        assert data[:2] == protocol.to_bytes(2, "big")
        assert (data[4:8], data[20:], whole) == (b"\0\0\0\2", packet, len(packet) + 20)


def test_what_was_cut_keeps_its_length(finding: Callable[..., Finding]) -> None:
    pcapng = Pcapng(lambda event: event.packet[:28])
    data = pcapng.section("1", "") + pcapng.finding(finding())
    assert read(data).packets[0][2:4] == (UDP[:28], 31)
    assert read(capture_of(finding(length=0, packet=UDP[:20]))).packets[0][2:4] == (UDP[:20], 48)


def test_times_differ_by_the_monotonic_clock(finding: Callable[..., Finding]) -> None:
    found = [
        finding(monotonic_ns=at, drop={"time": 1795205701 + off})
        for at, off in ((1000, 0.0000002), (1017, 0.00000000001), (10**10, 99.0))
    ]
    first, second, third = (packet[1] for packet in read(capture_of(*found)).packets)
    assert second - first == 17
    assert abs(third - 1795205800 * 10**9) < 1000


def test_the_comment_has_the_whole_finding(finding: Callable[..., Finding]) -> None:
    found = finding(
        more={
            "culprit": XfrmState(
                "src 10.9.0.1", "0x00001001", "10.9.0.1", "10.9.0.2", "esp", "tunnel", 1, 0, 0, 0, "valid"
            ),
            "evidence": (Evidence("probe x", "it failed"),),
            "fix": (Fix("compare the keys"), Fix("show it", "ip xfrm state")),
            "match": MatchResult("ipsec", "policy p uses it"),
        },
        drop={"reason": "XFRM_POLICY", "process": Process(7, "nginx")},
    )
    text = read(capture_of(found, edit=str.upper)).packets[0][4][1].decode()
    assert text == comment(found).upper()
    assert comment(found).split("\n") == [
        "whydrop: authentication failed [ipsec.auth-failed, certain]",
        "where: xfrm_input+0x1df, layer ipsec",
        "reason: XFRM_POLICY",
        "by: SA src 10.9.0.1",
        "task: nginx (pid 7)",
        "match: ipsec: policy p uses it",
        "seen: probe x: it failed",
        "do: compare the keys",
        "do: show it: ip xfrm state",
    ]


def test_an_endless_comment_is_cut(finding: Callable[..., Finding]) -> None:
    """Behind a line."""
    found = finding(more={"evidence": tuple(Evidence("x", "é" * 100) for _ in range(1000))})
    comment = read(capture_of(found)).packets[0][4][1]
    assert 0xFFFF - 300 < len(comment) <= 0xFFFF
    assert comment.endswith(b"\xc3\xa9" * 100)
    found = finding(more={"evidence": (Evidence("x", "é" * 70000),)})
    assert b"\xc3\xa9" not in read(capture_of(found)).packets[0][4][1]


def test_tshark_reads_it_without_complaint(finding: Callable[..., Finding], tmp_path: Path) -> None:
    arp = bytes.fromhex("00010800060400010200000000010a0900010000000000000a090002")
    found = [finding(), finding(arp, 28, protocol=0x0806), finding(UDP[:28]), finding(b"", 0, protocol=0)]
    path = tmp_path / "x.pcapng"
    path.write_bytes(capture_of(*found))
    fields = ["frame.interface_name", "frame.time_epoch", "frame.packet_flags_direction", "frame.comment"]
    command = [
        "tshark",
        "-n",
        "-r",
        str(path),
        "-T",
        "fields",
        *(word for name in fields for word in ("-e", name)),
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line for line in told.stderr.splitlines() if "root" not in line] == []
    rows = [line.split("\t") for line in told.stdout.splitlines() if line.startswith("vb\t")]
    assert len(rows) == 4
    assert rows[0][1].startswith("1795205701.12345")
    assert "ipsec.auth-failed" in rows[0][3]
