"""A device without carrier: what is to be brought up is the device itself, or another one."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.link import Link
from dropwatch.host.lower import Lower
from dropwatch.model.drop import Drop, Frame, Interface, Where
from dropwatch.model.forwarding import Device
from tests.unit.told_host import ToldHost


@pytest.fixture
def off(make_drop: Callable[..., Drop], make_event: Callable[..., object]) -> Drop:
    frame = Frame("__dev_queue_xmit", 1, None, 0)
    drop = make_drop(event=make_event(notes=frozenset({"no-carrier"})), reason="QDISC_DROP")
    return replace(drop, where=Where(frame, "device", "out"), stack=(frame,), iface=Interface(2, "x0"))


def commands(drop: Drop, lower: Lower | None) -> list[str | None]:
    cause, verdict = diagnose(drop, ToldHost(lower=lower))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("queueing.noqueue-down", "certain")
    return [fix.command for fix in verdict.fix]


def test_the_device_itself_is_down(off: Drop) -> None:
    assert commands(off, None)[0] == "ip netns exec b ip link set x0 up"


def test_its_other_end_is_down(off: Drop) -> None:
    found = commands(off, Lower("x 1"))
    assert found[0] == "ip netns exec b ip link set dev 'x 1' up"
    assert not any("set x0 up" in str(command) for command in found), "it is up"
    assert any("ignore_routes_with_linkdown" in str(command) for command in found)


def test_its_other_end_is_in_another_namespace(off: Drop) -> None:
    first = commands(off, Lower(None))[0]
    assert first == "ip netns exec b ip -d link show x0; ip -all netns exec ip link show"


@pytest.mark.parametrize(
    ("notes", "reason", "cause"),
    [
        ({"no-queue"}, "QDISC_DROP", "queueing.not-active"),
        ({"no-queue"}, None, "queueing.not-active"),
        ({"no-queue", "no-carrier"}, "QDISC_DROP", "queueing.noqueue-down"),
        ({"no-queue"}, "TC_EGRESS", "queueing.tc-egress"),
    ],
)
def test_an_interface_without_an_active_queue(
    off: Drop, notes: set[str], reason: str | None, cause: str
) -> None:
    """Where the kernel says something else, that it is."""
    found, verdict = diagnose(
        replace(off, reason=reason, event=replace(off.event, notes=frozenset(notes))), ToldHost()
    )
    assert found is not None
    assert (found.id, verdict.confidence) == (cause, "certain")


CHANGED = 1 << 62  # after every drop


@pytest.mark.parametrize(
    ("link", "cause"),
    [
        (Link("t0", 1500, "DOWN", True, False, "tun"), "device.tun-no-reader"),
        (Link("t0", 1500, "DOWN", False, False, "tun"), "queueing.noqueue-down"),
        (Link("t0", 1500, "UP", True, True, "tun"), "queueing.noqueue-down"),
        (Link("t0", 1500, "DOWN", True, False, "veth"), "queueing.noqueue-down"),
    ],
)
def test_a_device_that_no_program_has_open(off: Drop, link: Link, cause: str) -> None:
    found, verdict = diagnose(off, ToldHost(link=link))
    assert found is not None
    assert (found.id, verdict.confidence == "certain") == (cause, cause == "queueing.noqueue-down")
    if cause == "device.tun-no-reader":
        assert isinstance(verdict.culprit, Device)
        assert verdict.culprit.interface == "t0"
        assert "TUNSETCARRIER" in verdict.evidence[1].text
        _, later = diagnose(off, ToldHost(link=link, last_change=CHANGED))
        assert "the interfaces of this namespace changed" in str(later.evidence)
