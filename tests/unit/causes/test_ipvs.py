"""A packet for a virtual service of IPVS that no server could get."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.host.ipvs import Server, Service
from dropwatch.model.drop import Drop
from dropwatch.model.netfilter import HookNote
from dropwatch.model.tunnel import IpvsService
from tests.unit.causes.tunnel.judging import judged, verdict_of

Refused = Callable[..., Drop]
ONE, OTHER = ip_address("10.0.1.1"), ip_address("10.0.1.2")
ZERO, FULL, FREE = Server(ONE, 80, 0), Server(OTHER, 80, 1, 10, 10), Server(OTHER, 80, 1, 10, 9)


@pytest.fixture
def drop(refused: Refused) -> Drop:
    return refused(hook=HookNote("ip_vs_remote_request4"))


@pytest.fixture
def service(drop: Drop) -> Service:
    packet = drop.packet
    assert packet.proto is not None
    assert packet.dport is not None
    return Service(packet.proto, packet.daddr, packet.dport, 0, "rr")


@pytest.mark.parametrize(
    ("servers", "cause", "words"),
    [
        ((), "ipvs.no-server", "it has no server"),
        ((ZERO,), "ipvs.no-server", "each server has weight 0: 10.0.1.1:80"),
        ((ZERO, FULL), "ipvs.overloaded", "connections: 10.0.1.2:80 has 10 of 10"),
        ((ZERO,) * 5, "ipvs.no-server", "and 2 more"),
    ],
)
def test_no_server_could_get_it(
    drop: Drop, service: Service, servers: tuple[Server, ...], cause: str, words: str
) -> None:
    found, verdict = verdict_of(drop, ipvs_services=(replace(service, servers=servers),))
    assert (found, verdict.confidence) == (cause, "likely")
    assert words in verdict.evidence[0].text
    assert isinstance(verdict.culprit, IpvsService)
    assert (verdict.culprit.port, verdict.culprit.servers) == (service.port, len(servers))


@pytest.mark.parametrize("servers", [(FREE,), (ZERO, FULL, FREE)])
def test_where_a_server_could_get_it_something_else_is_it(
    drop: Drop, service: Service, servers: tuple[Server, ...]
) -> None:
    told = replace(service, servers=servers)
    assert judged(drop, ipvs_services=(told,)) == ("netfilter.hook-other", "certain")


def test_another_service_is_none_of_its(drop: Drop, service: Service) -> None:
    other = replace(service, port=service.port + 1)
    assert judged(drop, ipvs_services=(other,)) == ("netfilter.hook-other", "certain")


def test_one_for_all_ports_and_one_for_a_mark(drop: Drop, service: Service) -> None:
    for_all = replace(service, port=0)
    _, verdict = verdict_of(drop, ipvs_services=(for_all,))
    assert isinstance(verdict.culprit, IpvsService)
    assert verdict.culprit.port == 0
    marked = replace(drop, packet=replace(drop.packet, mark=7))
    _, verdict = verdict_of(marked, ipvs_services=(for_all, Service(None, None, 0, 7, "rr")))
    assert getattr(verdict.culprit, "text", None) == "fwmark 7 rr"
    assert "ipvsadm -Ln -f 7" in (verdict.fix[0].command or "")


def test_the_command_names_the_service(drop: Drop, service: Service) -> None:
    _, verdict = verdict_of(drop, ipvs_services=(service,))
    option = {"udp": "-u", "tcp": "-t"}[service.protocol or ""]
    command = verdict.fix[0].command
    assert command is not None
    assert command.endswith(f"ipvsadm -Ln {option} {service.address}:{service.port}")


def test_who_is_not_ipvs(refused: Refused, service: Service) -> None:
    assert judged(refused(hook=HookNote("selinux_ip_forward")), ipvs_services=(service,))[0] == (
        "netfilter.hook-other"
    )


def test_only_the_service_that_it_is_for_is_asked_for_its_servers(drop: Drop, service: Service) -> None:
    apart = replace(service, servers=None, family=4)
    others = (replace(apart, port=1), replace(apart, protocol="sctp"))
    asked = []

    def servers(*arguments: object) -> tuple[Server, ...]:
        asked.append(arguments[1:-1])
        return (ZERO,)

    found, verdict = verdict_of(drop, ipvs_services=(*others, apart), ipvs_servers=servers)
    assert (found, getattr(verdict.culprit, "servers", None)) == ("ipvs.no-server", 1)
    assert asked == [(4, 0, apart.protocol, apart.address, apart.port)]
    unreadable = {"ipvs_services": (apart,), "ipvs_servers": lambda *_: None}
    assert judged(drop, **unreadable) == ("netfilter.hook-other", "certain")


def test_a_mark_is_of_one_family(drop: Drop) -> None:
    drop = replace(drop, packet=replace(drop.packet, mark=7))
    of_six, of_four = (
        Service(None, None, 0, 7, name, (), family) for name, family in (("wlc", 6), ("rr", 4))
    )
    _, verdict = verdict_of(drop, ipvs_services=(of_six, of_four))
    assert getattr(verdict.culprit, "text", None) == "fwmark 7 rr"
