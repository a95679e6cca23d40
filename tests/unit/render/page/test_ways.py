"""The way of a packet, as the page tells it: each decision once, each place where it changes, and its end."""

from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.model.drop import Frame, Interface, Netns, Packet
from dropwatch.model.journey import Journey, NetfilterAnswer, Step
from dropwatch.render.page import ways
from dropwatch.render.page.cut import LONGEST
from dropwatch.render.page.ways import way

ROUTER, VA, VB = Netns(7, "r"), Interface(2, "va"), Interface(3, "v\\x1bb")
DROPPED = NetfilterAnswer("nftables", "inet", "filter", "input", "input", "drop")
FUNCTION = Frame("ip_rcv_core", 0, None, 16)  # no landmark that decides


@pytest.fixture
def journey(make_packet: Callable[..., Packet]) -> Callable[..., Journey]:
    def step(kind: Any, **fields: Any) -> Step:
        usual: dict[str, Any] = {
            "seconds": 0.0, "since": 0.0, "text": "", "layer": None, "packet": make_packet(), "netns": ROUTER,
            "iface": VA, "route": None, "cpu": 0, "process": None, "frame": Frame(None, 0, None, 0),
        }  # fmt: skip
        return Step(kind=kind, **usual | fields)

    def build(**fields: Any) -> Journey:
        steps = (
            step("transmit", text="handed to the driver"),
            step("receive", text="arrives", seconds=0.0005, iface=VB),
            step("return", seconds=0.0006, iface=VB, frame=FUNCTION),
            step("verdict", seconds=0.001, iface=VB, answer=DROPPED, changed="now 10.9.0.9:1 > 10.9.0.2:80"),
        )
        usual = {"number": 3, "time": 7.0, "packet": make_packet(), "steps": steps, "end": "dropped"}
        return Journey(**{**usual, "end_text": "dropped by it", **fields})

    return build


def test_what_was_decided(journey: Callable[..., Journey]) -> None:
    found = way(journey(), None, 2)
    assert [(turn.netns, turn.iface, turn.words, turn.is_bad) for turn in found.turns] == [
        ("r", "va", "leaves", False),
        ("", "v\\x1bb", "arrives", False),
        ("", "", "now 10.9.0.9:1 > 10.9.0.2:80", False),
        ("", "", "nftables inet filter.input: drop", True),
    ]
    assert found.packet == "udp 10.9.0.1:40000 > 10.9.0.2:5000  len 48"
    assert (found.number, found.end, found.end_text, found.sort) == (3, "dropped", "dropped by it", 2)


def test_it_has_a_bound(journey: Callable[..., Journey], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "_MOST_TURNS", 3)
    found = way(journey(end_text="x" * 9 * LONGEST), None)
    assert (len(found.turns), found.left_out) == (3, 1)
    assert len(found.end_text) < LONGEST + 50
