"""The way of a packet, for people: one line a step, eighty columns, and the end with its finding."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Drop, Finding, Frame, Interface, Netns, Packet, Process
from dropwatch.model.journey import Journey, Kind, NetfilterAnswer, Step
from dropwatch.render.journey.text import JourneyText, answer_words
from dropwatch.render.layout import Layout

OWN, ROUTER, B = Netns(7, None), Netns(8, "router"), Netns(9, "b")
VA, VR, VB = Interface(2, "va"), Interface(3, "vra"), Interface(2, "vb")
TIME = 1795205701.123456
DROPPED = NetfilterAnswer("nftables", "inet", "filter", "guard", "input", "drop")
ACCEPTED = NetfilterAnswer("nftables", "ip", "nat", "prerouting", "prerouting", "accept")


@pytest.fixture
def make_step(make_packet: Callable[..., Packet]) -> Callable[..., Step]:
    def build(kind: Kind = "call", function: str | None = None, text: str = "", **fields: Any) -> Step:
        usual = Step(
            seconds=0.0,
            since=0.0,
            kind=kind,
            frame=Frame(function, 0, None, 0x10 if function else 0),
            text=text,
            layer=None,
            packet=make_packet(),
            netns=OWN,
            iface=None,
            route=None,
            cpu=0,
            process=None,
        )
        return replace(usual, **fields)

    return build


@pytest.fixture
def journey(
    make_step: Callable[..., Step], make_packet: Callable[..., Packet], make_finding: Callable[..., Finding]
) -> Journey:
    steps = (
        make_step("call", "__ip_local_out", "leaves the socket"),
        make_step("transmit", None, "handed to the driver", seconds=0.000012, iface=VA, tap=True),
        make_step("receive", None, "arrives", seconds=0.000037, netns=ROUTER, iface=VR, tap=True),
        make_step("call", "ip_rcv", "IP takes it in", seconds=0.00004, netns=ROUTER, iface=VR),
        make_step(
            "verdict", "nft_do_chain", seconds=0.00005, netns=ROUTER, iface=VR, answer=ACCEPTED,
            changed="rewritten: now 10.9.0.1:40000 > 10.9.2.2:80 udp",
        ),
        make_step("call", "ip_local_deliver", "addressed to this host", seconds=1.5, netns=B, iface=VB, copy=1),
        make_step("verdict", "nft_do_chain", seconds=1.51, netns=B, iface=VB, answer=DROPPED),
    )  # fmt: skip
    finding = make_finding(
        cause_id="firewall.rule",
        title="a rule dropped it",
        culprit=NftRule("inet filter guard udp dport 80 drop", "inet", "filter"),
    )
    return Journey(1, TIME, make_packet(), steps, "dropped", "the kernel dropped it", finding)


def show(journey: Journey, width: int = 80, colour: bool = False) -> str:
    return JourneyText(Layout(width, colour), own_netns=7).journey(journey, 0.0)


def alone(journey: Journey, *steps: Step, **fields: Any) -> list[str]:
    """The lines of these steps only."""
    plain = replace(journey, steps=steps, **{"end": "sent", "end_text": "gone", "finding": None, **fields})
    lines = show(plain, 120).splitlines()
    return lines[1 : lines.index("  SENT  gone")] if plain.end == "sent" else lines


def test_a_journey_can_be_read_from_top_to_bottom(journey: Journey) -> None:
    time = f"{datetime.fromtimestamp(TIME):%H:%M:%S.%f}"
    assert show(journey).splitlines() == [
        f"PACKET 1  udp 10.9.0.1:40000 > 10.9.0.2:5000  len 48  at {time}",
        "  1     0.000 ms             (own)   -    leaves the socket  __ip_local_out",
        "  2     0.012 ms     +0.012          va   handed to the driver  [tcpdump -i va]",
        "  3     0.037 ms     +0.025  router  vra  arrives  [tcpdump -i vra]",
        "  4     0.040 ms     +0.003               IP takes it in  ip_rcv",
        "  5     0.050 ms     +0.010               nftables ip nat.prerouting: accept",
        "                                            rewritten: now 10.9.0.1:40000 >",
        "                                            10.9.2.2:80 udp",
        "  6  1500.000 ms  +1499.950  b       vb   copy 1: addressed to this host",
        "                                          ip_local_deliver",
        "  7  1510.000 ms    +10.000               nftables inet filter.guard: drop (hook",
        "                                          input)",
        "  DROPPED  the kernel dropped it",
        "    a capture on va in own netns (step 2) or vra in netns router (step 3) sees",
        "    it; it died after that",
        f"{time} udp 10.9.0.1:40000 > 10.9.0.2:5000  in vb, netns b",
        "  A rule dropped it  [firewall.rule]",
        "  by     nft inet filter: inet filter guard udp dport 80 drop",
        "",
    ]


@pytest.mark.parametrize("width", [120, 80, 50, 40])
def test_it_fits_and_colours_do_not_move_anything(width: int, journey: Journey) -> None:
    text = show(journey, width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    coloured = show(journey, width, colour=True)
    assert "\x1b[1;31mDROPPED\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == text
    assert all(line.count("\x1b") % 2 == 0 for line in coloured.splitlines())


def test_where_words_have_no_room_beside_the_columns_they_stand_below(journey: Journey) -> None:
    lines = show(journey, 50).splitlines()
    at = lines.index("  3     0.037 ms     +0.025  router  vra")
    assert lines[at + 1] == "      arrives  [tcpdump -i vra]"


def test_a_long_name_of_a_namespace_is_not_cut(journey: Journey, make_step: Callable[..., Step]) -> None:
    long = Netns(11, "cni-0f3c1a2b-1111-2222-3333-444455556666")
    lines = alone(journey, make_step(text="one", iface=VA), make_step(text="two", netns=long, iface=VB))
    assert lines[-2].endswith(f"{long.name}  vb")
    assert lines[-1] == "      two"


def test_in_one_namespace_there_is_no_column_for_it(journey: Journey, make_step: Callable[..., Step]) -> None:
    lines = alone(journey, make_step(text="one", iface=VA), make_step(text="two", iface=VA, seconds=1e-6))
    assert lines == ["  1  0.000 ms          va  one", "  2  0.001 ms  +0.001      two"]


def test_a_namespace_that_nobody_named_has_its_number(
    journey: Journey, make_step: Callable[..., Step]
) -> None:
    lines = alone(
        journey, make_step(text="x", netns=Netns(4026532234, None)), make_step(text="y", netns=None)
    )
    assert "  4026532234  -  x" in lines[0]
    assert "  ?           -  y" in lines[1]


def test_fields_that_could_not_be_read(journey: Journey, make_step: Callable[..., Step]) -> None:
    step = make_step(text="x", function="f", fields=(("len", 84), ("mark", None)))
    assert alone(journey, step)[0].endswith("x  f  len=84 mark=?")


def test_a_function_without_words_stands_for_itself(journey: Journey, make_step: Callable[..., Step]) -> None:
    frame = Frame("my_function", 0, "mymod", 1)
    assert alone(journey, make_step(frame=frame))[0].endswith("  -  my_function [mymod]")
    frame = Frame("icmp_rcv", 0x1F, None, 1)
    assert alone(journey, make_step("consumed", text="freed, its work is done", frame=frame))[0].endswith(
        "freed, its work is done  icmp_rcv+0x1f"
    )


def test_the_end_of_a_call_is_no_line_but_keeps_its_number(
    journey: Journey, make_step: Callable[..., Step]
) -> None:
    steps = (
        make_step(text="one"), make_step("return", "f", seconds=1e-6), make_step(text="two", seconds=3e-6),
    )  # fmt: skip
    assert alone(journey, *steps) == ["  1  0.000 ms          -  one", "  3  0.003 ms  +0.003     two"]
    changed = alone(journey, make_step("return", "f", changed="10.9.0.1 > 10.9.0.3"))
    assert changed[1].strip() == "now 10.9.0.1 > 10.9.0.3"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("nftables", "inet", "filter", "input", "input", "accept"), "nftables inet filter.input: accept"),
        (("nftables", None, "t", "c", None, "drop"), "nftables t.c: drop"),
        (("nftables", "ip", "t", "c", "output", "queue"), "nftables ip t.c: queue (hook output)"),
        (
            ("iptables", "ip", "nat", "PREROUTING", "prerouting", "accept"),
            "iptables nat.PREROUTING: accept",
        ),
        (("iptables", "ip6", "filter", "INPUT", "input", "drop"), "ip6tables filter.INPUT: drop"),
        (("iptables", None, "nat", None, "output", "accept"), "iptables nat: accept (hook output)"),
    ],
)
def test_verdicts(fields: Any, words: str) -> None:
    assert answer_words(NetfilterAnswer(*fields)) == words


@pytest.mark.parametrize(
    ("proto", "kind", "words"),
    [
        ("icmp", 8, "echo request"),
        ("icmp", 0, "echo reply"),
        ("icmp6", 129, "echo reply"),
        ("icmp6", 133, "router solicitation"),
        ("icmp", 3, "destination unreachable (network)"),
    ],
)
def test_types_of_icmp_are_words(
    proto: str, kind: str, words: str, journey: Journey, make_packet: Callable[..., Packet]
) -> None:
    packet = make_packet(proto=proto, sport=None, dport=None, icmp_type=kind, icmp_code=0, length=84)
    first = show(replace(journey, packet=packet), 120).splitlines()[0]
    assert f"10.9.0.1 > 10.9.0.2 {words}  len 84" in first


def test_flags_are_words(journey: Journey, make_packet: Callable[..., Packet]) -> None:
    packet = make_packet(proto="tcp", tcp_flags="S", seq=7)
    assert "  [SYN] seq 7 len 48  at " in show(replace(journey, packet=packet), 120).splitlines()[0]


def test_what_a_capture_saw_of_a_dropped_packet(journey: Journey, make_step: Callable[..., Step]) -> None:
    tap = make_step("receive", None, "arrives", iface=VA, tap=True)
    one = show(replace(journey, steps=(tap,)))
    assert "a capture on va (step 1) sees it; it died after that" in one
    copy = show(replace(journey, steps=(replace(tap, copy=2),)))
    assert "on va (step 1, copy 2) sees it" in copy
    sent = show(replace(journey, steps=(make_step("call", "__ip_local_out", "leaves"),)))
    assert "no capture sees it: it died before the first interface's tap" in sent
    late = show(replace(journey, steps=(make_step("queue", None, "is queued"),)))
    assert "no capture sees it from its first step here until it died" in late
    assert "whether a capture sees it is not known" in show(replace(journey, steps=()))
    assert "capture" not in show(replace(journey, end="sent", finding=None))


def test_generic_xdp_drops_before_sniffers_see_the_packet(
    journey: Journey,
    make_step: Callable[..., Step],
    make_finding: Callable[..., Finding],
    make_drop: Callable[..., Drop],
) -> None:
    stack = (Frame("kfree_skb_reason", 1, None, 1), Frame("do_xdp_generic", 0x80, None, 2))
    finding = make_finding(make_drop(stack=stack))
    steps = (
        make_step("transmit", None, "handed to the driver", iface=VA, tap=True),
        make_step("receive", None, "arrives", iface=VR, tap=True),
    )
    text = " ".join(show(replace(journey, steps=steps, finding=finding)).split())
    assert (
        "a capture on va (step 1) sees it; it died after that (it died on vra before the tap there)" in text
    )
    text = " ".join(show(replace(journey, steps=steps[1:], finding=finding)).split())
    assert "no capture sees it from its first step here until it died (it died on vra before" in text


def test_who_got_it(journey: Journey) -> None:
    got = replace(journey, end="delivered", finding=None, process=Process(812, "nc"))
    assert "  DELIVERED  a socket has it\n  TASK   nc (pid 812)\n" in show(
        replace(got, end_text="a socket has it")
    )
    assert "TASK" not in show(replace(got, end_text="nc[812] read it"))


def test_a_drop_without_a_finding_still_ends(journey: Journey) -> None:
    assert "  DROPPED  the kernel dropped it\n" in show(replace(journey, finding=None))


def test_nothing_from_the_network_or_the_kernel_reaches_the_terminal_as_a_command(
    journey: Journey, make_step: Callable[..., Step]
) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J"
    step = make_step(
        text=evil,
        frame=Frame(evil, 0, evil, 1),
        netns=Netns(1, evil),
        iface=Interface(1, evil),
        tap=True,
        changed=evil,
        fields=((evil, 1),),
    )
    answer = replace(step, answer=NetfilterAnswer("nftables", evil, evil, evil, evil, evil))
    got = replace(
        journey, steps=(step, answer), end_text=evil, finding=None, process=Process(1, evil), end="sent"
    )
    for one in (got, replace(got, end="dropped")):
        text = show(one)
        assert "owned" in text
        assert all(line.isprintable() for line in text.split("\n"))
