"""Segments that a connection of TCP does not take: with its numbers at the drop, which TCP_REPAIR reads as well."""

import os
import socket

import pytest
from scenarios import traffic
from scenarios.namespaces import Lab
from scenarios.test_resent import PORT, connected
from scenarios.whydrop_process import Line, Whydrop, told

TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21  # linux/tcp.h
RECEIVE, SEND = 1, 2  # TCP_RECV_QUEUE, TCP_SEND_QUEUE
FAR = 9_000_000


def numbers(of: socket.socket) -> tuple[int, int]:
    """The next sequence number that it expects, and that which it sends next."""
    of.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    found = []
    for queue in (RECEIVE, SEND):
        of.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
        found.append(of.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ) & 0xFFFFFFFF)
    of.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, -1)  # on again, without a window probe
    return found[0], found[1]


CASES = {
    "beyond the window": (
        FAR,
        0,
        traffic.ACK,
        "tcp.out-of-window",
        "beyond what the connection takes (rcv_nxt {next},",
    ),
    "before the window": (
        -FAR,
        0,
        traffic.ACK,
        None,
        "{far} bytes before what the connection expects (rcv_nxt {next},",
    ),
    "an ACK of what was never sent": (0, 77, traffic.ACK, "tcp.invalid-ack", "77 bytes that were never sent"),
    "a SYN": (
        10,
        0,
        traffic.SYN,
        "tcp.invalid-syn",
        "10 bytes ahead of what the connection expects (rcv_nxt {next})",
    ),
    "a reset": (
        10,
        0,
        traffic.RST,
        "tcp.reset",
        "10 bytes ahead of what the connection expects (rcv_nxt {next})",
    ),
}


@pytest.mark.parametrize("how", CASES)
def test_the_numbers_of_the_connection_are_told(lab: Lab, whydrop: Whydrop, how: str) -> None:
    ahead, unsent, flags, cause_id, words = CASES[how]
    lab.b.set("net/ipv4/tcp_timestamps", 0)
    lab.b.set("net/ipv4/tcp_invalid_ratelimit", 0)
    with connected(lab, 4) as (client, taken):
        expected, sent = numbers(taken)
        ports = client.getsockname()[1], PORT
        seq, ack = (expected + ahead) & 0xFFFFFFFF, (sent + unsent) & 0xFFFFFFFF
        traffic.segments(lab.a, (lab.a.v4, lab.b.v4), ports, flags, seq=seq, ack=ack)
        inode = os.fstat(taken.fileno()).st_ino

        def is_it(line: Line) -> bool:
            packet = line["packet"]
            return (packet["sport"], packet["dport"]) == ports and line["netns"]["name"] == lab.b.name

        # what passes no kfree_skb is followed by one that does
        traffic.segments(lab.a, (lab.a.v4, lab.b.v4), ports, traffic.ACK, seq=1, spoilt=True)
        whydrop.wait_for(lambda line: is_it(line) and line["cause"]["id"] != "unknown" and has_bad_sum(line))
        found = [line for line in whydrop.lines() if is_it(line) and not has_bad_sum(line)]
    if not found:
        assert how == "before the window", "old data that is answered is no loss"
        return
    (line,) = found
    assert line["cause"]["confidence"] == "certain", told(line)
    assert cause_id in (None, line["cause"]["id"]), told(line)
    if not line["evidence"][0]["source"].startswith("connection"):  # before the kernel names the socket
        assert flags != traffic.ACK or unsent, told(line)
        return
    assert words.format(next=expected, far=f"{FAR:,}") in line["evidence"][0]["text"], told(line)
    assert (line["object"]["inode"], line["object"]["peer_port"]) == (inode, ports[0]), told(line)


def has_bad_sum(line: Line) -> bool:
    return bool(line["cause"]["id"] == "malformed.tcp-checksum" or line["reason"] == "TCP_CSUM")
