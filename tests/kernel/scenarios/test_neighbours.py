"""Packets that wait for a neighbour: nobody answers, or the entry is taken away before."""

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab
from scenarios.whydrop_process import Line, Whydrop

PORT = 5870
TAKEN = {
    "deleted": ("ip neigh del {next_hop} dev {iface}", "the entry was deleted"),
    "flushed": ("ip neigh flush dev {iface}", "the entry was deleted"),
    "down": ("ip link set {iface} down", "the interface went down"),
}


def waits(lab: Lab, wait_ms: int, family: int) -> str:
    """Three datagrams wait for a next hop that is not there; it is asked once in so many milliseconds."""
    lab.a.run(f"sysctl -qw net.ipv{family}.neigh.{lab.a.iface}.retrans_time_ms={wait_ms}")
    next_hop = f"{lab.a.v4}77" if family == 4 else f"{lab.a.v6}77"
    traffic.datagrams(lab.a, next_hop, [PORT] * 3)
    return next_hop


@pytest.mark.parametrize("family", [4, 6])
def test_nobody_answers(lab: Lab, whydrop: Whydrop, family: int) -> None:
    waits(lab, 100, family)
    for line in deaths(whydrop, lab.a, 3, PORT):
        assert judged(line) == ("neighbour.unresolved", "certain"), line


@pytest.mark.parametrize("how", TAKEN)
@pytest.mark.parametrize("family", [4, 6])
def test_the_entry_is_taken_away(lab: Lab, whydrop: Whydrop, family: int, how: str) -> None:
    command, words = TAKEN[how]
    next_hop = waits(lab, 60_000, family)
    lab.a.run(command.format(next_hop=next_hop, iface=lab.a.iface))
    for line in deaths(whydrop, lab.a, 3, PORT):
        assert judged(line) == ("neighbour.deleted", "certain"), line
        said = line["evidence"][0]["text"]
        assert said.startswith(f"{words} while the packet waited for an answer by ip (pid "), line


def judged(line: Line) -> tuple[str, str]:
    return line["cause"]["id"], line["cause"]["confidence"]


@pytest.mark.parametrize("family", [4, 6])
def test_nobody_is_asked(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """Not "does not answer": the interface may send no questions."""
    for name in ("mcast_solicit", "app_solicit"):
        lab.a.set(f"net/ipv{family}/neigh/{lab.a.iface}/{name}", 0)
    traffic.datagrams(lab.a, f"{lab.a.v4}77" if family == 4 else f"{lab.a.v6}77", [PORT] * 3)
    for line in deaths(whydrop, lab.a, 3, PORT):
        if line["reason"] is not None:
            assert judged(line) == ("neighbour.not-asked", "certain"), line
            assert f"net.ipv{family}.neigh.{lab.a.iface}.mcast_solicit=3" in line["fix"][0]["command"], line
