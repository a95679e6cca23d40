"""Whom a message of ARP is about."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from dropwatch.model.drop import Event
from dropwatch.packet.arp import arp_addresses

QUESTION = bytes.fromhex("0001080006040001 020000000001 0a000001 000000000000 0a000009")


def test_a_question(make_event: Callable[..., Event]) -> None:
    event = make_event(protocol=0x0806, packet=QUESTION + bytes(18))
    assert arp_addresses(event) == (ip_address("10.0.0.1"), ip_address("10.0.0.9"))


@pytest.mark.parametrize("length", range(len(QUESTION)))
def test_one_that_is_cut_short(make_event: Callable[..., Event], length: int) -> None:
    assert arp_addresses(make_event(protocol=0x0806, packet=QUESTION[:length])) == ()


def test_of_something_else(make_event: Callable[..., Event]) -> None:
    assert arp_addresses(make_event(protocol=0x0800, packet=QUESTION)) == ()
    other = QUESTION[:2] + b"\x86\xdd" + QUESTION[4:]
    assert arp_addresses(make_event(protocol=0x0806, packet=other)) == ()
    assert arp_addresses(make_event(protocol=0x0806, packet=QUESTION[:4] + b"\xff\xff" + QUESTION[6:])) == ()
