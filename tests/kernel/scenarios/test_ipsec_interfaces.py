"""Interfaces of IPsec: xfrm interfaces with another if_id than their SAs and policies, VTI with another mark."""

import subprocess
from collections.abc import Iterator

import pytest
from scenarios.namespaces import Lab, Namespace
from scenarios.outgoing import Losses, probes_follow, shown
from scenarios.outgoing import told as sent
from scenarios.tallies import said, told
from scenarios.tunnels import Way, gcm, way
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

OWN, OTHER = 42, 43  # if_id and mark of the interface, and what is not for it
HOOKS = ("xfrmi_xmit", "vti_tunnel_xmit", "vti6_tnl_xmit")  # where a packet waits for its policy and SA


@pytest.fixture(scope="module", autouse=True)
def probes(whydrop: Whydrop) -> Iterator[None]:
    probes_follow("xfrm_interface ip_vti ip6_vti esp4 esp6", *HOOKS)
    yield
    subprocess.run(
        ["modprobe", "-rq", "ip6_vti", "ip_vti"], check=False
    )  # each new namespace would have their devices


def through(wanted: Way, kind: str) -> None:
    """The inner addresses lead through an interface `tun`, which has OWN at both ends."""
    lab = wanted.lab
    for end, ours, theirs in ((lab.a, 0, 1), (lab.b, 1, 0)):
        own, other = wanted.outer[ours], wanted.outer[theirs]
        what = f"dev {end.iface} if_id {OWN}" if kind == "xfrm" else f"local {own} remote {other} key {OWN}"
        prefix = 128 if ":" in own else 32
        end.configure(
            f"link add tun type {kind} {what}",
            "link set tun up",
            f"route replace {wanted.inner[theirs]}/{prefix} dev tun src {wanted.inner[ours]}",
        )


def bound(kind: str, number: int) -> str:
    return f"if_id {number}" if kind == "xfrm" else f"mark {number}"


def opened(
    lab: Lab,
    family: int,
    kind: str,
    *,
    state: tuple[int, int] = (OWN, OWN),
    policy: tuple[int, int] = (OWN, OWN),
) -> Way:
    """Both ends of a tunnel through `tun`; the numbers are those at a and at b."""
    wanted = way(lab, family, "tunnel")
    through(wanted, kind)
    algorithms = gcm()
    for end, direction, side in ((lab.a, "out", 0), (lab.b, "in", 1)):
        end.configure(
            wanted.state(algorithms, bound(kind, state[side])),
            wanted.policy(direction, bound(kind, policy[side])),
        )
    return wanted


def lost(wanted: Way, whydrop: Whydrop, end: Namespace, count: int) -> tuple[list[Line], Losses]:
    losses = Losses(end, whydrop)
    assert sent(wanted.lab.a, wanted.inner, wanted.port, count) == ["sent"] * count
    eventually(lambda: len(of(wanted, losses)) >= count, f"{count} findings: {shown(losses.found())}")
    found = of(wanted, losses)
    assert len(found) == count, shown(found)
    return found, losses


def of(wanted: Way, losses: Losses) -> list[Line]:
    """Those of its datagrams; the new interface's own multicast may die as well."""
    return [
        line
        for line in losses.found()
        if line["packet"]["dport"] == wanted.port or line["packet"]["spi"] == wanted.spi_text
    ]


ALL = [(4, "xfrm"), (6, "xfrm"), (4, "vti"), (6, "vti6")]


@pytest.mark.parametrize(("family", "kind"), ALL)
def test_what_gets_through_is_no_finding(lab: Lab, whydrop: Whydrop, family: int, kind: str) -> None:
    wanted = opened(lab, family, kind)
    here, there = Losses(lab.a, whydrop), Losses(lab.b, whydrop)
    with wanted.read() as reader:
        wanted.send(10)
        reader.take(10)
    wanted.send(1)
    (last,) = there.deaths(1, wanted.port)
    assert last["cause"]["id"] == "socket.udp-no-listener" or last["reason"] is None, shown([last])
    assert last["iface"]["name"] == "tun", shown([last])
    assert of(wanted, here) == []
    assert (here.rose(), there.rose()) == ({}, {})


@pytest.mark.parametrize(("family", "kind"), ALL)
def test_the_sa_that_a_packet_came_through_is_for_another(
    lab: Lab, whydrop: Whydrop, family: int, kind: str
) -> None:
    """With another if_id it is decrypted, and no policy is for it then; with another mark its SA is not found."""
    wanted = opened(lab, family, kind, state=(OWN, OTHER))
    found, losses = lost(wanted, whydrop, lab.b, 3)
    word = "if_id" if kind == "xfrm" else "mark"
    told(found, mismatch(kind), word, wanted.spi_text, confidence=("certain", "likely"))
    assert all(differs(line, OTHER) for line in found), shown(found)
    assert losses.rose() == {"XfrmInNoPols" if kind == "xfrm" else "XfrmInNoStates": 3}


@pytest.mark.parametrize(("family", "kind"), ALL)
def test_the_inbound_policy_is_for_another(lab: Lab, whydrop: Whydrop, family: int, kind: str) -> None:
    wanted = opened(lab, family, kind, policy=(OWN, OTHER))
    found, losses = lost(wanted, whydrop, lab.b, 3)
    told(found, mismatch(kind), confidence=("certain", "likely"))
    assert all(differs(line) for line in found), shown(found)
    assert losses.rose() == {"XfrmInNoPols": 3}


@pytest.mark.parametrize(("family", "kind"), ALL)
def test_the_sa_on_the_way_out_is_for_another(lab: Lab, whydrop: Whydrop, family: int, kind: str) -> None:
    wanted = opened(lab, family, kind, state=(OTHER, OWN))
    found, losses = lost(wanted, whydrop, lab.a, 3)
    told(found, mismatch(kind), wanted.spi_text, confidence=("certain", "likely"))
    assert all(differs(line) for line in found), shown(found)
    assert {line["where"]["direction"] for line in found} == {"out"}, shown(found)
    assert losses.rose().get("XfrmOutNoStates", 0) >= 3, losses.rose()


@pytest.mark.parametrize(("family", "kind"), ALL)
def test_the_outbound_policy_is_for_another(lab: Lab, whydrop: Whydrop, family: int, kind: str) -> None:
    """The kernel counts nothing: without a policy there is nothing to look for."""
    wanted = opened(lab, family, kind, policy=(OTHER, OWN))
    found, losses = lost(wanted, whydrop, lab.a, 3)
    told(found, mismatch(kind), confidence=("certain", "likely"))
    assert all(differs(line) for line in found), shown(found)
    assert losses.rose() == {}


@pytest.mark.parametrize(("family", "kind"), ALL)
def test_nothing_is_there_for_the_interface(lab: Lab, whydrop: Whydrop, family: int, kind: str) -> None:
    """A policy without any SA."""
    wanted = way(lab, family, "tunnel")
    through(wanted, kind)
    lab.a.configure(wanted.policy("out", bound(kind, OWN)))
    found, losses = lost(wanted, whydrop, lab.a, 3)
    told(found, "ipsec.out-no-state", f"reqid {wanted.reqid}")
    assert losses.rose().get("XfrmOutNoStates", 0) >= 3, losses.rose()


def mismatch(kind: str) -> str:
    return "ipsec.interface-mismatch" if kind == "xfrm" else "ipsec.mark-mismatch"


def differs(line: Line, *numbers: int) -> bool:
    """Both numbers are shown, or those that are given."""
    return all(f"{number:#x}" in said(line) for number in numbers or (OWN, OTHER))
