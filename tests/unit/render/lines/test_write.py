"""Which keys an object has: all of its type, but for those that do not apply."""

import json
from typing import Any

import pytest

from dropwatch.model.culprits import Limits, NftRule, Task, XfrmState
from dropwatch.render.lines.drop import Fix
from dropwatch.render.lines.machine import Function
from dropwatch.render.lines.write import line, text

SA: dict[str, Any] = {
    "text": "an SA", "spi": "0x00001001", "saddr": "10.9.0.1", "daddr": "10.9.0.2", "proto": "esp", "mode": "tunnel",
    "reqid": 1, "if_id": 0, "mark": 0, "mark_mask": 0, "state": None,
}  # fmt: skip


def test_kind_and_text_come_first_and_what_does_not_apply_is_left_out() -> None:
    told = json.loads(text(NftRule("drop", "inet", "filter", handle=7)))
    assert list(told.items()) == [
        ("kind", "nft-rule"), ("text", "drop"), ("family", "inet"), ("table", "filter"), ("handle", 7),
    ]  # fmt: skip


def test_what_is_not_known_is_null() -> None:
    assert json.loads(text(Fix(text="ask the peer", command=None))) == {
        "text": "ask the peer",
        "command": None,
    }
    assert json.loads(text(XfrmState(**SA))) == {"kind": "xfrm-state", **SA}


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"seconds_before": 3.2}, {"seconds_before": 3.2, "deleted_by": None}),
        (
            {"seconds_before": 3.2, "deleted_by": Task(812, "charon")},
            {"seconds_before": 3.2, "deleted_by": {"pid": 812, "comm": "charon"}},
        ),
        ({"length": 1401}, {"length": 1401, "mtu": None}),
        ({"differs": ()}, {"differs": []}),
        ({"limits": Limits(packets=5)}, {"limits": {"packets": 5}}),
    ],
)
def test_what_stands_beside_another_key_is_there_with_it(known: dict[str, Any], told: dict[str, Any]) -> None:
    assert json.loads(text(XfrmState(**SA, **known))) == {"kind": "xfrm-state", **SA, **told}


def test_a_line_is_one_line() -> None:
    told = line(Function(name="ip_rcv\n", argument=1, module=None, curated=True))
    assert told.count("\n") == 1
    assert json.loads(told) == {
        "type": "function", "schema": 1, "name": "ip_rcv\n", "argument": 1, "module": None, "curated": True,
    }  # fmt: skip


def test_the_tests_notice_a_line_that_is_not_as_promised() -> None:
    wrong: Any = "first"
    with pytest.raises(AssertionError, match=r"at .*argument: 'first' is not of type 'integer'"):
        line(Function(name="ip_rcv", argument=wrong, module=None, curated=True))
