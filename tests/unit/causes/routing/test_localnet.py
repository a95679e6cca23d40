"""DNAT to a loopback address, on an interface that takes none."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.ipv4 import Ipv4Interface, Setting
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Event, Frame, Interface, Packet, Where
from dropwatch.model.past import Connection, Ends, PastNote
from tests.unit.told_host import ToldHost

OFF = Setting(0, 0)
CLIENT, SERVICE, LOOPBACK = (ip_address(text) for text in ("10.9.0.1", "10.9.0.2", "127.0.0.1"))


@pytest.fixture
def died(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> Callable[..., Drop]:
    def build(reason: str | None, *, translated: bool = True) -> Drop:
        connection = Connection(
            "udp",
            Ends(CLIENT, SERVICE, 40000, 5901),
            Ends(LOOPBACK, CLIENT, 5900, 40000),
            is_reply=False,
            state="new",
            destination_nat=translated,
        )
        frame = Frame("ip_rcv_finish_core", 1, None, 0)
        drop = make_drop(
            make_packet(daddr=LOOPBACK), make_event(past=PastNote(connection=connection)), reason=reason
        )
        where = Where(frame, "routing", "in")
        return replace(drop, where=where, stack=(frame,), iface=Interface(2, "vb"))

    return build


def judged(drop: Drop, localnet: Setting = OFF) -> Any:
    settings = Ipv4Interface(Setting(1, 1), OFF, OFF, OFF, localnet)
    cause, verdict = diagnose(drop, ToldHost(ipv4=settings))
    return (cause.id if cause is not None else None), verdict


@pytest.mark.parametrize(("reason", "confidence"), [("IP_LOCALNET", "certain"), ("NOT_SPECIFIED", "likely")])
def test_the_setting_and_what_it_was_for(died: Callable[..., Drop], reason: str, confidence: str) -> None:
    cause, verdict = judged(died(reason))
    assert (cause, verdict.confidence) == ("routing.route-localnet", confidence)
    name = "net.ipv4.conf.vb.route_localnet"
    assert verdict.culprit == Sysctl(f"{name} = 0", name, 0)
    assert verdict.evidence[0].text == "it was for 10.9.0.2 until DNAT"


def test_without_dnat_it_is_a_wrong_address(died: Callable[..., Drop]) -> None:
    assert judged(died("IP_LOCALNET", translated=False))[0] == "routing.martian-destination"


def test_with_the_setting_on_something_else_refused_it(died: Callable[..., Drop]) -> None:
    assert judged(died("NOT_SPECIFIED"), Setting(1, 0))[0] == "routing.martian-destination"
