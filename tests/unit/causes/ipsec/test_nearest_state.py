"""Which SA is shown when none fits, and how it differs."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.ipsec.nearest_state import Wanted, candidates, nearest
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.model.ipsec import Lifetime, XfrmState

A, B, C = (ip_address(f"10.9.0.{n}") for n in (1, 2, 3))
WANTED = Wanted(A, B, "esp", 0x1001, 0)
RIGHT = XfrmState(4, A, B, "esp", 0x1001, "transport")
OTHER_MARK = replace(RIGHT, mark=5, mark_mask=0xFF)
OTHER_SPI = replace(RIGHT, spi=0x2002)
OTHER_DST = replace(RIGHT, daddr=C)
OTHER_PROTO_AND_SPI = replace(RIGHT, proto="ah", spi=0x2002)
OTHER_SENDER = replace(RIGHT, saddr=C, spi=0x2002)
WAY_BACK = replace(RIGHT, saddr=B, daddr=A, spi=0x3003)
STRANGER = replace(RIGHT, saddr=C, daddr=ip_address("10.9.0.4"), spi=0x4004)


def near(*states: XfrmState, wanted: Wanted = WANTED, count: int = 3) -> Any:
    return nearest(wanted, candidates(wanted, XfrmConfig(states, (), 0)), count)


@pytest.mark.parametrize(
    ("state", "differences"),
    [
        (RIGHT, {}),
        (OTHER_MARK, {"mark": "requires mark 0x5/0xff, the packet has 0x0"}),
        (OTHER_SPI, {"spi": "SPI 0x00002002, not 0x00001001"}),
        (OTHER_DST, {"dst": "dst 10.9.0.3, not 10.9.0.2"}),
        (OTHER_PROTO_AND_SPI, {"spi": "SPI 0x00002002, not 0x00001001", "proto": "proto ah, not esp"}),
        (replace(RIGHT, saddr=C), {"src": "src 10.9.0.3, not 10.9.0.1"}),
        (replace(RIGHT, direction="out"), {"dir": "outbound only (dir out)"}),
        (replace(RIGHT, direction="in"), {}),
        (replace(RIGHT, mark=0, mark_mask=0xFF), {}),
    ],
)
def test_how_an_sa_differs(state: XfrmState, differences: dict[str, str]) -> None:
    (found,) = near(state)
    assert found.state == state
    assert found.differences == differences


def test_the_order_of_nearness() -> None:
    order = [
        RIGHT,
        OTHER_MARK,
        replace(RIGHT, saddr=C, mark=5, mark_mask=0xFF),
        OTHER_DST,
        OTHER_SPI,
        OTHER_PROTO_AND_SPI,
        OTHER_SENDER,
        WAY_BACK,
    ]
    found = near(*reversed(order), count=len(order))
    assert [one.state for one in found] == order


def test_of_several_between_the_same_hosts_the_newest_is_nearest() -> None:
    old, new = (replace(OTHER_SPI, spi=n, lifetime=Lifetime(add_time=n)) for n in (100, 200))
    assert [one.state for one in near(old, new)] == [new, old]


def test_an_sa_for_sending_only_comes_last() -> None:
    assert [one.state for one in near(replace(RIGHT, direction="out"), OTHER_SENDER)] == [
        OTHER_SENDER,
        replace(RIGHT, direction="out"),
    ]


def test_no_more_than_asked_for_and_each_once() -> None:
    assert len(near(*[replace(OTHER_SPI, spi=n) for n in range(50)])) == 3
    assert len(near(RIGHT, count=5)) == 1


def test_any_sa_is_nearer_than_none() -> None:
    assert [one.state for one in near(STRANGER)] == [STRANGER]
    assert near() == ()


def test_the_one_sa_that_helps_is_found_among_ten_thousand() -> None:
    base = int(ip_address("10.128.0.0"))
    many = [replace(RIGHT, saddr=ip_address(base + n), spi=0x10000 + n) for n in range(10_000)]
    assert near(*many, OTHER_SPI)[0].state == OTHER_SPI
    assert near(*many, OTHER_DST)[0].state == OTHER_DST
