"""What an answer is made of: equal findings are one, all is counted, nothing makes it long."""

import json
from typing import Any

import pytest

from dropwatch.cli.agents import answer
from dropwatch.cli.agents.answer import LONGEST, Answer, fitted, page


def drop(dport: int = 53, time: str = "t1", **fields: Any) -> bytes:
    packet = dict.fromkeys(("proto", "saddr", "daddr", "dport", "spi", "icmp_type", "icmp_code"))
    usual = {
        "type": "drop",
        "time": time,
        "count": 2,
        "packet": packet | {"dport": dport},
        "netns": None,
        "where": {"function": "f", "direction": "in"},
        "cause": {"id": "a.b", "confidence": "certain"},
        "object": None,
    }
    return json.dumps(usual | fields).encode()


def made(*lines: bytes, most: int = 10) -> dict[str, Any]:
    taken = Answer(most)
    for line in (*lines, b'{"type": "end", "drops_seen": 3}'):
        taken.take(line)
    return taken.made()


def test_what_one_object_did_is_one() -> None:
    rule = {"kind": "nft-rule", "text": "drop", "handle": 7, "packets": 1}
    found = made(drop(53, object=rule), drop(80, "t2", object=rule | {"packets": 2}))
    (one,) = found["findings"]
    assert (one["packets"], one["first"], one["last"]) == (4, "t1", "t2")
    assert one["finding"]["object"]["packets"] == 1


@pytest.mark.parametrize(
    "other",
    [
        {"object": {"kind": "nft-rule", "text": "drop", "handle": 8}},
        {"netns": {"inode": 5}},
        {"cause": {"id": "a.b", "confidence": "likely"}},
        {"where": {"function": "g", "direction": "in"}},
    ],
)
def test_what_differs_is_not(other: dict[str, Any]) -> None:
    same: dict[str, Any] = {"object": {"kind": "nft-rule", "text": "drop", "handle": 7}}
    assert len(made(drop(**same), drop(**(same | other)))["findings"]) == 2


def test_where_no_object_did_it_each_flow_is_one() -> None:
    near = {"kind": "xfrm-state", "text": "x", "relation": "nearest"}
    assert len(made(drop(53), drop(80))["findings"]) == 2
    assert len(made(drop(53, object=near), drop(80, object=near))["findings"]) == 2


def test_beyond_many_they_are_counted_by_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "_MOST_KINDS", 3)
    found = made(*(drop(port) for port in range(10)))
    assert [(one["packets"], one.get("mixed")) for one in found["findings"]] == [
        (14, True),
        (2, None),
        (2, None),
        (2, None),
    ]
    assert found["packets_by_cause"] == {"a.b": 20}


def test_without_its_last_line_it_is_not_whole() -> None:
    taken = Answer(1)
    taken.take(drop())
    assert not taken.is_whole


def test_it_fits_whatever_is_long() -> None:
    lines = {
        "findings": [{"x": "y" * 900}] * 20,
        "not_shown": 4,
        "summary": {"blind_spots": ["z" * 900] * 60},
    }
    found = fitted(lines)
    assert len(json.dumps(found)) <= LONGEST
    assert found["not_shown"] == 4 + 20 - len(found["findings"])
    assert found["summary"]["blind_spots"]
    assert "at most" in found["cut"]
    assert fitted({"findings": [], "not_shown": 0, "summary": {}}) == {
        "findings": [],
        "not_shown": 0,
        "summary": {},
    }


def test_a_long_page_says_that_it_is_cut() -> None:
    assert page("a\nb\x1b") == {"text": "a\nb\\x1b"}
    assert "1999 characters" in page("\n".join(["x" * 999] * 20))["cut"]


def test_what_is_left_out_is_no_part_of_an_object() -> None:
    fix = [{"text": "x" * 2000, "command": "y" * 2000}, {"text": "t", "command": "c"}]
    route = {"kind": "route", "text": "blackhole 10.0.0.0/8", "type": "blackhole", "rule": None}
    (one,) = made(drop(object=route, fix=fix, stack=["f"], led_by=[]))["findings"]
    assert one["finding"]["object"] == {"kind": "route", "text": "blackhole 10.0.0.0/8", "type": "blackhole"}
    assert one["finding"]["fix"] == [{"text": f"{'x' * 1000}... (1000 more characters)"}, fix[1]]
    assert not {"type", "stack", "led_by", "count"} & one["finding"].keys()
