"""Services of IPVS whose servers get no new connections."""

import pytest
from scenarios import ipvs, traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab
from scenarios.outgoing import probed
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, told

DRAINED, FULL, BEHIND = 5823, 5824, 5825


@pytest.mark.parametrize("family", [4, 6])
def test_the_service_and_its_servers_are_told(lab: Lab, whydrop: Whydrop, family: int) -> None:
    here = lab.b.v4 if family == 4 else lab.b.v6
    ipvs.load_modules()
    eventually(lambda: not ipvs.REQUEST_HOOKS.isdisjoint(probed()), "whydrop has its probe of IPVS")
    lab.b.set("net/ipv4/ip_forward", 1)
    lab.b.set("net/ipv6/conf/all/forwarding", 1)
    behind = f"{here[:-1]}77", BEHIND  # where nobody is
    with (
        ipvs.service_by_nat(lab.b, here, DRAINED, behind, weight=0),
        ipvs.service_by_nat(lab.b, here, FULL, behind, most=1),
    ):
        traffic.datagrams(lab.a, here, [DRAINED] * 3)
        traffic.datagrams(lab.a, here, [FULL])
        eventually(lambda: ipvs.connections(lab.b) == 1, "its server has the one connection that it may have")
        traffic.datagrams(lab.a, here, [FULL] * 2)
        drained, full = deaths(whydrop, lab.b, 3, DRAINED), deaths(whydrop, lab.b, 2, FULL)
    for line in drained:
        blamed(line, "ipvs.no-server", here, DRAINED, weighted=0)
    for line in full:
        blamed(line, "ipvs.overloaded", here, FULL, weighted=1)


def blamed(line: Line, cause: str, address: str, port: int, weighted: int) -> None:
    assert line["cause"]["id"] == cause, told(line)
    names = ("kind", "protocol", "address", "port", "servers", "weighted")
    told_of = tuple(line["object"][name] for name in names)
    assert told_of == ("ipvs-service", "udp", address, port, 1, weighted), told(line)
