"""Not for this host, the kernel says: its address may be here all the same."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.addresses import OwnAddress
from dropwatch.model.drop import Drop, Frame, Where
from tests.unit.told_host import ToldHost

WANTED = ip_address("10.66.0.1")
HERE = OwnAddress(WANTED, "lo", usable=True)


@pytest.fixture
def refused(make_drop: Callable[..., Drop], make_packet: Callable[..., object]) -> Drop:
    place = Frame("ip_error", 1, None, 0)
    drop = make_drop(make_packet(daddr=WANTED))
    return replace(drop, where=Where(place, "routing", "in"), stack=(place,), reason="IP_INADDRERRORS")


@pytest.mark.parametrize(
    ("addresses", "changed", "expected"),
    [
        (None, 0, ("routing.forwarding-off", "certain")),
        ((), 0, ("routing.forwarding-off", "certain")),
        ((replace(HERE, address=ip_address("10.66.0.2")),), 0, ("routing.forwarding-off", "certain")),
        ((HERE,), 0, ("routing.address-elsewhere", "likely")),
        ((replace(HERE, usable=False),), 0, ("routing.address-gone", "certain")),
        ((HERE,), 1 << 62, ("routing.address-gone", "likely")),
    ],
)
def test_what_the_addresses_say(
    refused: Drop, addresses: tuple[OwnAddress, ...] | None, changed: int, expected: tuple[str, str]
) -> None:
    cause, verdict = diagnose(refused, ToldHost(addresses=addresses, last_change=changed))
    assert cause is not None
    assert (cause.id, verdict.confidence) == expected
