"""Which rule of `ip rule` a packet meets."""

from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.routing.policy import Asked, matches, who_chose, who_refused
from dropwatch.host.rules import Refusal, Rule

ASKED = Asked(ip_address("10.77.0.9"), ip_address("10.9.0.1"), "vb", 0x11, 17, 40000, 5000)
LOCAL, MAIN = Rule(0, "lookup", 255), Rule(32766, "lookup", 254)


@pytest.mark.parametrize(
    ("asks", "fits"),
    [
        ({}, True),
        ({"to": "10.77.0.0/16"}, True),
        ({"to": "10.78.0.0/16"}, False),
        ({"source": "10.9.0.0/24"}, True),
        ({"source": "10.8.0.0/24"}, False),
        ({"iif": "vb"}, True),
        ({"iif": "lo"}, False),
        ({"mark": 1, "mask": 0xF}, True),
        ({"mark": 1}, False),
        ({"proto": 17}, True),
        ({"proto": 6}, False),
        ({"dports": (5000, 5010)}, True),
        ({"sports": (1, 2)}, False),
        ({"to": "10.78.0.0/16", "inverted": True}, True),
        ({"to": "10.77.0.0/16", "inverted": True}, False),
        ({"uids": (0, 1000)}, None),
        ({"to": "10.78.0.0/16", "uids": (0, 1000)}, False),
    ],
)
def test_what_a_rule_asks_for(asks: dict[str, Any], fits: bool | None) -> None:
    assert matches(Rule(77, "lookup", 100, **asks), ASKED) is fits


def test_the_first_rule_that_leads_to_the_table() -> None:
    other, first, second = (
        Rule(70, "lookup", 100, iif="va"),
        Rule(77, "lookup", 100, mark=0x11),
        Rule(78, "lookup", 100),
    )
    found = who_chose(100, (LOCAL, other, first, second, MAIN), ASKED)
    assert found == (first, True)
    assert who_chose(254, (LOCAL, MAIN), ASKED) is None, "every host has that rule"


def test_a_rule_that_cannot_be_compared_leaves_it_open() -> None:
    first, second = Rule(70, "lookup", 100, uids=(0, 9)), Rule(78, "lookup", 100)
    assert who_chose(100, (LOCAL, first, second, MAIN), ASKED) == (first, False)


def test_the_route_that_refuses() -> None:
    refusals = (
        Refusal("prohibit", "10.0.0.0/8", 254),
        Refusal("prohibit", "10.77.0.9/32", 254),
        Refusal("prohibit", "10.77.0.9/32", 100),
        Refusal("blackhole", "10.77.0.9/32", 254),
    )
    found = who_refused("prohibit", (LOCAL, MAIN), refusals, ASKED)
    assert found is not None
    route = found.route
    assert (route.text, route.table, route.rule) == ("prohibit 10.77.0.9/32 table main", 254, None)
    assert found.is_sure
    assert who_refused("unreachable", (LOCAL, MAIN), refusals, ASKED) is None


def test_the_rule_that_refuses() -> None:
    rule = Rule(77, "prohibit", 0, iif="vb")
    found = who_refused("prohibit", (LOCAL, rule, MAIN), (), ASKED)
    assert found is not None
    assert (found.route.text, found.route.rule) == ("ip rule 77: from all iif vb prohibit", 77)


def test_a_rule_that_asks_for_what_is_not_known_may_be_it() -> None:
    rule = Rule(77, "prohibit", 0, uids=(1000, 1000))
    found = who_refused("prohibit", (LOCAL, rule, MAIN), (), ASKED)
    assert found is not None
    assert not found.is_sure
    sure = who_refused("prohibit", (LOCAL, rule, MAIN), (), ASKED._replace(uid=1000))
    assert sure is not None
    assert sure.is_sure
    assert who_refused("prohibit", (LOCAL, rule, MAIN), (), ASKED._replace(uid=1001)) is None
