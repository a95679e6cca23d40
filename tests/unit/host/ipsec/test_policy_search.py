"""Which policy the kernel takes for a flow, and when that cannot be told."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.policy_search import Flow, flow_of, nearly, policy_fit, selector_fit, taken
from dropwatch.model.drop import Packet
from dropwatch.model.ipsec import Selector, XfrmPolicy

A, B = ip_address("10.9.0.1"), ip_address("10.9.0.2")
FLOW = Flow(4, A, B, 17, 40000, 5000)
ANY = Selector(family=4)
NOW = 1795205701.5
POLICY = XfrmPolicy(ANY, "in", "allow", 100, 8)


def config(*policies: XfrmPolicy) -> XfrmConfig:
    return XfrmConfig((), policies, 0)


def udp_to(port: int, **fields: Any) -> Selector:
    return Selector(family=4, proto=17, dport=port, dport_mask=0xFFFF, **fields)


@pytest.mark.parametrize(
    ("selector", "differs"),
    [
        (ANY, ()),
        (Selector(), ()),
        (Selector(family=6), ("family",)),
        (Selector(family=4, saddr=ip_address("10.9.0.0"), prefixlen_s=24), ()),
        (Selector(family=4, saddr=ip_address("10.9.0.2"), prefixlen_s=32), ("src",)),
        (Selector(family=4, daddr=ip_address("10.9.0.0"), prefixlen_d=31), ("dst",)),
        (udp_to(5000), ()),
        (udp_to(5001), ("dport",)),
        (Selector(family=4, proto=6), ("proto",)),
        (Selector(family=4, proto=17, sport=40001, sport_mask=0xFFFE), ()),
        (Selector(family=4, proto=17, sport=40002, sport_mask=0xFFFE), ("sport",)),
    ],
)
def test_selectors(selector: Selector, differs: tuple[str, ...]) -> None:
    assert selector_fit(selector, FLOW) == (differs, ())


def test_what_is_not_known_is_said() -> None:
    unknown = replace(FLOW, dport=None, mark=None, if_id=None)
    bound = replace(POLICY, selector=udp_to(5000), mark=5, mark_mask=0xFF, if_id=7)
    assert policy_fit(bound, unknown) == ((), ("if_id", "mark", "dport"))
    assert selector_fit(Selector(family=4, ifindex=3), FLOW) == ((), ("dev",))


@pytest.mark.parametrize(
    ("mark", "if_id", "differs"),
    [(5, 7, ()), (0x105, 7, ()), (4, 7, ("mark",)), (5, 0, ("if_id",)), (0, 0, ("if_id", "mark"))],
)
def test_mark_and_interface(mark: int, if_id: int, differs: tuple[str, ...]) -> None:
    bound = replace(POLICY, mark=5, mark_mask=0xFF, if_id=7)
    assert policy_fit(bound, replace(FLOW, mark=mark, if_id=if_id)).differs == differs


def test_a_policy_without_if_id_is_not_for_an_xfrm_interface() -> None:
    assert policy_fit(POLICY, replace(FLOW, if_id=7)).differs == ("if_id",)


def test_the_smaller_priority_is_taken() -> None:
    first, second = replace(POLICY, priority=10), replace(POLICY, priority=20)
    assert taken(config(second, first), "in", FLOW, NOW) == (first,)


def test_what_does_not_fit_is_passed_over() -> None:
    first = replace(POLICY, priority=10, selector=udp_to(5001))
    assert taken(config(first, POLICY), "in", FLOW, NOW) == (POLICY,)


def test_another_direction_is_not_looked_at() -> None:
    for direction in ("out", "fwd", "socket in"):
        assert taken(config(replace(POLICY, dir=direction)), "in", FLOW, NOW) == ()


def test_equal_priorities_leave_it_open() -> None:
    other = replace(POLICY, selector=udp_to(5000), index=16)
    later = replace(POLICY, priority=200)
    assert set(taken(config(POLICY, other, later), "in", FLOW, NOW)) == {POLICY, other}


def test_one_that_may_fit_leaves_it_open() -> None:
    first = replace(POLICY, priority=10, selector=udp_to(5000))
    assert taken(config(first, POLICY), "in", replace(FLOW, dport=None), NOW) == (first, POLICY)


def test_what_was_added_later_is_passed_over() -> None:
    later, same_second = (
        replace(POLICY, add_time=int(NOW) + 1, priority=1),
        replace(POLICY, add_time=int(NOW)),
    )
    assert taken(config(later, same_second), "in", FLOW, NOW) == (same_second,)
    assert nearly(config(later), "in", replace(FLOW, if_id=7), NOW) == ()


def test_the_nearest_are_those_with_the_fewest_differences() -> None:
    one = replace(POLICY, selector=udp_to(5001))
    two = replace(POLICY, selector=udp_to(5001, saddr=B, prefixlen_s=32), index=16)
    found = nearly(config(two, one), "in", FLOW, NOW)
    assert [(policy, fit.differs) for policy, fit in found] == [(one, ("dport",)), (two, ("src", "dport"))]


@pytest.mark.parametrize(
    ("fields", "ports"),
    [
        ({}, (40000, 5000)),
        ({"fragment_offset": 1480, "sport": None, "dport": None}, (0, 0)),
        ({"more_fragments": True}, (0, 0)),
        ({"proto": "icmp", "sport": None, "dport": None, "icmp_type": 8, "icmp_code": 0}, (8, 0)),
        ({"proto": "icmp", "sport": None, "dport": None}, (None, None)),
        ({"proto": "gre", "sport": None, "dport": None}, (None, None)),
        ({"proto": "ipip", "sport": None, "dport": None}, (0, 0)),
    ],
)
def test_ports_are_what_the_kernel_compares(
    make_packet: Callable[..., Packet], fields: dict[str, Any], ports: tuple[int | None, int | None]
) -> None:
    flow = flow_of(make_packet(**fields), 0, 0)
    assert flow is not None
    assert (flow.sport, flow.dport) == ports


@pytest.mark.parametrize("missing", ["saddr", "daddr", "proto", "family"])
def test_no_flow_without_addresses_and_protocol(make_packet: Callable[..., Packet], missing: str) -> None:
    assert flow_of(make_packet(**{missing: None}), 0, 0) is None
