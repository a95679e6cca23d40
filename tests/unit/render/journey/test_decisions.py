"""The way of a packet on one screen: its decisions, in their order, and its end."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Finding, Frame, Interface, Netns, Packet
from dropwatch.model.journey import Journey, Kind, NetfilterAnswer, Step
from dropwatch.render.journey.decisions import JourneyDecisions
from dropwatch.render.layout import Layout

OWN, ROUTER = Netns(7, None), Netns(8, "router")
VA, VR = Interface(2, "va"), Interface(3, "vra")
TIME = 1795205701.123456
HEAD = f"at {datetime.fromtimestamp(TIME):%H:%M:%S.%f}"


def answer(chain: str, verdict: str = "accept") -> NetfilterAnswer:
    return NetfilterAnswer("nftables", "ip", "t", chain, chain, verdict)


@pytest.fixture
def make_step(make_packet: Callable[..., Packet]) -> Callable[..., Step]:
    def build(ms: int, kind: Kind = "call", function: str | None = None, **fields: Any) -> Step:
        usual = Step(
            seconds=ms / 1000,
            since=0.0,
            kind=kind,
            frame=Frame(function, 0, None, 0x10 if function else 0),
            text={"receive": "arrives", "ip_forward": "to be forwarded"}.get(function or kind, ""),
            layer=None,
            packet=make_packet(),
            netns=OWN,
            iface=VA,
            route=None,
            cpu=0,
            process=None,
            tap=kind in ("receive", "transmit"),
        )
        return replace(usual, **fields)

    return build


@pytest.fixture
def show(make_packet: Callable[..., Packet]) -> Callable[..., list[str]]:
    def shown(*steps: Step, width: int = 80, colour: bool = False, **fields: Any) -> list[str]:
        usual = Journey(1, TIME, make_packet(), steps, "sent", "gone")
        view = JourneyDecisions(Layout(width, colour), own_netns=7)
        return view.journey(replace(usual, **fields), 0.0).splitlines()

    return shown


def test_what_only_passes_it_on_is_left_out(
    make_step: Callable[..., Step], show: Callable[..., list[str]]
) -> None:
    in_router = {"netns": ROUTER, "iface": VR}
    changed = "rewritten: now 10.9.0.1:40000 > 10.9.2.2:80 udp"
    lines = show(
        make_step(0, "call", "__ip_local_out", text="sent by this host via va", iface=None),
        make_step(1, "call", "ip_output", text="routed, leaving through IP"),
        make_step(1, "queue", text="handed to the device's queue"),
        make_step(2, "transmit"),
        make_step(3, "receive", **in_router),
        make_step(4, "call", "ip_rcv", text="received by IP", **in_router),
        make_step(5, "verdict", answer=answer("prerouting"), **in_router),
        make_step(6, "call", "ip_route_input_noref", changed=changed, **in_router),
        make_step(7, "call", "ip_forward", text="to be forwarded via vb", **in_router),
        make_step(8, "return", "ip_forward", **in_router),
        make_step(9, "consumed", "kfree", **in_router),
    )
    assert lines == [
        f"PACKET 1  udp 10.9.0.1:40000 > 10.9.0.2:5000  len 48  {HEAD}",
        "  0.000 ms          -    sent by this host via va",
        "  2.000 ms          va   leaves",
        "  3.000 ms  router  vra  arrives",
        "  5.000 ms               nftables ip t.prerouting: accept",
        "  6.000 ms               rewritten: now 10.9.0.1:40000 > 10.9.2.2:80 udp",
        "  7.000 ms               to be forwarded via vb",
        "  SENT  gone",
        "",
    ]


def test_answers_that_let_it_pass_in_one_place_are_one_row(
    make_step: Callable[..., Step], show: Callable[..., list[str]]
) -> None:
    lines = show(
        make_step(1, "verdict", answer=answer("prerouting")),
        make_step(2, "call", "ip_rcv_finish", text="prerouting done"),
        make_step(3, "verdict", answer=answer("input")),
        make_step(4, "verdict", answer=answer("input", "drop")),
        make_step(5, "verdict", answer=answer("output"), iface=VR),
    )
    assert lines[1:-2] == [
        "  1.000 ms  va   accepted by nftables ip t.prerouting, nftables ip t.input",
        "  4.000 ms       nftables ip t.input: drop",
        "  5.000 ms  vra  nftables ip t.output: accept",
    ]


def test_fields_are_told_where_they_change(
    make_step: Callable[..., Step], show: Callable[..., list[str]]
) -> None:
    lines = show(
        make_step(1, "receive", fields=(("len", 84), ("mark", 0))),
        make_step(2, "call", "ip_rcv", text="received by IP", fields=(("len", 60), ("mark", 0))),
        make_step(3, "verdict", answer=answer("input"), fields=(("len", None), ("mark", 0))),
        make_step(4, "call", "ip_forward", fields=(("len", 60), ("mark", 0))),
    )
    assert [line.partition("va")[2].strip() or line[12:].strip() for line in lines[1:-2]] == [
        "arrives  len=84 mark=0",
        "nftables ip t.input: accept",
        "to be forwarded  len=60",
    ]


def test_a_function_that_was_asked_for_by_name_is_shown(
    make_step: Callable[..., Step], show: Callable[..., list[str]]
) -> None:
    assert show(make_step(1, "call", "my_function"))[1] == "  1.000 ms  va  my_function"


def test_a_long_way_fits_on_a_screen_and_says_what_is_left_out(
    make_step: Callable[..., Step], show: Callable[..., list[str]], make_finding: Callable[..., Finding]
) -> None:
    steps = [make_step(0, "receive")]
    for n in range(1, 30):
        place = {"iface": Interface(n, f"v{n}")}
        steps += [
            make_step(3 * n, "verdict", answer=answer("forward"), **place),
            make_step(3 * n + 1, "call", "ip_forward", text=f"to be forwarded via v{n + 1}", **place),
        ]
    steps.append(make_step(99, "verdict", answer=answer("last", "drop")))
    culprit = NftRule("inet filter guard udp dport 80 drop", "inet", "filter")
    lines = show(*steps, end="dropped", end_text="it died", finding=make_finding(culprit=culprit))
    assert len(lines) <= 24
    assert "arrives" in lines[1]
    assert lines[3] == "  ..."
    at = lines.index("  DROPPED  it died")
    assert "nftables ip t.last: drop" in lines[at - 2]
    shown = at - 3
    assert lines[at - 1] == f"  ({60 - shown} more with -v)"


def test_copies_that_lead_nowhere_make_room_first(
    make_step: Callable[..., Step], show: Callable[..., list[str]]
) -> None:
    own = [make_step(n, "call", "ip_forward", text=f"to be forwarded via v{n}") for n in range(15)]
    copies = [make_step(20 + n, "call", "raw_rcv", text="copied to a raw socket", copy=1) for n in range(12)]
    lines = show(*own, *copies, make_step(50, "transmit", copy=2))
    assert sum("to be forwarded" in line for line in lines) == 15
    assert not any("raw socket" in line for line in lines)
    assert "  (12 more with -v)" in lines
    assert any(line.endswith("copy 2: leaves") for line in lines)


@pytest.mark.parametrize("width", [132, 80, 60, 40])
def test_it_fits_and_colours_do_not_move_anything(
    width: int, make_step: Callable[..., Step], show: Callable[..., list[str]]
) -> None:
    long = Netns(11, "cni-0f3c1a2b-1111-2222-3333-444455556666")
    steps = (
        make_step(0, "receive"),
        make_step(1, "verdict", answer=answer("input"), netns=long, iface=Interface(9, "x" * 15)),
        make_step(2, "verdict", answer=answer("input", "drop"), changed="rewritten: now 10.9.0.1 > 10.9.0.2"),
    )
    lines = show(*steps, width=width)
    assert max(map(len, lines)) <= max(width, len(long.name or "") + 20)
    assert sum(long.name in line for line in lines if long.name) == 1
    coloured = show(*steps, width=width, colour=True)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == lines
    assert any("\x1b[1;31mnftables ip t.input: drop" in line for line in coloured)


def test_a_packet_that_met_nothing_has_a_head_and_an_end(show: Callable[..., list[str]]) -> None:
    assert show()[1:] == ["  SENT  gone", ""]
