"""Pairs of netkit: peers that are down, policies, programs."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.host.bpf.programs import Program
from dropwatch.host.tunnel.netkit import Netkit
from dropwatch.model.culprits import BpfProgram
from dropwatch.model.drop import Drop
from dropwatch.model.forwarding import Device
from tests.unit.causes.tunnel.judging import CHANGED, judged, verdict_of
from tests.unit.causes.verdicts import commands, said
from tests.unit.packet import packets

Died = Callable[..., Drop]
AT, SENDER = 7, 6
UNKNOWN = ("unknown", "unknown")
X1 = Netkit("x1", AT, True, False, "forward", "blackhole", SENDER)
POD = replace(X1, elsewhere=True)
PROGRAM = Program(77, "to_pod", "57cd311f2e27366b")
HERE = {"netkit": X1, "interface_name": "x0"}


@pytest.fixture
def drop(died: Died) -> Drop:
    return died("netkit_xmit", packets.ipv4(17, packets.udp()), "dev_hard_start_xmit", ifindex=AT)


def test_a_policy(drop: Drop) -> None:
    asked = []

    def programs(*arguments: object) -> tuple[Program, ...]:
        asked.append(arguments[1:3])
        return ()

    cause, verdict = verdict_of(drop, **HERE, netkit_programs=programs)
    assert (cause, verdict.confidence) == ("tunnel.netkit", "likely")
    assert verdict.culprit == Device("x0 netkit policy blackhole", "x0", "netkit", "policy blackhole")
    assert "x0 sends to x1: its policy is blackhole, and no BPF program is attached" in said(verdict)
    assert "ip netns exec b bpftool net show dev x0; bpftool link show" in commands(verdict)
    verdict_of(drop, **{**HERE, "netkit": replace(X1, primary=True)}, netkit_programs=programs)
    assert asked == [(SENDER, False), (AT, True)]
    _, changed = verdict_of(drop, **HERE, last_change=CHANGED)
    assert "the interfaces of this namespace changed" in said(changed)


def test_a_policy_of_an_end_elsewhere(drop: Drop) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the primary is in another namespace")

    _, verdict = verdict_of(drop, netkit=POD, netkit_programs=never)
    assert verdict.culprit == Device(
        "x1 netkit peer policy blackhole", "x1", "netkit", "peer policy blackhole"
    )
    assert "the peer of x1 sends to it" in said(verdict)
    assert "decides where no BPF program is attached" in said(verdict)


@pytest.mark.parametrize("policy", ["forward", "blackhole"])
def test_a_program(drop: Drop, policy: str) -> None:
    """It decides, whatever the policy is."""
    told = {**HERE, "netkit": replace(X1, peer_policy=policy)}
    cause, verdict = verdict_of(drop, **told, netkit_programs=(PROGRAM,))
    assert (cause, verdict.confidence) == ("tunnel.netkit", "likely")
    assert isinstance(verdict.culprit, BpfProgram)
    assert (verdict.culprit.id, verdict.culprit.attached_to) == (77, "x0 netkit")
    _, several = verdict_of(drop, **told, netkit_programs=(PROGRAM, Program(78)))
    assert several.culprit is None
    assert "one of 2 that may drop: id 78 at x0 netkit" in said(several)


def test_a_program_of_an_end_elsewhere(drop: Drop) -> None:
    cause, verdict = verdict_of(drop, netkit=replace(POD, peer_policy="forward"))
    assert (cause, verdict.confidence) == ("tunnel.netkit", "likely")
    assert "only a BPF program of it can drop this" in said(verdict)


def test_its_peer_is_down(drop: Drop) -> None:
    """The packet is still at the end that sends it."""
    drop = replace(drop, event=replace(drop.event, notes=frozenset({"no-carrier"})))
    cause, verdict = verdict_of(drop, netkit=X1)
    assert (cause, verdict.confidence) == ("tunnel.netkit", "certain")
    assert verdict.culprit == Device("x1 netkit policy forward, peer down", "x1", "netkit", "peer down")
    assert judged(drop, netkit=X1, last_change=CHANGED) == ("tunnel.netkit", "likely")
    assert judged(drop, netkit=replace(X1, up=False)) == UNKNOWN


def test_what_nothing_tells(died: Died, drop: Drop) -> None:
    forward = replace(X1, peer_policy="forward")
    assert judged(drop, **{**HERE, "netkit": forward}, netkit_programs=()) == UNKNOWN
    assert judged(drop) == UNKNOWN
    assert judged(died("netkit_xmit", b"", reason="NOMEM", ifindex=AT), **HERE) == UNKNOWN
    assert judged(died("veth_xmit", b"", ifindex=AT), **HERE) == UNKNOWN
