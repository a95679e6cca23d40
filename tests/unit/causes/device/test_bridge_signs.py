"""The VLAN filter of a bridge: which bridge, where its port tells."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.ports import Port
from dropwatch.model.drop import Drop, Fix, Frame, Where
from tests.unit.told_host import ToldHost


@pytest.fixture
def refused(make_drop: Callable[..., Drop]) -> Drop:
    frame = Frame("__allowed_ingress", 1, None, 0)
    return replace(make_drop(), where=Where(frame, "bridge", "in"), stack=(frame,), reason="NOT_SPECIFIED")


def fixes(drop: Drop, port: Port | None) -> tuple[Fix, ...]:
    cause, verdict = diagnose(drop, ToldHost(port=port))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("device.bridge-vlan-filter", "certain")
    return verdict.fix


def test_the_bridge_of_the_port_is_named(refused: Drop) -> None:
    *_, last = fixes(refused, Port("br 0", "bridge"))
    assert last.command == "ip netns exec b ip link set dev 'br 0' type bridge vlan_filtering 0"
    assert "this weakens security: what is kept apart by VLANs" in last.text


@pytest.mark.parametrize("port", [None, Port("team0", "team")])
def test_a_bridge_that_is_not_known_is_asked_for(refused: Drop, port: Port | None) -> None:
    *_, last = fixes(refused, port)
    assert last.command is None
    assert "BRIDGE is the bridge that the port belongs to" in last.text
