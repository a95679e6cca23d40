"""The call tree of one packet: calls inside of calls, how long they took, what they returned."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.model.drop import Finding, Frame, Interface, Netns, Packet
from dropwatch.model.journey import Journey, Kind, NetfilterAnswer, Step
from dropwatch.render.journey.text import JourneyText
from dropwatch.render.journey.tree import JourneyTree
from dropwatch.render.layout import Layout

OWN, B = Netns(7, None), Netns(9, "b")
VA, VB = Interface(2, "va"), Interface(2, "vb")
DROPPED = NetfilterAnswer("nftables", "inet", "filter", "input", "input", "drop")


@pytest.fixture
def make_step(make_packet: Callable[..., Packet]) -> Callable[..., Step]:
    def build(kind: Kind = "call", function: str | None = None, text: str = "", **fields: Any) -> Step:
        frame = Frame(function, 0, None, 0x10 if function else 0)
        usual = Step(0.0, 0.0, kind, frame, text, None, make_packet(), OWN, VA, None, 0, None)
        return replace(usual, **fields)

    return build


@pytest.fixture
def journey(
    make_step: Callable[..., Step], make_packet: Callable[..., Packet], make_finding: Callable[..., Finding]
) -> Journey:
    steps = (
        make_step("call", "__ip_local_out", "leaves", iface=None, duration=40e-6, returned=0),
        make_step("call", "ip_output", "goes out", depth=1, duration=0.0123456, returned=-1),
        make_step("transmit", None, "handed to the driver", depth=2, tap=True),
        make_step("return", "ip_output", depth=1),
        make_step("receive", None, "arrives", netns=B, iface=VB, tap=True, cpu=1),
        make_step("call", "ip_rcv", netns=B, iface=VB, cpu=1, copy=1, fields=(("len", 84), ("mark", None))),
        make_step("verdict", "nft_do_chain", netns=B, iface=VB, cpu=1, depth=1, answer=DROPPED),
    )
    return Journey(1, 0.0, make_packet(), steps, "dropped", "the kernel dropped it", make_finding())


def show(journey: Journey, width: int = 80, colour: bool = False) -> str:
    return JourneyTree(Layout(width, colour), own_netns=7).journey(journey, 0.0)


def calls(journey: Journey, *steps: Step, width: int = 80) -> list[str]:
    lines = show(replace(journey, steps=steps), width).splitlines()
    return [line for line in lines if re.match(r"[ 0-9.us]{14}\|", line)]


def test_the_tree(journey: Journey) -> None:
    lines = show(journey).splitlines()
    at = lines.index("  DROPPED  the kernel dropped it")
    assert lines[1:at] == [
        " ------ own netns, cpu 0 ------",
        "    40.000 us |  __ip_local_out",
        " ------ own netns, va, cpu 0 ------",
        " 12345.600 us |    ip_output  = -EPERM",
        "              |      /* handed to the driver  [tcpdump -i va] */",
        " ------ netns b, vb, cpu 1 ------",
        "              |  /* arrives  [tcpdump -i vb] */",
        "              |  copy 1: ip_rcv  len=84 mark=?",
        "              |    /* nftables inet filter.input: drop */",
    ]
    assert lines[at + 1] == "    a capture on va in own netns or vb in netns b sees it; it died after that"


def test_head_and_finding_are_those_of_the_text(journey: Journey) -> None:
    text, tree = JourneyText(Layout(80), 7).journey(journey, 0.0), show(journey)
    assert tree.splitlines()[0] == text.splitlines()[0]
    assert tree[tree.index("[ipsec.") :] == text[text.index("[ipsec.") :]


@pytest.mark.parametrize("width", [120, 80, 50])
def test_it_fits_however_deep_it_is(width: int, journey: Journey, make_step: Callable[..., Step]) -> None:
    deep = tuple(make_step("call", f"function_{depth}", depth=depth, returned=-12) for depth in range(100))
    deep = (*deep, make_step("queue", None, "handed to the device's queue", depth=100))
    text = show(replace(journey, steps=journey.steps + deep), width)
    assert max(map(len, text.splitlines())) <= width
    assert "function_99  = -ENOMEM" in text
    coloured = show(replace(journey, steps=journey.steps + deep), width, colour=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == text


@pytest.mark.parametrize(
    ("returned", "end"),
    [
        (None, "f"),
        (0, "f"),
        (1, "f  = 1"),
        (-1, "f  = -EPERM"),
        (-95, "f  = -EOPNOTSUPP"),
        (-4000, "f  = -4000"),
        (-70000, "f  = -70000"),
    ],
)
def test_what_a_call_returned(
    returned: int | None, end: str, journey: Journey, make_step: Callable[..., Step]
) -> None:
    assert calls(journey, make_step("call", "f", returned=returned))[0].endswith(f"|  {end}")


def test_what_changed_inside_of_a_call_is_not_lost_with_its_end(
    journey: Journey, make_step: Callable[..., Step]
) -> None:
    found = calls(journey, make_step("call", "f"), make_step("return", "f", changed="10.0.0.1 > 10.0.0.2"))
    assert found[1] == "              |  /* now 10.0.0.1 > 10.0.0.2 */"


def test_functions_of_modules_and_without_names(journey: Journey, make_step: Callable[..., Step]) -> None:
    found = calls(
        journey,
        make_step(frame=Frame("esp_input", 0, "esp4", 1)),
        make_step(frame=Frame(None, 0, None, 0xFFFFFFFFC0001234)),
    )
    assert [line[17:] for line in found] == ["esp_input [esp4]", "0xffffffffc0001234"]


def test_nothing_moves_the_cursor(journey: Journey, make_step: Callable[..., Step]) -> None:
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
    verdict = replace(step, kind="verdict", answer=NetfilterAnswer("nftables", evil, evil, evil, evil, evil))
    text = show(replace(journey, steps=(step, verdict, replace(step, kind="receive")), end_text=evil))
    assert "owned" in text
    assert all(line.isprintable() for line in text.split("\n"))
