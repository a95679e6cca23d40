"""The JSON of a journey is a promise: these keys, always present, nothing guessed."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.model.drop import Finding, Frame, Interface, Netns, Packet, Process
from dropwatch.model.journey import Journey, NetfilterAnswer, Step
from dropwatch.render.finding.json import drop_line
from dropwatch.render.journey.json import JourneyJson
from dropwatch.render.lines.made import packet
from dropwatch.render.lines.write import text

PROMISED = {
    "type", "schema", "number", "time", "packet", "steps", "end", "end_text", "finding", "process",
}  # fmt: skip


@pytest.fixture
def journey(make_packet: Callable[..., Packet], make_finding: Callable[..., Finding]) -> Journey:
    known = Step(
        seconds=0.000123456,
        since=1e-6,
        kind="verdict",
        frame=Frame("nft_do_chain", 0, "nf_tables", 1),
        text="",
        layer="netfilter",
        packet=make_packet(),
        netns=Netns(9, "b"),
        iface=Interface(2, "vb"),
        route=Interface(1, "lo"),
        cpu=1,
        process=Process(812, "nc"),
        copy=1,
        depth=2,
        duration=0.1 + 0.2,
        returned=-1,
        tap=True,
        changed="now \x1b[2J",
        answer=NetfilterAnswer("nftables", "inet", "filter", "input", None, "drop"),
        fields=(("len", 84), ("mark", None)),
    )
    unknown = Step(
        0.0,
        0.0,
        "receive",
        Frame(None, 0, None, 0),
        "arrives",
        None,
        make_packet(),
        None,
        None,
        None,
        0,
        None,
    )
    return Journey(
        3,
        1795205701.123456,
        make_packet(),
        (known, unknown),
        "dropped",
        "the kernel dropped it",
        make_finding(),
    )


def read(journey: Journey) -> Any:
    text = JourneyJson().journey(journey, 0.0)
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert text.isascii()
    assert text.isprintable() or text[:-1].isprintable()
    return json.loads(text)


def test_everything_that_is_known_is_there(journey: Journey) -> None:
    found = read(journey)
    assert set(found) == PROMISED
    assert (found["type"], found["schema"], found["number"]) == ("journey", 1, 3)
    assert found["time"] == "2026-11-20T20:15:01.123456Z"
    assert found["packet"] == json.loads(text(packet(journey.packet)))
    assert journey.finding is not None
    assert found["finding"] == json.loads(text(drop_line(journey.finding)))
    assert (found["end"], found["end_text"]) == ("dropped", "the kernel dropped it")
    assert found["steps"][0] == {
        "seconds": 0.000123456,
        "since": 1e-6,
        "kind": "verdict",
        "function": "nft_do_chain",
        "offset": 0,
        "module": "nf_tables",
        "text": "",
        "layer": "netfilter",
        "packet": json.loads(text(packet(journey.packet))),
        "netns": {"inode": 9, "name": "b"},
        "iface": {"index": 2, "name": "vb"},
        "route": {"index": 1, "name": "lo"},
        "cpu": 1,
        "process": {"pid": 812, "comm": "nc", "unit": None, "container": None, "pod": None},
        "copy": 1,
        "depth": 2,
        "duration": 0.3,
        "returned": -1,
        "tap": True,
        "changed": "now \x1b[2J",
        "netfilter": {
            "engine": "nftables",
            "family": "inet",
            "table": "filter",
            "chain": "input",
            "hook": None,
            "verdict": "drop",
        },
        "fields": {"len": 84, "mark": None},
    }


def test_what_is_not_known_is_null_and_never_missing(
    journey: Journey, make_packet: Callable[..., Packet]
) -> None:
    known, unknown = read(journey)["steps"]
    assert set(known) <= set(unknown)
    nothing = ("function", "offset", "module", "layer", "netns", "iface", "route", "process", "duration")
    assert [unknown[key] for key in (*nothing, "returned", "changed", "netfilter")] == [None] * 12
    assert unknown["fields"] == {}
    found = read(Journey(1, 0.0, make_packet(), (), "open", "nothing more was seen of it"))
    assert set(found) == PROMISED
    assert (found["finding"], found["process"], found["steps"]) == (None, None, [])
