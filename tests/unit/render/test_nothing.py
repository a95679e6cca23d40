"""What is said where nothing matched."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from dropwatch.model.drop import Frame, Interface, Netns, Packet, Process
from dropwatch.model.filter import Filter
from dropwatch.model.near import Difference, NearDrop, NearDrops
from dropwatch.model.nothing import Nothing
from dropwatch.model.summary import Counter, Outside
from dropwatch.model.traffic import Endpoint, Traffic
from dropwatch.render.layout import Layout
from dropwatch.render.nothing import nothing

B, OWN = Netns(9, "b"), Netns(7, None)
WANTED = Filter(protos=frozenset({17}), dport=((5000, 5000),), saddr=(IPv4Network("10.0.0.1"),))
SSHD = Process(812, "sshd")
NO_ONE = "no drop differs from the filter in only one or two points"


@pytest.fixture
def near(make_packet: Callable[..., Packet]) -> Callable[..., NearDrop]:
    def build(missed: tuple[str, ...], packets: int = 1, distance: int = 0, **fields: Any) -> NearDrop:
        fitting = tuple(kind for kind in ("protos", "saddr", "dport") if kind not in missed)
        place = {"netns": B, "iface": Interface(2, "vb"), "cause_id": None, "backwards": frozenset[str]()}
        given = {name: fields.pop(name, usual) for name, usual in place.items()}
        return NearDrop(
            packets,
            make_packet(**fields),
            given["netns"],
            given["iface"],
            Frame("udp_rcv", 1, None, 2),
            given["cause_id"],
            Difference(missed, fitting, given["backwards"], distance),
        )

    return build


def told(found: Nothing, width: int = 500) -> dict[str, list[str]]:
    """The lines below each label."""
    sections: dict[str, list[str]] = {}
    label = ""
    for line in nothing(found, 7, Layout(width)).splitlines():
        head, parted, text = line.partition(": ")
        if parted and head.strip() in ("arrived", "nearest", "not seen") and not line.startswith("   "):
            label, line = head.strip(), text
        sections.setdefault(label, []).append(line.strip())
    return sections


def nearest(*drops: NearDrop, wanted: Filter = WANTED, passed_over: int = 0) -> list[str]:
    return told(Nothing(wanted, NearDrops(drops, passed_over)))["nearest"]


def test_the_nearest_come_first_with_what_fits_and_what_does_not(near: Callable[..., NearDrop]) -> None:
    place = "in netns b, by udp_rcv"
    assert nearest(
        near(("dport", "saddr"), 90, saddr="10.0.0.9", dport=53),
        near(("dport",), 7, 1, saddr="10.0.0.1", dport=5001),
        near(("saddr",), 3, 8, saddr="10.0.0.9"),
        near(("dport",), 50, 2, saddr="10.0.0.1", dport=5002),
    ) == [
        f"7 udp packets from 10.0.0.1, but to port 5001, not 5000 (10.0.0.1:40000 > 10.9.0.2:5001, {place})",
        f"50 udp packets from 10.0.0.1, but to port 5002, not 5000 (10.0.0.1:40000 > 10.9.0.2:5002, {place})",
        f"3 udp packets to port 5000, but from 10.0.0.9, not 10.0.0.1 (10.0.0.9:40000 > 10.9.0.2:5000, {place})",
        "and 1 more sort, further from the filter",
    ]


def test_what_differs_in_the_same_is_one_sort(near: Callable[..., NearDrop]) -> None:
    (line,) = nearest(
        near(("dport",), 7, 1, dport=5001, saddr="10.0.0.1", daddr="10.9.0.7"),
        near(("dport",), 4, 1, dport=5001, saddr="10.0.0.1"),
    )
    assert line.startswith("11 udp packets from 10.0.0.1, but to port 5001, not 5000 (most of them 10.0.0.1:")


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("families", {"family": 6}, "of IPv6"),
        ("protos", {"proto": "tcp"}, "tcp, not udp"),
        ("daddr", {"daddr": "10.0.0.3"}, "to 10.0.0.3, not 10.0.0.2"),
        ("host", {}, "between 10.9.0.1 and 10.9.0.2, not from or to 10.8.0.1"),
        ("sport", {"sport": 7}, "from port 7, not 1"),
        ("port", {}, "from port 40000 to port 5000, not from or to port 9"),
        ("ifaces", {}, "on vb, not va"),
        ("ifaces", {"iface": None}, "on an unknown interface, not va"),
        ("netns", {}, "in netns b, not in one that was asked for"),
        ("netns", {"netns": OWN}, "in this network namespace, not in one that was asked for"),
        ("netns", {"netns": None}, "in an unknown network namespace, not in one that was asked for"),
        ("marks", {"mark": 3}, "with mark 0x3, not 0x1"),
        ("dport", {"backwards": frozenset({"dport"}), "sport": 5000}, "from port 5000: the other direction"),
        ("saddr", {"backwards": frozenset({"saddr"})}, "to 10.0.0.1: the other direction"),
    ],
)
def test_each_kind_has_words(
    kind: str, fields: dict[str, Any], words: str, near: Callable[..., NearDrop]
) -> None:
    wanted = replace(
        WANTED,
        families=frozenset({4}),
        daddr=(IPv4Network("10.0.0.2"),),
        host=(IPv4Network("10.8.0.1"),),
        sport=((1, 1),),
        port=((9, 9),),
        ifaces=("va",),
        netns=(8,),
        marks=((1, 0xFFFFFFFF),),
    )
    drop = near((kind,), **fields)
    drop = replace(drop, difference=replace(drop.difference, fitting=()))
    (line,) = nearest(drop, wanted=wanted)
    assert f"packet {words} (" in line


def test_one_that_fits_but_for_its_cause(near: Callable[..., NearDrop]) -> None:
    (line,) = nearest(near((), 5, saddr="10.0.0.1", cause_id="unknown"))
    assert line.startswith("5 udp packets from 10.0.0.1 to port 5000, but their cause is unknown (")


def test_where_not_all_was_compared_none_is_called_the_nearest_of_all(near: Callable[..., NearDrop]) -> None:
    assert nearest() == [NO_ONE]
    assert "nearest" not in told(Nothing(Filter(), NearDrops())), "nothing could be compared"
    assert nearest(passed_over=12345) == ["12,345 other drops were too many to be compared with the filter"]


def arrived(*traffic: Traffic, **fields: Any) -> list[str]:
    return told(Nothing(WANTED, NearDrops(), traffic, **fields))["arrived"]


def test_who_has_the_port_and_what_came_to_it() -> None:
    rises = {"IpInReceives": 50, "IpInDelivers": 44, "IpForwDatagrams": 6, "UdpInDatagrams": 3}
    endpoints = (
        Endpoint("tcp", 22, SSHD, 1, 2, 41),
        Endpoint("tcp", 22, None, 0, 1, 1, 70),
        Endpoint("tcp", 23, SSHD, 1, 0, 0),
        Endpoint("udp", 22, SSHD, 1, waiting=768),
    )
    assert arrived(Traffic(B, rises, endpoints, (("udp", 23),))) == [
        "tcp port 22, in netns b: 41 segments arrived in 2 open connections of sshd (pid 812)",
        "tcp port 22, in netns b: 1 segment arrived in 1 open connection of the kernel, or a process not found;"
        " 70 bytes are queued there, unread",
        "tcp port 23, in netns b: sshd (pid 812) listens; it has no open connection",
        "udp port 22, in netns b: sshd (pid 812) owns the socket; what arrives there is not counted;"
        " 768 bytes are queued there, unread",
        "udp port 23, in netns b: no socket is bound to it",
        "IPv4, all flows, in netns b: 50 received, 44 delivered to protocols, 6 forwarded;"
        " 3 UDP datagrams read",
    ]


def test_ipv6_has_counters_of_its_own() -> None:
    rises = {"Ip6InReceives": 5, "Ip6InDelivers": 4, "Ip6OutForwDatagrams": 1, "Udp6InDatagrams": 2}
    assert arrived(Traffic(OWN, rises)) == [
        "IPv6, all flows, in this network namespace: 5 received, 4 delivered to protocols, 1 forwarded;"
        " 2 UDP datagrams read"
    ]


def pinged(traffic: Traffic) -> list[str]:
    return told(Nothing(Filter(protos=frozenset({1, 58})), NearDrops(), (traffic,)))["arrived"]


def test_pings_without_a_reply_are_told_with_the_sysctl_that_silences_the_kernel() -> None:
    rises = {"IcmpInEchos": 5, "Icmp6InEchos": 2, "Icmp6OutEchoReplies": 1}
    ignored = ("net.ipv4.icmp_echo_ignore_all",)
    assert pinged(Traffic(B, rises, silencing=ignored)) == [
        "IPv4, in netns b: 5 echo requests (ping) arrived, and no replies were sent:"
        " net.ipv4.icmp_echo_ignore_all is set",
        "IPv6, in netns b: 2 echo requests (ping) arrived, and 1 reply was sent",
    ]
    answered = {"IcmpInEchos": 5, "IcmpOutEchoReps": 5}
    assert pinged(Traffic(B, answered)) == ["no IP packet, in any namespace that was looked into"]
    assert arrived(Traffic(B, rises)) == ["no IP packet, in any namespace that was looked into"], (
        "a UDP port is asked for"
    )


def test_where_nothing_came_nothing_is_claimed_of_a_port() -> None:
    quiet = Traffic(B, {}, (), (("udp", 5000),))
    assert arrived(quiet) == ["no IP packet, in any namespace that was looked into"]
    assert arrived(quiet, left_out=3)[-1] == "3 network namespaces were not looked into"


def test_of_many_namespaces_the_first_are_told() -> None:
    many = [Traffic(Netns(n, f"n{n}"), {"IpInReceives": n}) for n in range(1, 8)]
    assert arrived(*many)[-1] == "and in 3 more network namespaces"


def test_a_replay_knows_nothing_of_what_arrived() -> None:
    assert "arrived" not in told(Nothing(WANTED, NearDrops()))


def test_losses_elsewhere_are_told_and_that_there_may_be_others() -> None:
    missed = Outside(Counter("nic", "rx_missed_errors", 9, "eth0", "no room"), B, 12, 12)
    assert told(Nothing(WANTED, NearDrops(), (), (missed,)))["not seen"] == [
        "12 lost in the NIC eth0 (netns b): rx_missed_errors (no room): the flow is not known",
        "what a NIC, a driver or another host loses: compare with the sender",
    ]


@pytest.mark.parametrize("width", [132, 80, 60])
def test_it_fits(width: int, near: Callable[..., NearDrop]) -> None:
    drops = NearDrops((near(("dport",), 7, saddr="2001:db8:1111:2222:3333:4444:5555:6666", family=6),))
    text = nothing(Nothing(WANTED, drops, (Traffic(B, {"IpInReceives": 1}),)), 7, Layout(width))
    assert max(map(len, text.splitlines())) <= width
