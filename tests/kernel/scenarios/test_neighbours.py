"""Packets that wait for a neighbour: nobody answers, or the entry is taken away before."""

import socket
from contextlib import suppress
from pathlib import Path

import pytest
from scenarios import losing, traffic
from scenarios.blame import deaths
from scenarios.firewalls import nft
from scenarios.namespaces import Lab
from scenarios.test_drops import kernel_gives_reasons
from scenarios.whydrop_process import Line, Whydrop, told

PORT = 5870
FILTERED = 5000  # that of the fixture `filtered`
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
    next_hop = waits(lab, 100, family)
    for line in deaths(whydrop, lab.a, 3, PORT):
        assert judged(line) == ("neighbour.unresolved", "certain"), line
        thing = line["object"]
        assert thing is not None, told(line)
        assert (thing["kind"], thing["address"], thing["interface"]) == ("neighbour", next_hop, "va"), told(
            line
        )
        assert thing["state"] in ("FAILED", "INCOMPLETE"), told(line)


@pytest.mark.parametrize("how", TAKEN)
@pytest.mark.parametrize("family", [4, 6])
def test_the_entry_is_taken_away(lab: Lab, whydrop: Whydrop, family: int, how: str) -> None:
    command, words = TAKEN[how]
    next_hop = waits(lab, 60_000, family)
    lab.a.run(command.format(next_hop=next_hop, iface=lab.a.iface))
    for line in deaths(whydrop, lab.a, 3, PORT):
        assert judged(line) == ("neighbour.deleted", "certain"), line
        said = line["evidence"][0]["text"]
        assert said.startswith(f"{words} while the packet waited for a reply"), line
        assert ", by ip (pid " in said or not kernel_gives_reasons(), line


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


def test_a_gateway_that_does_not_answer(lab: Lab, whydrop: Whydrop) -> None:
    """Not the destination, which is far away."""
    lab.a.set(f"net/ipv4/neigh/{lab.a.iface}/retrans_time_ms", 100)
    gateway = f"{lab.a.v4}77"
    lab.a.configure(f"route add 10.77.0.0/24 via {gateway}")
    traffic.datagrams(lab.a, "10.77.0.9", [PORT] * 3)
    for line in deaths(whydrop, lab.a, 3, PORT):
        assert judged(line) == ("neighbour.unresolved", "certain"), line
        assert line["object"]["address"] == gateway, told(line)
        said = " ".join(one["text"] for one in line["evidence"])
        assert f"{gateway}, the gateway to 10.77.0.9, is " in said, told(line)


def test_too_many_wait_for_an_answer(lab: Lab, whydrop: Whydrop) -> None:
    lab.a.set(f"net/ipv4/neigh/{lab.a.iface}/unres_qlen_bytes", 4096)
    lab.a.set(f"net/ipv4/neigh/{lab.a.iface}/retrans_time_ms", 60_000)
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(13):
            sender.sendto(bytes(1400), (f"{lab.a.v4}77", PORT))
    found = deaths(whydrop, lab.a, 12, PORT)
    for line in found:
        sure = "certain" if line["reason"] is not None else "likely"
        assert judged(line) == ("neighbour.queue-full", sure), told(line)
        assert line["object"]["state"] == "INCOMPLETE", told(line)
        assert any("4,096 bytes of packets that wait" in one["text"] for one in line["evidence"]), told(line)


def test_the_table_has_no_room(lab: Lab, whydrop: Whydrop) -> None:
    """Whose entries fill it is what `ip neigh` counts."""
    limit = Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3")
    before = limit.read_text()
    try:
        losing.full_of_neighbours(lab)
        refused = f"{lab.b.v4.rpartition('.')[0]}.199"
        for _ in range(3):
            with suppress(OSError):  # EINVAL or ENOBUFS, or nothing: as the kernel is
                traffic.datagrams(lab.a, refused, [PORT])
        for line in deaths(whydrop, lab.a, 3, PORT):
            assert judged(line) == ("neighbour.table-full", "likely"), told(line)
            thing = line["object"]
            assert (thing["name"], str(thing["value"])) == (
                "net.ipv4.neigh.default.gc_thresh3",
                limit.read_text().strip(),
            ), told(line)
            assert thing["count"] >= thing["value"], told(line)
            said = " ".join(one["text"] for one in line["evidence"])
            own = len(lab.a.run(f"ip -4 neigh show nud all dev {lab.a.iface}").stdout.splitlines())
            assert f"{own} on {lab.a.iface}" in said, told(
                line
            )  # and of which netns, where others have entries too
    finally:
        limit.write_text(before)


CHAIN = "table {table} t {{ chain c {{ type filter hook {hook} priority 0; {match} counter drop; }} }}"
KEPT = {
    "answer of ARP": (4, {"table": "arp", "hook": "input", "match": "arp operation reply"}),
    "question of ARP": (4, {"table": "arp", "hook": "output", "match": "arp operation request"}),
    "answer": (6, {"table": "inet", "hook": "input", "match": "icmpv6 type nd-neighbor-advert"}),
    "question": (6, {"table": "ip6", "hook": "output", "match": "icmpv6 type nd-neighbor-solicit"}),
}


@pytest.mark.parametrize("what", KEPT)
def test_a_rule_of_this_host_keeps_the_question_or_the_answer(lab: Lab, whydrop: Whydrop, what: str) -> None:
    """The next hop would answer: what threw it away is told with the packet that waited."""
    family, rules = KEPT[what]
    lab.a.run(f"sysctl -qw net.ipv{family}.neigh.{lab.a.iface}.retrans_time_ms=100")
    lab.a.run(f"ip -{family} neigh flush dev {lab.a.iface}")
    nft(lab.a, CHAIN.format(**rules))
    traffic.datagrams(lab.a, lab.b.v4 if family == 4 else lab.b.v6, [PORT] * 3)
    for line in deaths(whydrop, lab.a, 3, PORT):
        lost = "neighbour.answer-lost" if what.startswith("answer") else "neighbour.unresolved"
        assert judged(line) == (lost, "likely"), line
        (led,) = line["led_by"]
        assert (led["object"]["kind"], led["confidence"]) == ("nft-rule", "certain"), line


@pytest.mark.parametrize("family", [4, 6])
def test_a_question_that_dies_is_found_by_what_waits_for_the_answer(
    lab: Lab, filtered: Whydrop, family: int
) -> None:
    """Three packets to the port of the filter and one to another wait; nobody is asked, and they die as well."""
    (rules,) = (rules for what, (of, rules) in KEPT.items() if of == family and what.startswith("question"))
    nft(lab.a, CHAIN.format(**rules))
    lab.a.run(f"sysctl -qw net.ipv{family}.neigh.{lab.a.iface}.retrans_time_ms=100")
    next_hop = f"{lab.a.v4}77" if family == 4 else f"{lab.a.v6}77"
    traffic.datagrams(lab.a, f"{next_hop[:-1]}8", [PORT])
    traffic.datagrams(lab.a, next_hop, [FILTERED] * 3)
    deaths(filtered, lab.a, 3, FILTERED)
    for line in deaths(filtered, lab.a, 3, wanted=lambda line: line["match"] == "waiting"):
        assert line["packet"]["proto"] == ("arp" if family == 4 else "icmp6"), line
        assert f"{next_hop} port {FILTERED} waits" in line["match_why"], line
        assert (line["cause"]["id"], line["object"]["table"]) == ("netfilter.nft-rule", "t"), line
