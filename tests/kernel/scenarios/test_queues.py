"""Packets that queues and traffic control lose: which qdisc, filter or policer it was, and what it is set to."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from scenarios import bpf_links, traffic
from scenarios.blame import deaths
from scenarios.first_fix import spoil
from scenarios.namespaces import Lab, Namespace
from scenarios.test_drops import in_namespace, kernel_gives_reasons
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, told

PORT = 5881
SO_TXTIME, CLOCK_MONOTONIC = 61, 1
FOR_THE_PORT = f"u32 match ip dport {PORT} 0xffff"
SLOW = "a: tc qdisc add dev va root handle 7: tbf rate 80bit burst 1600"


def datagrams(lab: Lab, count: int = 13, size: int = 1000) -> None:
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            with contextlib.suppress(OSError):  # the queue is full: ENOBUFS
                sender.sendto(bytes(size), (lab.b.v4, PORT))


def for_a_far_time(lab: Lab) -> None:
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, SO_TXTIME, struct.pack("=ii", CLOCK_MONOTONIC, 0))
        far = struct.pack("=Q", time.monotonic_ns() + 3600 * 10**9)
        for _ in range(3):
            sender.sendmsg([b"late"], [(socket.SOL_SOCKET, SO_TXTIME, far)], 0, (lab.b.v4, PORT))


@dataclass(frozen=True)
class Queue:
    """`spoil` are lines as of first_fix.py. `lost` packets die of it, None: chance decides; `thing` is a part of the
    object."""

    cause_id: str
    spoil: tuple[str, ...]
    lost: int | None
    thing: dict[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    send: Callable[[Lab], None] = datagrams
    dies_in: str = "a"
    sure: bool = True
    told_without_reasons: bool = True


def shaped(*lines: str) -> tuple[str, ...]:
    return tuple(f"a: tc {line}" for line in lines)


def filtered(what: str, way: str = "ingress", hook: str = "clsact") -> tuple[str, ...]:
    end, device = ("b", "vb") if way == "ingress" else ("a", "va")
    return (
        f"{end}: tc qdisc add dev {device} {hook}",
        f"{end}: tc filter add dev {device} {way} protocol ip {what}",
    )


HTB = "qdisc add dev va root handle 1: htb default 30"
QUEUES = {
    "tbf": Queue(
        "queueing.qdisc-full",
        (f"{SLOW} limit 3000",),
        10,
        {
            "discipline": "tbf",
            "handle": "7:",
            "parent": "root",
            "limit": 3000,
            "unit": "bytes",
            "interface": "va",
        },
        ("of 3,000 bytes queued",),
        sure=False,
    ),
    "pfifo in a class of htb": Queue(
        "queueing.qdisc-full",
        shaped(
            HTB,
            "class add dev va parent 1: classid 1:10 htb rate 80bit burst 1600 quantum 1600",
            "class add dev va parent 1: classid 1:30 htb rate 10mbit",
            "qdisc add dev va parent 1:10 handle 10: pfifo limit 3",
            f"filter add dev va parent 1: protocol ip pref 5 {FOR_THE_PORT} flowid 1:10",
        ),
        None,
        {
            "discipline": "pfifo",
            "handle": "10:",
            "parent": "1:10",
            "limit": 3,
            "packets": 3,
            "unit": "packets",
        },
        ("3 of 3 packets queued",),
    ),
    "htb without its default class": Queue(
        "queueing.no-class",
        shaped(
            "qdisc add dev va root handle 7: tbf rate 80bit burst 1600 limit 300000",
            "qdisc add dev va parent 7:1 handle 1: htb default 30 direct_qlen 2",
            "class add dev va parent 1: classid 1:10 htb rate 8mbit",
        ),
        9,
        {"discipline": "htb", "handle": "1:"},
        ("default class 1:30 does not exist", "its classes are 1:10", "direct_qlen"),
        sure=False,
    ),
    "hfsc without its default class": Queue(
        "queueing.no-class",
        shaped(
            "qdisc add dev va root handle 1: hfsc default 30",
            "class add dev va parent 1: classid 1:10 hfsc ls rate 8mbit",
        ),
        13,
        {"discipline": "hfsc", "handle": "1:"},
        ("default class 1:30 does not exist", "its classes are 1:10"),
    ),
    "drr without a filter": Queue(
        "queueing.no-class",
        shaped(
            "qdisc add dev va root handle 1: drr", "class add dev va parent 1: classid 1:10 drr quantum 1600"
        ),
        13,
        {"discipline": "drr", "handle": "1:"},
        ("it has no default class", "1:10"),
    ),
    "a filter of htb": Queue(
        "queueing.tc-egress",
        shaped(
            HTB,
            "class add dev va parent 1: classid 1:30 htb rate 10mbit",
            f"filter add dev va parent 1: protocol ip pref 5 {FOR_THE_PORT} action drop",
        ),
        13,
        {"kind": "tc-filter", "parent": "1:", "classifier": "u32", "pref": 5, "action": "drop"},
        sure=False,
    ),
    "loss of netem": Queue(
        "queueing.qdisc-loss",
        ("a: tc qdisc add dev va root handle 3: netem loss 100%",),
        13,
        {"discipline": "netem", "handle": "3:"},
        ("100.00%", "is not full"),
    ),
    "limit of netem": Queue(
        "queueing.qdisc-full",
        ("a: tc qdisc add dev va root handle 3: netem delay 200s limit 2",),
        None,
        {"discipline": "netem", "limit": 2, "packets": 2},
    ),
    "a packet larger than the burst of tbf": Queue(
        "queueing.burst-too-small",
        ("a: tc qdisc add dev va root handle 7: tbf rate 1mbit burst 700 limit 30000",),
        13,
        {"discipline": "tbf", "handle": "7:"},
        ("the packet has 1,042 bytes", "its burst"),
    ),
    "fq_codel behind a shaper": Queue(
        "queueing.qdisc-full",
        (f"{SLOW} limit 30000", "a: tc qdisc add dev va parent 7:1 handle 8: fq_codel limit 3"),
        None,
        {"discipline": "fq_codel", "handle": "8:", "parent": "7:1", "limit": 3},
        sure=False,
    ),
    "a time beyond the horizon": Queue(
        "queueing.horizon",
        ("a: tc qdisc add dev va root handle 5: fq",),
        3,
        {"discipline": "fq", "handle": "5:"},
        send=for_a_far_time,
        sure=False,
    ),
    "flower on the way in": Queue(
        "queueing.tc-ingress",
        filtered(f"pref 49 handle 2 flower ip_proto udp dst_port {PORT} action drop"),
        13,
        {
            "kind": "tc-filter",
            "parent": "ingress",
            "classifier": "flower",
            "pref": 49,
            "handle": "0x2",
            "action": "drop",
        },
        ("the only filter here that can have dropped it",),
        dies_in="b",
    ),
    "flower on the way out": Queue(
        "queueing.tc-egress",
        filtered(f"pref 49 handle 2 flower ip_proto udp dst_port {PORT} action drop", "egress"),
        13,
        {"kind": "tc-filter", "parent": "egress", "classifier": "flower", "pref": 49, "interface": "va"},
    ),
    "a policer": Queue(
        "queueing.police",
        filtered(f"pref 3 {FOR_THE_PORT} action police rate 8kbit burst 1500 conform-exceed drop"),
        12,
        {"kind": "tc-filter", "classifier": "u32", "pref": 3, "action": "police"},
        ("rate 8000bit burst 1500b",),
        dies_in="b",
    ),
    "a device to redirect to is down": Queue(
        "queueing.redirect-down",
        ("b: ip link add d0 type dummy", *filtered("pref 3 matchall action mirred egress redirect dev d0")),
        13,
        {"kind": "tc-filter", "classifier": "matchall", "action": "mirred"},
        ("it sends what comes to d0, which is down or has no carrier",),
        dies_in="b",
        told_without_reasons=False,
    ),
}


def found(whydrop: Whydrop, end: Namespace, count: int | None) -> list[Line]:
    """What died on its way to the port; what arrives there has no listener."""

    def is_lost(line: Line) -> bool:
        return bool(line["packet"]["dport"] == PORT and line["cause"]["id"] != "socket.udp-no-listener")

    if count is not None:
        return deaths(whydrop, end, count, PORT, is_lost)
    return whydrop.wait_for(lambda line: in_namespace(end, line) and is_lost(line))


@pytest.mark.parametrize("queue", [pytest.param(queue, id=name) for name, queue in QUEUES.items()])
def test_what_dropped_it_is_named(lab: Lab, whydrop: Whydrop, queue: Queue) -> None:
    there = traffic.hardware_address(lab.b, lab.b.iface).hex(":")
    lab.a.configure(f"neigh replace {lab.b.v4} lladdr {there} dev va nud permanent")
    for command in queue.spoil:
        spoil(lab, command)
    queue.send(lab)
    end = lab.a if queue.dies_in == "a" else lab.b
    for line in found(whydrop, end, queue.lost):
        shown = told(line)
        if not (queue.told_without_reasons or kernel_gives_reasons()):
            assert line["cause"]["id"] == "unknown", shown
            continue
        sure = "certain" if queue.sure and kernel_gives_reasons() else None
        assert line["cause"]["id"] == queue.cause_id, shown
        assert line["cause"]["confidence"] in ((sure,) if sure is not None else ("certain", "likely")), shown
        thing = line["object"]
        assert thing is not None, shown
        assert {key: thing.get(key) for key in queue.thing} == queue.thing, shown
        said = " ".join([thing["text"], *(one["text"] for one in line["evidence"])])
        assert all(word in said for word in queue.words), f"{queue.words}: {shown}"


def test_a_program_on_the_way_in(lab: Lab, whydrop: Whydrop) -> None:
    """Number and sum of its instructions are what bpftool says."""
    number = bpf_links.drop_by_tc(lab.b)
    datagrams(lab)
    for line in found(whydrop, lab.b, 13):
        shown, thing = told(line), line["object"]
        if not kernel_gives_reasons():  # nor does a program count what it drops
            assert line["cause"]["id"] == "unknown", shown
            continue
        assert line["cause"]["id"] == "queueing.tc-ingress", shown
        assert line["cause"]["confidence"] == "certain", shown
        assert (thing["kind"], thing["program"], thing["pref"]) == ("tc-filter", number, 9), shown
        assert f"tag {thing['tag']}" in lab.b.run(f"bpftool prog show id {number}").stdout, shown


def test_red_drops_before_it_is_full(lab: Lab, whydrop: Whydrop) -> None:
    """How many, chance decides."""
    there = traffic.hardware_address(lab.b, lab.b.iface).hex(":")
    lab.a.configure(f"neigh replace {lab.b.v4} lladdr {there} dev va nud permanent")
    spoil(lab, f"{SLOW} limit 300000")
    red = "red limit 300000 min 1000 max 2000 avpkt 1000 burst 1 bandwidth 8kbit probability 1"
    spoil(lab, f"a: tc qdisc add dev va parent 7:1 handle 8: {red}")
    datagrams(lab, 61)
    (line, *_) = found(whydrop, lab.a, None)
    assert line["cause"]["id"] == "queueing.congested", told(line)
    assert line["object"]["handle"] == "8:", told(line)
    assert "of 300,000 bytes queued" in line["evidence"][0]["text"], told(line)


def test_the_input_queue_of_a_cpu(lab: Lab, whydrop: Whydrop) -> None:
    """What netem lets go all at once does not fit; softnet_stat has counted each of them."""
    limit = Path("/proc/sys/net/core/netdev_max_backlog")
    before = limit.read_text()
    there = traffic.hardware_address(lab.b, lab.b.iface).hex(":")
    lab.a.configure(f"neigh replace {lab.b.v4} lladdr {there} dev va nud permanent")
    try:
        limit.write_text("2")
        spoil(lab, "a: tc qdisc add dev va root netem slot 300ms 300ms")
        datagrams(lab, 61, 8)
        for line in found(whydrop, lab.b, None):
            sure = "certain" if kernel_gives_reasons() else "likely"
            assert (line["cause"]["id"], line["cause"]["confidence"]) == ("queueing.cpu-backlog", sure), told(
                line
            )
            thing = line["object"]
            assert (thing["name"], thing["value"]) == ("net.core.netdev_max_backlog", 2), told(line)
            assert "CPU 0 has dropped" in line["evidence"][0]["text"], told(line)
    finally:
        limit.write_text(before)


def test_a_queue_that_is_not_active(lab: Lab, whydrop: Whydrop) -> None:
    """While another qdisc is attached, the interface has none that sends."""
    there = traffic.hardware_address(lab.b, lab.b.iface).hex(":")
    lab.a.configure(f"neigh replace {lab.b.v4} lladdr {there} dev va nud permanent")
    is_told = threading.Event()

    def send() -> None:
        with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not is_told.is_set():
                with contextlib.suppress(OSError):
                    sender.sendto(bytes(8), (lab.b.v4, PORT))
                time.sleep(0.001)

    def lost() -> list[Line]:
        """The others arrive, where nobody listens."""
        return [
            line
            for line in whydrop.lines()
            if line["type"] == "drop" and in_namespace(lab.a, line) and line["packet"]["dport"] == PORT
        ]

    def found_one() -> bool:
        for kind in ("bfifo", "pfifo"):
            lab.a.run(f"tc qdisc replace dev va root {kind}")
        return bool(lost())

    sending = threading.Thread(target=send)
    sending.start()
    try:
        eventually(found_one, "a packet meets the qdisc noop")
    finally:
        is_told.set()
        sending.join()
    for line in lost():
        assert line["cause"] == line["cause"] | {"id": "queueing.not-active", "confidence": "certain"}, told(
            line
        )
        assert line["iface"]["name"] == "va", told(line)
