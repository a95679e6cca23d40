"""Names and numbers of protocols go together."""

import socket

import pytest

from dropwatch.names import protocols


def test_every_name_gives_its_number_back() -> None:
    for number, name in protocols.NAMES.items():
        assert protocols.number(name) == number
        assert protocols.number(name.upper()) == number


@pytest.mark.parametrize("number", [0, 3, 50, 199, 255])
def test_a_number_without_a_name_is_its_own_name(number: int) -> None:
    assert protocols.number(protocols.name(number)) == number


@pytest.mark.parametrize(
    "constant", ["ICMP", "IGMP", "IPIP", "TCP", "UDP", "GRE", "ESP", "AH", "PIM", "SCTP"]
)
def test_the_numbers_are_those_of_the_c_library(constant: str) -> None:
    assert protocols.number(constant) == getattr(socket, f"IPPROTO_{constant}")


def test_packets_never_make_it_read_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(name: str) -> None:
        raise AssertionError("/etc/protocols was asked")

    monkeypatch.setattr(socket, "getprotobyname", forbidden)
    assert protocols.number("arp") is None
