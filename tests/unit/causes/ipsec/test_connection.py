"""Which connection of the IKE daemon a finding names."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes.ipsec.connection import with_connection
from dropwatch.host.ipsec.vici import Connection
from dropwatch.model.culprits import Culprit, Template, XfrmPolicy, XfrmState
from dropwatch.model.drop import Drop, Fix, Verdict
from tests.unit.told_host import ToldHost

ONE = Connection("gw-gw", "net-net", 7, (0x1001, 0x2002), (0x2A,))
OTHER = Connection("roadwarrior", "all", 8, (0x3003,), ())
STATE = XfrmState("an SA", "0x00009999", "10.9.0.1", "10.9.0.2", "esp", "tunnel", 0, 0, 0, 0, None)
POLICY = XfrmPolicy(
    "a policy", "out", "allow", if_id=0, templates=(Template("esp", "tunnel", None, None, None, 7),)
)
DEFAULT = XfrmPolicy("none", "out", "block", default=True)


def verdict_of(
    drop: Drop,
    culprit: Culprit | None,
    connections: tuple[Connection, ...],
    tools: tuple[str, ...] = ("swanctl",),
) -> Any:
    host = ToldHost(connections=connections, ike_tools=tools)
    return with_connection(Verdict("certain", culprit), drop, host)


@pytest.mark.parametrize(
    "culprit",
    [
        replace(STATE, spi="0x00001001"),
        replace(STATE, spi="0x00002002"),
        replace(STATE, reqid=7),
        replace(STATE, if_id=0x2A),
        POLICY,
    ],
)
def test_the_connection_is_found(make_drop: Callable[..., Drop], culprit: Culprit | None) -> None:
    verdict = verdict_of(make_drop(), culprit, (ONE, OTHER))
    assert (verdict.culprit.connection, verdict.culprit.child) == ("gw-gw", "net-net")
    assert verdict.evidence[-1].text == "strongSwan has this as child net-net of connection gw-gw"


def test_its_child_can_be_set_up_anew(make_drop: Callable[..., Drop]) -> None:
    host = ToldHost(connections=(ONE._replace(child="net; reboot"),), ike_tools=("swanctl",))
    look = Fix("look", "ip xfrm state")
    found = with_connection(Verdict("certain", replace(STATE, reqid=7), fix=(look,)), make_drop(), host)
    assert found.fix == (
        look,
        Fix("have strongSwan make new SAs for it", "swanctl --initiate --child 'net; reboot'"),
    )
    blocking = replace(POLICY, action="block")
    assert with_connection(Verdict("certain", blocking, fix=(look,)), make_drop(), host).fix == (look,)
    assert with_connection(Verdict("certain", POLICY), make_drop(), host).fix == ()


@pytest.mark.parametrize("culprit", [STATE, DEFAULT, None])
def test_nothing_else_gets_a_name(make_drop: Callable[..., Drop], culprit: Culprit | None) -> None:
    verdict = verdict_of(make_drop(), culprit, (ONE, OTHER))
    assert verdict.evidence == ()


def test_no_name_where_two_claim_it(make_drop: Callable[..., Drop]) -> None:
    verdict = verdict_of(make_drop(), replace(STATE, reqid=7), (ONE, OTHER._replace(reqid=7)))
    assert verdict.culprit == replace(STATE, reqid=7)


def test_nobody_is_asked_where_no_daemon_is_installed(make_drop: Callable[..., Drop]) -> None:
    assert verdict_of(make_drop(), replace(STATE, reqid=7), (ONE,), tools=()).evidence == ()
