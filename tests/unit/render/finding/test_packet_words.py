"""A packet in words: ICMP, TCP flags, ARP, ethertypes."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.model.drop import Drop, Event, Packet
from dropwatch.render.finding import packet_words

ARP = bytes.fromhex("0001080006040001 020000000001 0a090001 000000000000 0a090002".replace(" ", ""))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "udp 10.9.0.1:40000 > 10.9.0.2:5000"),
        ({"proto": "icmp", "icmp_type": 8, "icmp_code": 0}, "icmp 10.9.0.1 > 10.9.0.2 echo request"),
        (
            {"proto": "icmp", "icmp_type": 3, "icmp_code": 4},
            "icmp 10.9.0.1 > 10.9.0.2 destination unreachable (fragmentation needed)",
        ),
        (
            {"proto": "icmp6", "icmp_type": 135, "icmp_code": 0},
            "icmp6 10.9.0.1 > 10.9.0.2 neighbour solicitation",
        ),
        ({"proto": "icmp", "icmp_type": 42, "icmp_code": 1}, "icmp 10.9.0.1 > 10.9.0.2 type 42 code 1"),
    ],
)
def test_what_it_is(
    fields: dict[str, object],
    words: str,
    make_drop: Callable[..., Drop],
    make_packet: Callable[..., Packet],
) -> None:
    ports = {} if not fields else {"sport": None, "dport": None}
    assert packet_words.said(make_drop(make_packet(**ports, **fields))) == words


def test_an_icmp_error_says_about_what(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    error = make_packet(proto="icmp", sport=None, dport=None, icmp_type=3, icmp_code=3)
    words = packet_words.said(make_drop(replace(error, quoted=make_packet())))
    assert words.endswith("destination unreachable (port) about udp 10.9.0.1:40000 > 10.9.0.2:5000")


@pytest.mark.parametrize(
    ("data", "protocol", "proto", "words"),
    [
        (ARP, 0x0806, "arp", "arp who has 10.9.0.2, tell 10.9.0.1"),
        (
            ARP[:7] + b"\2" + ARP[8:], 0x0806, "arp",
            "arp 10.9.0.1 is at 02:00:00:00:00:01, to 10.9.0.2",
        ),
        (ARP[:9], 0x0806, "arp", "arp"),
        (b"", 0x88CC, "lldp", "LLDP (ethertype 0x88cc)"),
        (b"", 0x1234, None, "ethertype 0x1234"),
    ],
)  # fmt: skip
def test_what_is_no_ip(
    data: bytes,
    protocol: int,
    proto: str | None,
    words: str,
    make_drop: Callable[..., Drop],
    make_packet: Callable[..., Packet],
    make_event: Callable[..., Event],
) -> None:
    packet = make_packet(family=None, proto=proto, saddr=None, daddr=None, sport=None, dport=None)
    drop = replace(make_drop(packet), event=make_event(packet=data, protocol=protocol))
    assert packet_words.said(drop) == words


def test_a_flow_has_no_port_of_a_client(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    assert packet_words.flow_words(make_drop(make_packet())) == "udp 10.9.0.1 > 10.9.0.2:5000"
    answer = make_drop(make_packet(sport=53, dport=40000))
    assert packet_words.flow_words(answer) == "udp 10.9.0.1:53 > 10.9.0.2"


def test_flags_in_words(make_packet: Callable[..., Packet]) -> None:
    packet = make_packet(proto="tcp", tcp_flags="SA", seq=7, mark=16)
    assert packet_words.particulars(packet, everything=False) == "[SYN ACK] mark 0x10"
    assert packet_words.particulars(packet, everything=True) == "[SYN ACK] seq 7 len 48 mark 0x10"
