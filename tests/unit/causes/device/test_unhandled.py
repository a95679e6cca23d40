"""A frame that no handler took: none is there, or its port of a bond or team is inactive."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.ports import Port
from dropwatch.model.drop import Drop, Frame, Where
from dropwatch.model.forwarding import BondPort
from tests.unit.told_host import ToldHost

IPV4, ARP, IPV6, LLDP = 0x0800, 0x0806, 0x86DD, 0x88CC
HANDLED = (IPV4, ARP, IPV6)
BACKUP = Port("bond0", "bond", True, "active-backup", "va")
PLACES = ["__netif_receive_skb_core", "__netif_receive_skb_core.constprop.0"]

Unhandled = Callable[..., Drop]


@pytest.fixture
def unhandled(make_drop: Callable[..., Drop], make_event: Callable[..., object]) -> Unhandled:
    def build(ethertype: int, place: str = PLACES[0], reason: str | None = "UNHANDLED_PROTO") -> Drop:
        frame = Frame(place, 1, None, 0)
        drop = make_drop(event=make_event(protocol=ethertype), reason=reason)
        return replace(drop, where=Where(frame, "device", "in"), stack=(frame,))

    return build


def judged(drop: Drop, **told: object) -> tuple[str, str]:
    cause, verdict = diagnose(drop, ToldHost(**told))
    return cause.id if cause is not None else "unknown", verdict.confidence


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("ethertype", "port", "expected"),
    [
        (LLDP, None, ("device.unhandled-protocol", "certain")),
        (LLDP, BACKUP, ("device.unhandled-protocol", "certain")),
        (IPV4, None, ("device.unhandled-protocol", "likely")),
        (IPV6, None, ("device.unhandled-protocol", "likely")),
        (IPV4, BACKUP, ("device.bond-inactive", "certain")),
        (ARP, BACKUP, ("device.bond-inactive", "certain")),
        (IPV6, BACKUP, ("device.bond-inactive", "certain")),
        (IPV6, replace(BACKUP, backup=False), ("device.bond-inactive", "likely")),
        (IPV6, Port("team0", "team"), ("device.team-inactive", "likely")),
    ],
)
def test_handlers_and_ports(
    unhandled: Unhandled, place: str, ethertype: int, port: Port | None, expected: tuple[str, str]
) -> None:
    assert judged(unhandled(ethertype, place), ethertypes=HANDLED, port=port) == expected


@pytest.mark.parametrize("ethertype", [LLDP, IPV6, IPV4])
def test_nothing_could_be_read(unhandled: Unhandled, ethertype: int) -> None:
    assert judged(unhandled(ethertype)) == ("device.unhandled-protocol", "likely")


def test_ipv6_is_switched_off(unhandled: Unhandled) -> None:
    assert judged(unhandled(IPV6), ethertypes=(IPV4, ARP)) == ("device.unhandled-protocol", "certain")


def test_without_a_reason_nothing_is_said(unhandled: Unhandled) -> None:
    assert judged(unhandled(IPV6, reason=None), ethertypes=HANDLED, port=BACKUP) == ("unknown", "unknown")


def test_the_port_is_named(unhandled: Unhandled) -> None:
    _, verdict = diagnose(unhandled(IPV6), ToldHost(ethertypes=HANDLED, port=BACKUP))
    assert verdict.culprit == BondPort("vb of bond0 active-backup", "vb", "bond0", "active-backup", "va")
    assert [fact.text for fact in verdict.evidence[:2]] == [
        "ethertype 0x86dd has a handler, but the frame did not reach it",
        "after the drop: vb is a backup port of bond0 (active-backup, va is active)",
    ]


def test_a_backup_port_is_made_the_active_one(unhandled: Unhandled) -> None:
    """Where the mode has one; of an aggregate that is for the other end to say."""

    def commands(port: Port) -> str:
        _, verdict = diagnose(unhandled(IPV6), ToldHost(ethertypes=HANDLED, port=port))
        return "\n".join(fix.command or "" for fix in verdict.fix)

    assert "ip link set dev bond0 type bond active_slave vb" in commands(BACKUP)
    aggregate = commands(replace(BACKUP, mode="802.3ad", active=None))
    assert "active_slave" not in aggregate
    assert "ip -d link show vb" in aggregate
