"""What is changed between a drop and the reading, while whydrop is stopped: it must not blame what is there by then."""

import socket
import subprocess
from pathlib import Path

import pytest
from scenarios import roads, traffic
from scenarios.blame import deaths
from scenarios.firewalls import nft
from scenarios.namespaces import Lab, Namespace
from scenarios.outgoing import Losses, probes_follow, shown
from scenarios.outgoing import told as sent
from scenarios.tallies import died_in, said, told
from scenarios.tunnels import Way, gcm, way
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, stopped

PORT = 5920
NARROW, WIDE = 5, 7  # priorities of two policies
LIMIT = Path("/proc/sys/net/netfilter/nf_conntrack_max")
TAKEN = [False, True]


@pytest.fixture(scope="module", autouse=True)
def probes(whydrop: Whydrop) -> None:
    probes_follow("esp4")


def confidence(found: list[Line]) -> set[str]:
    return {line["cause"]["confidence"] for line in found}


def block(end: Namespace, network: str, priority: int) -> None:
    selector = f"dst {network} proto udp dport {PORT} dir out"
    end.configure(f"xfrm policy add {selector} action block priority {priority}")


@pytest.mark.parametrize("changed", TAKEN)
def test_a_policy_that_is_gone(lab: Lab, whydrop: Whydrop, changed: bool) -> None:
    """The /32 refuses, the /24 is all that can be read afterwards: a probe saw which it was."""
    narrow, wide = f"{lab.b.v4}/32", f"{lab.b.v4.rpartition('.')[0]}.0/24"
    block(lab.a, narrow, NARROW)
    block(lab.a, wide, WIDE)
    losses = Losses(lab.a, whydrop)
    with stopped(whydrop):
        assert sent(lab.a, (lab.a.v4, lab.b.v4), PORT, 3) == ["EPERM"] * 3
        if changed:
            lab.a.configure(f"xfrm policy delete dst {narrow} proto udp dport {PORT} dir out")
    found = losses.deaths(3, PORT)
    told(found, "ipsec.policy-block", f"priority {NARROW}")
    for line in found:
        assert ("after the drop: it is gone" in said(line)) == changed, shown([line])
        assert "replaced" not in said(line), shown([line])
        assert line["object"]["priority"] == NARROW, shown([line])


def test_all_policies_are_gone(lab: Lab, whydrop: Whydrop) -> None:
    """Nobody set a default policy: it is not to be blamed, but the policy that was there."""
    block(lab.a, lab.b.v4, NARROW)
    losses = Losses(lab.a, whydrop)
    with stopped(whydrop):
        assert sent(lab.a, (lab.a.v4, lab.b.v4), PORT, 3) == ["EPERM"] * 3
        lab.a.run("ip xfrm policy flush")
    found = losses.deaths(3, PORT)
    told(found, "ipsec.policy-block", "after the drop: it is gone")
    assert all(line["object"]["priority"] == NARROW for line in found), shown(found)


@pytest.mark.parametrize("family", [4, 6])
def test_a_policy_that_was_updated(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """It keeps its index. What comes in clear text was refused for the template of the drop."""
    one = way(lab, family)
    lab.b.configure(one.policy("in"))
    with stopped(whydrop):
        one.send(3)
        lab.b.configure(one.but(reqid=one.reqid + 1).policy("in").replace("policy add", "policy update"))
    found = deaths(whydrop, lab.b, 3, one.port)
    told(found, "ipsec.template-mismatch", f"reqid {one.reqid}", "after the drop: it has been replaced")
    assert {line["object"]["templates"][0]["reqid"] for line in found} == {one.reqid}, shown(found)


def test_a_policy_with_a_mark(lab: Lab, whydrop: Whydrop) -> None:
    """What the probe reads is what netlink tells: the policy is not said to have been replaced."""
    one = way(lab, 4)
    lab.b.configure(one.policy("in", "mark 0x0 mask 0x700 priority 5"))
    one.send(3)
    found = deaths(whydrop, lab.b, 3, one.port)
    told(found, "ipsec.template-mismatch", "policy at the drop")
    assert not any("after the drop" in said(line) for line in found), shown(found)


def test_a_change_elsewhere_or_earlier_is_none(lab: Lab, whydrop: Whydrop) -> None:
    block(lab.a, lab.b.v4, WIDE)
    lab.a.configure(f"xfrm policy delete dst {lab.b.v4} proto udp dport {PORT} dir out")
    block(lab.a, lab.b.v4, NARROW)
    losses = Losses(lab.a, whydrop)
    with stopped(whydrop):
        assert sent(lab.a, (lab.a.v4, lab.b.v4), PORT, 3) == ["EPERM"] * 3
        block(lab.b, lab.a.v4, NARROW)
        lab.a.run("ip route add 10.78.0.0/24 via " + lab.b.v4)
    told(losses.deaths(3, PORT), "ipsec.policy-block", f"priority {NARROW}")


@pytest.mark.parametrize("changed", TAKEN)
def test_the_nearest_state(lab: Lab, whydrop: Whydrop, changed: bool) -> None:
    """b has no SA for what comes; which SA is the nearest was another one at the drop: its end was seen."""
    wanted: Way = way(lab, 4, "transport")
    wanted.lead_in(gcm())
    lab.b.configure(wanted.but(spi=wanted.spi + 0x100).state(gcm()))
    with stopped(whydrop):
        wanted.send(3)
        if changed:
            lab.b.configure(f"xfrm state delete {wanted.but(spi=wanted.spi + 0x100).identity}")
            lab.b.configure(wanted.but(spi=wanted.spi + 0x200).state(gcm()))
    found = deaths(whydrop, lab.b, 3, wanted=lambda line: bool(line["packet"]["spi"]))
    told(found, "ipsec.no-state", confidence=("certain", "likely"))
    for line in found:
        assert line["object"]["spi"] == f"0x{wanted.spi + 0x100:08x}", shown([line])
        assert ("deleted since" in said(line)) == changed, shown([line])


def small_link_behind(lab: Lab) -> None:
    """b forwards to 10.77.0.0/24 through a link that takes 1000 bytes, and has another one beside it."""
    lab.b.run("sysctl -qw net.ipv4.ip_forward=1")
    for name, subnet, mtu in (("d0", 77, 1000), ("d1", 78, 900)):
        lab.b.run(f"ip link add {name} mtu {mtu} type dummy")
        lab.b.run(f"ip address add 10.{subnet}.0.1/24 dev {name}")
        lab.b.run(f"ip link set {name} up")
    lab.a.run(f"ip route add 10.77.0.0/24 via {lab.b.v4}")


ROUTES = {
    "route": "ip route replace 10.77.0.0/24 dev d1",
    "rule": "ip rule add to 10.77.0.0/24 lookup 77",
    "neighbour": "ip neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev d0",
    "nothing": "true",
}


@pytest.mark.parametrize("change", ROUTES)
def test_the_way_that_was_too_small(lab: Lab, whydrop: Whydrop, change: str) -> None:
    """The cause is certain; the link that should take more is only named where the routes are those of the drop."""
    small_link_behind(lab)
    lab.b.run("ip route add 10.77.0.0/24 dev d1 table 77")
    with stopped(whydrop):
        sent(lab.a, (lab.a.v4, roads.BEYOND4), PORT, 3, size=1200, probe=True)
        lab.b.run(ROUTES[change])
    found = deaths(whydrop, lab.b, 3, PORT)
    if found[0]["reason"] is None:
        return  # this kernel has no drop reasons: nothing is named
    told(found, "routing.too-big")
    for line in found:
        named = [fix["command"] for fix in line["fix"] if "mtu" in (fix["command"] or "")]
        assert len(named) == (change not in ("route", "rule")), shown([line])
        assert all("dev d0" in command for command in named), shown([line])


@pytest.mark.parametrize("changed", TAKEN)
def test_a_limit_that_was_set_back(lab: Lab, whydrop: Whydrop, changed: bool) -> None:
    before, port = LIMIT.read_text(), PORT + changed
    rule = "table ip t { chain c { type filter hook input priority 0; ct state new counter accept } }"
    nft(lab.b, rule)
    LIMIT.write_text("10")
    try:
        with stopped(whydrop):
            for sport in range(43000, 43040):
                traffic.datagrams(lab.a, lab.b.v4, [port], sport=sport)
            if changed:
                LIMIT.write_text("9")
        found = whydrop.wait_for(lambda line: is_full(line, port), 10)
    finally:
        LIMIT.write_text(before)
    assert confidence(found) == {"likely" if changed else "certain"}, shown(found)
    assert all(("a sysctl was written" in said(line)) == changed for line in found), shown(found)


def is_full(line: Line, port: int) -> bool:
    return bool(line["packet"]["dport"] == port) and line["cause"]["id"] == "netfilter.conntrack-full"


RULES = "table inet t {{ chain c {{ type filter hook input priority 0; udp dport {port} counter drop }} }}"


@pytest.mark.parametrize("changed", TAKEN)
def test_another_namespace_with_the_same_number(lab: Lab, whydrop: Whydrop, changed: bool) -> None:
    """Table, chain and rule have the same handles there: only the kernel knows that it is another one."""
    name, port = f"short-{changed}".lower(), PORT + 2 + changed
    subprocess.run(["ip", "netns", "add", name], check=True)
    first = Namespace(name, "lo", "127.0.0.1", "::1")
    first.run("ip link set lo up")
    nft(first, RULES.format(port=port))
    number = first.inode
    others: list[Namespace] = []
    traffic.datagrams(
        lab.a, lab.b.v4, [port]
    )  # once that is told nobody is in the new one, and keeps its number
    whydrop.wait_for(lambda line: died_in(lab.b, line) and line["packet"]["dport"] == port)
    try:
        with stopped(whydrop):
            traffic.datagrams(first, "127.0.0.1", [port] * 3)
            if changed:
                first.delete()
                until_it_has(number, whydrop, others)
                nft(others[-1], RULES.format(port=f"{{ {port}, 7 }}"))
        found = whydrop.wait_for(lambda line: line["packet"]["dport"] == port and not died_in(lab.b, line), 3)
    finally:
        for end in others or [first]:
            end.delete()
    told(found, "netfilter.nft-rule")
    for line in found:
        assert line["netns"]["name"] == (None if changed else name), shown([line])
        assert (f"udp dport {port}" in line["object"]["text"]) == (not changed), shown([line])
        assert "{ 7" not in said(line), shown([line])


def until_it_has(number: int, whydrop: Whydrop, made: list[Namespace]) -> None:
    """Makes a namespace that has this number: the one that had it ends in its own time."""

    def has_it() -> bool:
        name = f"again-{whydrop.pid}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        found = Namespace(name, "lo", "127.0.0.1", "::1")
        if found.inode != number:
            found.delete()
            return False
        made.append(found)
        return True

    eventually(has_it, f"a namespace with the number {number}")


def test_a_socket_that_is_closed_before_the_reading(lab: Lab, whydrop: Whydrop) -> None:
    """It was bound elsewhere at both drops; that nobody listens is all that can be read of the second."""
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", PORT))
        traffic.datagrams(lab.a, lab.b.v4, [PORT])
        (first,) = deaths(whydrop, lab.b, 1, PORT)
        with stopped(whydrop):
            traffic.datagrams(lab.a, lab.b.v4, [PORT])
            there.close()
    second = deaths(whydrop, lab.b, 2, PORT)[-1]
    if first["reason"] is not None:
        assert first["cause"]["id"] == "socket.bound-elsewhere", shown([first])
        assert second["cause"]["confidence"] == "likely", shown([second])
